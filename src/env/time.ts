/** Time as the member needs it. Production: NodeTime; simulation: SimTime, which moves only when told. */

/** A pending timer; opaque. */
export type TimerHandle = unknown

/** One clock and its timers. */
export interface Time {
  /** Milliseconds on a clock that never goes back; may be fractional; the origin means nothing. */
  now(): number
  /** Milliseconds since 1970 on the wall; may jump. For people and expiry proposals only, never for safety. */
  wall(): number
  /** Calls `callback` once, not before `ms` have passed. */
  after(ms: number, callback: () => void): TimerHandle
  cancel(handle: TimerHandle): void
  /** Calls `callback` once, after the I/O callbacks of this turn of the event loop. */
  soon(callback: () => void): void
}
