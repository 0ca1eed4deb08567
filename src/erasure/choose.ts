/**
 * Which backend serves: the fastest that is there and passes its self-test, or the one that is asked for.
 *
 * A choice is spelled `native`, `wasm` or `javascript`, or `native:avx2` for one instruction set of the addon.
 */
import { StoreError } from '../base/errors.js'
import { BACKENDS, type Backend, type BackendName } from './backend.js'
import { JavaScriptBackend } from './javascript.js'
import { BINDING_PATHS, type Binding, loadBinding, NativeBackend } from './native.js'
import { faultOf } from './self-test.js'
import { loadWasmBackend } from './wasm.js'

/** The environment variable that asks for a backend where no option does. */
export const BACKEND_VARIABLE = 'QUORATE_ERASURE'

/** A backend, and how it came to be chosen. */
export interface Choice {
  readonly backend: Backend
  readonly status: CodecStatus
}

/** Which backend codes large values and why, as `status()` tells it. */
export interface CodecStatus {
  readonly backend: BackendName
  /** The instruction set of the native kernel; otherwise the backend's name again. */
  readonly instructions: string
  readonly why: string
  /** The faster ones that do not serve, each with the reason. */
  readonly passedOver: readonly PassedOver[]
}

/** A backend that does not serve. */
export interface PassedOver {
  readonly backend: string
  readonly reason: string
}

interface Candidate {
  /** As it is asked for: `native:avx2`, `wasm`. */
  readonly label: string
  readonly open: () => Backend
}

/**
 * Chooses a backend. Loads files and computes for some milliseconds, so it is called once per process or store.
 *
 * @param asked the backend that an option asks for; without one, `QUORATE_ERASURE` is looked at
 * @throws {RangeError} when the option or the variable names no backend
 * @throws {StoreError} `NOT_READY` when the backend that is asked for is not there or fails its self-test
 */
export function chooseBackend(asked: string | undefined): Choice {
  const wanted = asked ?? (process.env[BACKEND_VARIABLE] || undefined)
  if (wanted !== undefined) checkName(wanted)
  const passedOver: PassedOver[] = []
  for (const { label, open } of candidates(BINDING_PATHS, wanted)) {
    if (wanted !== undefined && label !== wanted && !label.startsWith(`${wanted}:`)) continue
    const opened = tested(open)
    if (typeof opened === 'string') {
      passedOver.push({ backend: label, reason: opened })
      continue
    }
    const { name, instructions } = opened
    const by = asked === undefined ? `the environment variable ${BACKEND_VARIABLE}` : 'the options'
    const why =
      wanted === undefined ? 'the fastest that passes its self-test' : `asked for by ${by}`
    return { backend: opened, status: { backend: name, instructions, why, passedOver } }
  }
  const reasons = passedOver.map(({ backend, reason }) => `${backend}: ${reason}`)
  const reason = reasons.length > 0 ? reasons.join('; ') : 'this machine does not have it'
  throw new StoreError('QUORATE_NOT_READY', `the erasure codec ${wanted} cannot be used: ${reason}`)
}

/** Every backend and instruction set that loads here, tested or not, the fastest first: what tests compare. */
export function allBackends(): Backend[] {
  return [...candidates(BINDING_PATHS, undefined)]
    .map(({ open }) => outcomeOf(open))
    .filter((opened) => typeof opened !== 'string')
}

function checkName(wanted: string): void {
  const [name] = wanted.split(':')
  if (BACKENDS.some((each) => each === name) && (name === 'native' || name === wanted)) return
  const known = `${BACKENDS.join(', ')}, or native: with an instruction set`
  throw new RangeError(`there is no erasure codec '${wanted}', only ${known}`)
}

/** The addon is looked for only when it may be used: whoever asks for another backend wants no file of it loaded. */
function* candidates(
  bindingPaths: readonly string[],
  wanted: string | undefined,
): Generator<Candidate> {
  if (wanted === undefined || wanted.startsWith('native')) yield* nativeCandidates(bindingPaths)
  yield { label: 'wasm', open: loadWasmBackend }
  yield { label: 'javascript', open: () => new JavaScriptBackend() }
}

function nativeCandidates(bindingPaths: readonly string[]): Candidate[] {
  let binding: Binding
  try {
    binding = loadBinding(bindingPaths)
  } catch (error) {
    const open = (): never => {
      throw error
    }
    return [{ label: 'native', open }]
  }
  return binding.levels.map((instructions, level) => ({
    label: `native:${instructions}`,
    open: () => new NativeBackend(binding, level),
  }))
}

/** The backend, or why it is not used. */
function tested(open: () => Backend): Backend | string {
  return outcomeOf(() => {
    const backend = open()
    return faultOf(backend) ?? backend
  })
}

/** Whatever a backend throws is a reason to use another one: there is always a slower one. */
function outcomeOf(open: () => Backend | string): Backend | string {
  try {
    return open()
  } catch (error) {
    return (error as Error).message
  }
}
