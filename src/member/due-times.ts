/**
 * When things are due: a heap by time, of which each thing has one current place.
 *
 * A thing that is due later than before keeps its place until that comes up: so what is kept alive over and over costs
 * a heap step for each time that goes by, not for each time it is kept alive. In memory is a small record for each
 * thing, about 150 bytes beside its name, and places that count no more: at most as many as things, and 1024.
 */

/** A thing that will be due. */
export interface Due {
  readonly name: string
  /** Which state of it is meant; rises. */
  readonly version: number
}

interface Thing extends Due {
  version: number
  /** When it is due. */
  time: number
  place: Place
}

interface Place {
  time: number
  readonly name: string
}

const SPARE_PLACES = 1024

/** See the file's comment. Times are numbers that the caller understands. */
export class DueTimes {
  readonly #things = new Map<string, Thing>()
  #heap: Place[] = []

  get size(): number {
    return this.#things.size
  }

  /** Places in the heap, those that count no more included. */
  get places(): number {
    return this.#heap.length
  }

  /** Version `version` of `name` is due at `time`; of an older version than the known one nothing is believed. */
  set(name: string, version: number, time: number): void {
    const known = this.#things.get(name)
    if (known === undefined) {
      const place = { time, name }
      this.#things.set(name, { name, version, time, place })
      this.#push(place)
      return
    }
    if (version < known.version) return
    known.version = version
    known.time = time
    if (time < known.place.time) this.#move(known)
  }

  /** Nothing is due any more up to `version` of `name`. */
  settle(name: string, version: number): void {
    const known = this.#things.get(name)
    if (known === undefined || known.version > version) return
    this.#things.delete(name)
    this.#tidy()
  }

  /** The next thing that is due at `now`; it is due again at `againAt`, unless it is settled by then. */
  next(now: number, againAt: number): Due | undefined {
    for (;;) {
      const place = this.#heap[0]
      if (place === undefined || place.time > now) return undefined
      this.#pop()
      const thing = this.#things.get(place.name)
      if (thing === undefined || thing.place !== place) continue
      const isDue = thing.time <= now
      if (isDue) thing.time = againAt
      place.time = thing.time
      this.#push(place)
      if (isDue) return thing
    }
  }

  clear(): void {
    this.#things.clear()
    this.#heap = []
  }

  /** Gives a thing that is due earlier than its place says a new one. */
  #move(thing: Thing): void {
    thing.place = { time: thing.time, name: thing.name }
    this.#push(thing.place)
    this.#tidy()
  }

  /** Forgets places that count no more when there are many. */
  #tidy(): void {
    if (this.#heap.length < 2 * this.#things.size + SPARE_PLACES) return
    // An ordered list is a heap.
    const places = [...this.#things.values()].map(({ place }) => place)
    this.#heap = places.sort((a, b) => a.time - b.time)
  }

  #push(place: Place): void {
    const heap = this.#heap
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.time <= place.time) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = place
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.time < heap[child]!.time) child++
      if (heap[child]!.time >= last.time) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}
