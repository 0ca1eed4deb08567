/** Ctrl-C: commands that hold processes and folders are told, so that they can clean up before they end. */

/** The exit code of a command that was interrupted. */
export const EXIT_INTERRUPTED = 130

/**
 * What `work` comes to, or `interrupted` at the first SIGINT or SIGTERM, whichever is first. The work itself is
 * not stopped: take away what it works on. A second signal ends the process at once.
 */
export async function untilInterrupted<T>(work: Promise<T>): Promise<T | 'interrupted'> {
  let stop = (): void => {}
  const interrupted = new Promise<'interrupted'>((resolve) => {
    stop = () => resolve('interrupted')
  })
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    return await Promise.race([work, interrupted])
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}
