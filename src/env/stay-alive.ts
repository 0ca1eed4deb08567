/** Node.js ends a process that waits for nothing but timers of env/node-time.ts: this keeps it from that. */

const FOREVER_MS = 2 ** 31 - 1

/** Keeps the process alive until the function that it returns is called. */
export function stayAlive(): () => void {
  const timer = setInterval(() => undefined, FOREVER_MS)
  return () => clearInterval(timer)
}
