/** The applied state as far as large values are concerned: what stands under keys, all at one moment. */
import { StoreError } from '../base/errors.js'
import type { MachineView } from '../machine/machine-view.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { LogIndex, Term } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, type Manifest } from '../wire/manifest.js'

/** What stands under a key; undefined: no large value. `unreadable`: it is damaged here, and mended when it is read. */
export type Standing = Manifest | 'unreadable' | undefined

/** Manifests of one state. */
export interface ReadManifests {
  readonly applied: { readonly index: LogIndex; readonly term: Term }
  /** In the order of the keys. */
  readonly manifests: readonly Standing[]
}

/** See the file's comment. */
export class StateReader {
  readonly #machine: Pick<StateMachine, 'view'>
  readonly #isSound: () => boolean

  /** @param isSound whether the state here is in use */
  constructor(machine: Pick<StateMachine, 'view'>, isSound: () => boolean) {
    this.#machine = machine
    this.#isSound = isSound
  }

  /** Whether the state here is in use. */
  get isSound(): boolean {
    return this.#isSound()
  }

  /** Undefined while the state cannot be read. */
  async manifests(keys: readonly Uint8Array[]): Promise<ReadManifests | undefined> {
    return this.reading(async (view) => {
      const applied = { index: view.appliedIndex, term: view.appliedTerm }
      return { applied, manifests: await standingsOf(view, keys) }
    })
  }

  /** What `read` gives; undefined while the state cannot be read. */
  async reading<T>(read: (view: MachineView) => Promise<T>): Promise<T | undefined> {
    if (!this.#isSound()) return undefined
    try {
      const view = this.#machine.view()
      try {
        return await read(view)
      } finally {
        await view.close()
      }
    } catch (error) {
      // It is being opened again, was closed, or is damaged, which those find who read and scrub it.
      if (error instanceof StoreError) return undefined
      throw error
    }
  }
}

async function standingsOf(
  view: MachineView,
  keys: readonly Uint8Array[],
): Promise<readonly Standing[]> {
  try {
    const values = await view.getMany(keys)
    return values.map((stored) => standingOf(() => stored))
  } catch (error) {
    if (!isCorruption(error)) throw error
    // One that is damaged says nothing about the others.
    return keys.map((key) => standingOf(() => view.get(key)))
  }
}

function standingOf(read: () => ReturnType<MachineView['get']>): Standing {
  try {
    const stored = read()
    return stored?.isCoded === true ? decodeManifest(stored.value) : undefined
  } catch (error) {
    if (error instanceof DecodeError || isCorruption(error)) return 'unreadable'
    throw error
  }
}

function isCorruption(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'QUORATE_CORRUPTION'
}
