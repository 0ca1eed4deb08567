/** From an offered image to a database beside the present state that holds it, durably. */
import { StoreError } from '../base/errors.js'
import type { Database } from '../env/database.js'
import type { ChunkStore } from '../snapshot/chunk-store.js'
import { loadImage } from '../snapshot/load-image.js'
import type { ImageManifest } from '../wire/image.js'
import type { Generations } from './generations.js'

/** A chunk that was damaged between coming and being loaded is fetched again, so often. */
const ATTEMPTS = 3

/** A state that is ready to be put into force; whoever gets it closes the database, or hands it on. */
export interface LoadedState {
  readonly manifest: ImageManifest
  readonly database: Database
}

/**
 * Loads what `fetch` brings into the next generation.
 * @throws what `fetch` throws; {StoreError} QUORATE_CORRUPTION, QUORATE_NO_SPACE; nothing is left open then
 */
export async function loadNext(
  store: ChunkStore,
  generations: Generations,
  fetch: () => Promise<ImageManifest>,
): Promise<LoadedState> {
  for (let attempt = 1; ; attempt++) {
    const manifest = await fetch()
    const database = await generations.openNext()
    try {
      await loadImage(manifest, (chunk) => store.read(chunk), database)
      return { manifest, database }
    } catch (error) {
      await database.close()
      await generations.dropNext()
      const isDamaged = error instanceof StoreError && error.code === 'QUORATE_CORRUPTION'
      if (!isDamaged || attempt === ATTEMPTS) throw error
    }
  }
}
