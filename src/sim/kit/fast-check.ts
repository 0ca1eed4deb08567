/** fast-check, which only those need who let it draw and shrink: a peer dependency, loaded when it is first used. */
import type FastCheck from 'fast-check'

/** The module. @throws {Error} saying what to install when it is not there */
export async function loadFastCheck(): Promise<typeof FastCheck> {
  try {
    return (await import('fast-check')).default
  } catch (error) {
    throw new Error('install fast-check 4 (npm install --save-dev fast-check) to use this', {
      cause: error,
    })
  }
}
