/** Defaults of reads and writes: those of a Store, and those of a view of it. */
import {
  type Ack,
  callSpec,
  type ReadOptions,
  type ReadSpec,
  requireAck,
  resolveRead,
  type WriteSpec,
} from './call-options.js'
import { KEY_ENCODINGS, type KeyEncoding } from './encoding.js'
import { refuseUnknown, requireOneOf, type StoreSettings } from './open-options.js'

/** What a view fixes; what is not given is as the Store has it. */
export interface ViewOptions extends Omit<ReadOptions, 'signal'> {
  /** The acknowledgement of writes that name none; `leader` is for single calls only. */
  readonly ack?: Exclude<Ack, 'leader'>
  readonly keyEncoding?: KeyEncoding
}

/** The defaults of a Store's reads. */
export function readDefaults({ consistency, valueEncoding, timeoutMs }: StoreSettings): ReadSpec {
  return {
    level: consistency,
    maxStalenessMs: Number.POSITIVE_INFINITY,
    onBehind: 'wait',
    valueEncoding,
    timeoutMs,
    signal: undefined,
  }
}

/** The defaults of a Store's writes. */
export function writeDefaults({ valueEncoding, timeoutMs }: StoreSettings): WriteSpec {
  return { ack: 'quorum', valueEncoding, timeoutMs, signal: undefined, onProgress: undefined }
}

/** @throws {TypeError | RangeError} */
export function resolveView(
  options: ViewOptions,
  settings: StoreSettings,
): { reads: ReadSpec; writes: WriteSpec } {
  const { ack, keyEncoding, ...read } = options
  refuseUnknown('a view', options, [
    'ack',
    'keyEncoding',
    'consistency',
    'maxStalenessMs',
    'onBehind',
    'valueEncoding',
    'timeoutMs',
  ])
  if (keyEncoding !== undefined) requireOneOf('keyEncoding', keyEncoding, KEY_ENCODINGS)
  const reads = resolveRead(read, readDefaults(settings))
  const { valueEncoding } = reads
  const writes = {
    ...writeDefaults(settings),
    valueEncoding,
    ...callSpec(read, settings.timeoutMs),
  }
  if (ack === undefined) return { reads, writes }
  const acked = requireAck(ack)
  if (acked === 'leader')
    throw new TypeError("ack: 'leader' is for single calls: they resolve to something else")
  return { reads, writes: { ...writes, ack: acked } }
}
