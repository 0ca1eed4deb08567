/** Chance as the member needs it: for seeds, client ids and jitter. Production: NodeRandom; simulation: keyed. */
export interface Random {
  /** An unsigned 32-bit number; `purpose` names what it is for, so that a simulation can key it. */
  u32(purpose: string): number
  /** `count` unpredictable bytes. */
  bytes(count: number, purpose: string): Uint8Array
}
