/**
 * One database whose every operation goes to another member of a cluster, with the session token carried along: what
 * an application does that has no member of its own.
 */
import { type AbstractDatabaseOptions, AbstractLevel, type AbstractSnapshot } from 'abstract-level'
import type { StoreLevel } from '../../../src/level.js'

/** See the file's comment. `levels` are those of the members, with the same prefix; the level is `session`. */
export class RoamingLevel extends AbstractLevel<Buffer> {
  readonly #levels: readonly StoreLevel[]
  #turn = 0

  constructor(levels: readonly StoreLevel[], options: AbstractDatabaseOptions<string, string>) {
    super({ ...levels[0]!.supports, encodings: { buffer: true } }, options)
    this.#levels = levels
  }

  async _open(): Promise<void> {
    await Promise.all(this.#levels.map((level) => level.open()))
  }

  async _close(): Promise<void> {
    await Promise.all(this.#levels.map((level) => level.close()))
  }

  _get(...args: Parameters<StoreLevel['_get']>): ReturnType<StoreLevel['_get']> {
    return this.#next()._get(...args)
  }

  _getMany(...args: Parameters<StoreLevel['_getMany']>): ReturnType<StoreLevel['_getMany']> {
    return this.#next()._getMany(...args)
  }

  _has(...args: Parameters<StoreLevel['_has']>): ReturnType<StoreLevel['_has']> {
    return this.#next()._has(...args)
  }

  _hasMany(...args: Parameters<StoreLevel['_hasMany']>): ReturnType<StoreLevel['_hasMany']> {
    return this.#next()._hasMany(...args)
  }

  _put(...args: Parameters<StoreLevel['_put']>): Promise<void> {
    return this.#next()._put(...args)
  }

  _del(...args: Parameters<StoreLevel['_del']>): Promise<void> {
    return this.#next()._del(...args)
  }

  _batch(...args: Parameters<StoreLevel['_batch']>): Promise<void> {
    return this.#next()._batch(...args)
  }

  _clear(...args: Parameters<StoreLevel['_clear']>): Promise<void> {
    return this.#next()._clear(...args)
  }

  _iterator(options: Parameters<StoreLevel['_iterator']>[0]): unknown {
    const level = this.#next()
    const iterator = level._iterator(options)
    // It is this database's: closed with it.
    level.detachResource(iterator)
    Object.assign(iterator, { db: this })
    this.attachResource(iterator)
    return iterator
  }

  _snapshot(options: object): AbstractSnapshot {
    return this.#next()._snapshot(options)
  }

  /** The next member, which hears first what all others have seen. */
  #next(): StoreLevel {
    const tokens = this.#levels.map((level) => level.token)
    const next = this.#levels[this.#turn++ % this.#levels.length]!
    for (const token of tokens) next.observe(token)
    return next
  }
}
