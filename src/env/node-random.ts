/** Chance in production: the operating system's, whatever it is for. */
import { randomBytes } from 'node:crypto'
import type { Random } from './random.js'

/** Cryptographically strong randomness. */
export class NodeRandom implements Random {
  u32(_purpose: string): number {
    return randomBytes(4).readUInt32LE(0)
  }

  bytes(count: number, _purpose: string): Uint8Array {
    return randomBytes(count)
  }
}
