/** What `store.metrics()` gives: plain data, since the Store was opened. */
import type { CallMetrics } from '../member/call-meters.js'
import type { MemberMetrics } from '../member/metrics.js'

/** A Store in numbers. Everything named `…Ms` is in milliseconds. */
export interface StoreMetrics {
  /** What was asked through this Store, its views and its sessions. */
  readonly calls: CallMetrics
  /** Bytes of writes that are not answered yet. */
  readonly pendingWriteBytes: number
  /** The member in this process; undefined for a Store of `connect`. */
  readonly member: MemberMetrics | undefined
}
