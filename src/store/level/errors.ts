/** Errors that abstract-level's callers expect under its own codes. */

/** An error with a code of abstract-level; everything else is a StoreError with a code of the Store. */
export class LevelError extends Error {
  override readonly name: string
  readonly code: 'LEVEL_ABORTED' | 'LEVEL_INVALID_KEY' | 'LEVEL_NOT_SUPPORTED'

  constructor(code: LevelError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = code === 'LEVEL_ABORTED' ? 'AbortError' : 'LevelError'
    this.code = code
  }
}
