/** What the commands of one entry do, beside what the overlay holds: for the digest, and for whoever is told of it. */
import { unreachable } from '../base/assert.js'
import type { Change } from './change-history.js'
import type { CodedNote } from './coded-keys.js'
import type { ExpiryNote } from './expiry-note.js'
import type { StateDigest } from './state-digest.js'

/** Something that a command has done; counts only when the command ends well. */
export type Effect =
  | { readonly type: 'put'; readonly change: Change & { value: Buffer }; readonly seal: number }
  | { readonly type: 'del'; readonly key: Buffer }
  /** A record about leases, by its key in the database. */
  | { readonly type: 'record'; readonly key: Buffer; readonly value: Buffer | undefined }
  | { readonly type: 'note'; readonly note: ExpiryNote }
  | { readonly type: 'coded'; readonly coded: CodedNote }
  /** Other shards of the same value: nobody is told of a change. */
  | {
      readonly type: 'respread'
      readonly coded: CodedNote
      readonly bytes: number
      readonly seal: number
    }

/** The effects of an entry, command by command. */
export class Effects {
  readonly #digest: StateDigest
  readonly #changes: Change[] = []
  readonly #notes: ExpiryNote[] = []
  readonly #coded: CodedNote[] = []
  /** Of the command under way. */
  #pending: Effect[] = []

  constructor(digest: StateDigest) {
    this.#digest = digest
  }

  /** What happened to the users' keys, in order. */
  get changes(): readonly Change[] {
    return this.#changes
  }

  get notes(): readonly ExpiryNote[] {
    return this.#notes
  }

  /** The large values that came into force, in order. */
  get coded(): readonly CodedNote[] {
    return this.#coded
  }

  add(effect: Effect): void {
    this.#pending.push(effect)
  }

  /** The command under way has done nothing. */
  undo(): void {
    this.#pending = []
  }

  /** The command under way has ended well. */
  commit(): void {
    for (const effect of this.#pending) this.#take(effect)
    this.#pending = []
  }

  #take(effect: Effect): void {
    switch (effect.type) {
      case 'put': {
        const { change, seal } = effect
        this.#digest.addPut(seal, change.key.length, change.value.length)
        this.#changes.push(change)
        return
      }
      case 'del':
        this.#digest.addDel(effect.key)
        this.#changes.push({ type: 'del', key: effect.key, value: undefined })
        return
      case 'record':
        this.#digest.addRecord(effect.key, effect.value)
        return
      case 'note':
        this.#notes.push(effect.note)
        return
      case 'coded':
        this.#coded.push(effect.coded)
        return
      case 'respread': {
        const { coded, bytes, seal } = effect
        this.#digest.addPut(seal, coded.key.length, bytes)
        this.#coded.push(coded)
        return
      }
      default:
        unreachable(effect)
    }
  }
}
