/** Reads the part of EDN (Clojure's data notation) that published histories use. */

/** A keyword, without its colon; a class of its own, because the string of the same letters is another value. */
export class Keyword {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** A value of EDN: `nil` is null, vectors, lists and sets are arrays, maps have keywords as keys. */
export type Edn = null | boolean | number | string | Keyword | readonly Edn[] | EdnMap

/** A map by the names of its keywords. */
export type EdnMap = ReadonlyMap<string, Edn>

const TOKEN =
  /[\s,]+|;[^\n]*|([[\]{}()])|"((?:\\.|[^"\\])*)"|:([^\s,;[\]{}()"]+)|([^\s,;[\]{}()"]+)/y

/** Every value in `text`, in order. @throws {SyntaxError} at the first thing that is not understood. */
export function readEdn(text: string): Edn[] {
  const reader = new Reader(text)
  const values: Edn[] = []
  for (let value = reader.next(); value !== undefined; value = reader.next()) values.push(value)
  return values
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** The next value; `undefined` at the end of the text or of the collection around it. */
  next(): Edn | undefined {
    while (this.#at < this.#text.length) {
      TOKEN.lastIndex = this.#at
      const token = TOKEN.exec(this.#text)
      if (token === null) throw new SyntaxError(`not EDN at offset ${this.#at}`)
      this.#at = TOKEN.lastIndex
      const [, bracket, string, keyword, symbol] = token
      if (bracket !== undefined) return this.#collection(bracket)
      if (string !== undefined) return JSON.parse(`"${string}"`) as string
      if (keyword !== undefined) return new Keyword(keyword)
      if (symbol !== undefined) return this.#symbol(symbol)
    }
    return undefined
  }

  #collection(open: string): Edn | undefined {
    if (']})'.includes(open)) return undefined
    const items: Edn[] = []
    for (let item = this.next(); item !== undefined; item = this.next()) items.push(item)
    if (open !== '{') return items
    const map = new Map<string, Edn>()
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!
      if (!(key instanceof Keyword)) throw new SyntaxError(`a map key is no keyword: ${key}`)
      map.set(key.name, items[i + 1] ?? null)
    }
    return map
  }

  #symbol(symbol: string): Edn {
    if (symbol === 'nil') return null
    if (symbol === 'true' || symbol === 'false') return symbol === 'true'
    // Sets, tagged literals: `#{` is read as `#` and a map, and refused here.
    const number = Number(symbol)
    if (Number.isNaN(number)) throw new SyntaxError(`unknown EDN symbol ${symbol}`)
    return number
  }
}
