/** What backup, verify and restore have in common: Ctrl-C ends them in good order, and they show how far they are. */
import { StoreError } from '../base/errors.js'
import type { BackupProgress, MaintenanceOptions } from '../index.js'
import { EXIT_INTERRUPTED } from './interrupt.js'
import { bytes, complain, count } from './terminal.js'

const REDRAW_EVERY_MS = 100

/**
 * Runs `work`, with progress on standard error while that is a terminal; resolves with its exit code. The first
 * SIGINT or SIGTERM aborts it, and it ends as it likes best.
 */
export async function longWork(
  label: string,
  work: (options: Required<MaintenanceOptions>) => Promise<void>,
): Promise<number> {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  process.once('SIGINT', abort)
  process.once('SIGTERM', abort)
  const line = new ProgressLine(label)
  try {
    await work({ signal: controller.signal, onProgress: (progress) => line.show(progress) })
    return 0
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'QUORATE_ABORTED')) throw error
    complain(`${label} was interrupted`)
    return EXIT_INTERRUPTED
  } finally {
    line.end()
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}

/** One line on a terminal that is written over; elsewhere nothing. */
class ProgressLine {
  readonly #label: string
  #drawnAt = Number.NEGATIVE_INFINITY

  constructor(label: string) {
    this.#label = label
  }

  show({ chunks, bytes: done }: BackupProgress): void {
    const now = performance.now()
    if (!process.stderr.isTTY || now - this.#drawnAt < REDRAW_EVERY_MS) return
    this.#drawnAt = now
    process.stderr.write(`\r\x1b[K${this.#label}: ${bytes(done)} in ${count(chunks)} chunks`)
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  }
}
