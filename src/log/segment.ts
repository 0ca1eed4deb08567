/** A segment: one file of the log, its name and what is known of it. */
import { StoreError } from '../base/errors.js'
import type { LogIndex } from '../raft/types.js'

/** One file of the log. All but `end`, `batch` and `check` of the newest never change. */
export interface Segment {
  readonly path: string
  /** Counts segments from 1. */
  readonly number: number
  readonly firstIndex: LogIndex
  /** Planned bytes of the file. */
  readonly capacity: number
  /** Where the next batch goes, its number, and the check of the commit frame before it. */
  end: number
  batch: number
  check: bigint
}

/** What a segment's name says. */
export interface SegmentName {
  readonly path: string
  readonly number: number
  readonly firstIndex: LogIndex
}

const NAME = /^(\d{8,10})-(\d{1,16})\.wal$/
const SPARE_SUFFIX = '.new'
const BROKEN = /^(\d{8,10})-\d{1,16}\.wal\.\d+\.broken$/

/** The path of a segment in `dir`. */
export function segmentPath(dir: string, number: number, firstIndex: LogIndex): string {
  return `${dir}/${String(number).padStart(8, '0')}-${firstIndex}.wal`
}

/** The path of a segment that is being prepared: not part of the log before it is renamed. */
export function sparePath(dir: string, number: number): string {
  return `${dir}/${String(number).padStart(8, '0')}${SPARE_SUFFIX}`
}

/** Where the torn bytes that began at `position` of the segment at `path` are kept for inspection. */
export function brokenPath(path: string, position: number): string {
  return `${path}.${position}.broken`
}

/** Reads a file name; `undefined` when it is not a segment's. */
export function parseSegmentName(dir: string, name: string): SegmentName | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  return { path: `${dir}/${name}`, number: Number(match[1]), firstIndex: Number(match[2]) }
}

/** Whether `name` is that of a segment that never became part of the log. */
export function isSpareName(name: string): boolean {
  return name.endsWith(SPARE_SUFFIX)
}

/** The segment that the torn bytes in the file `name` were cut from; `undefined` for any other file. */
export function brokenSegment(name: string): number | undefined {
  const match = BROKEN.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** Bytes of the log that are not what was written. */
export function corruption(path: string, offset: number, why: string): StoreError {
  return new StoreError('QUORATE_CORRUPTION', `${path} is damaged at offset ${offset}: ${why}`)
}

/** Whether the disk is full, or this user's share of it. */
export function isNoSpace(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOSPC' || error.code === 'EDQUOT')
  )
}
