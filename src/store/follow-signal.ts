/**
 * A signal of one's own that is aborted with another one. `AbortSignal.any` would do, but what hangs on a signal that
 * lives as long as the application is let go by the runtime late, or not at all while somebody listens to it.
 */

/** From now on `own` is aborted when `other` is, with its reason, until the function that is returned is called. */
export function follow(own: AbortController, other: AbortSignal | undefined): () => void {
  if (other === undefined) return () => {}
  const onAbort = (): void => own.abort(other.reason)
  if (other.aborted) onAbort()
  else other.addEventListener('abort', onAbort, { once: true })
  return () => other.removeEventListener('abort', onAbort)
}
