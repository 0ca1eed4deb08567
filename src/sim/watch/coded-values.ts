/**
 * What must be true of large values, judged from the outside: by the manifests in the committed log and by the shards
 * that lie on the simulated disks. It knows the format of manifests and shards and the field of the code, and nothing
 * of how members store, read and repair.
 *
 * E1 a manifest comes into force: the members that it calls durable hold their shard, durably
 * E2 of every value enough is left, whichever minority of the voters is lost
 * E3 the shards of one part are those of one codeword, wherever they lie
 */
import { Code } from '../../erasure/code.js'
import { JavaScriptBackend } from '../../erasure/javascript.js'
import type { Configuration } from '../../machine/state-machine.js'
import { checksum } from '../../wire/checksum.js'
import { decodeDirectory } from '../../wire/directory.js'
import { type BlobPart, blobName, type Manifest, shardBytes } from '../../wire/manifest.js'
import type { Shard } from '../../wire/shard.js'
import type { Findings } from './findings.js'
import type { ShardsOnDisk } from './shards-on-disk.js'

/** The machines of a run. */
export interface ShardMachines {
  /** The shards on the disk of the machine with this name. */
  shardsOf(name: string): ShardsOnDisk
  names(): readonly string[]
  /** Shards there were lost or damaged on purpose. */
  isDamaged(name: string): boolean
}

/** A member as far as shards count. */
interface Holder {
  readonly name: string
  readonly slot: number
  readonly node: number
}

/** A part's shard on some machine. */
interface Found {
  readonly name: string
  readonly shard: Shard
}

const CODE_SHARDS = 255

/** See the file's comment. */
export class CodedValues {
  readonly #findings: Findings
  readonly #machines: ShardMachines
  /** Made when it is needed first: its tables take a while. */
  #codec: JavaScriptBackend | undefined
  readonly #codes = new Map<number, Code>()

  constructor(findings: Findings, machines: ShardMachines) {
    this.#findings = findings
    this.#machines = machines
  }

  /** Whether `manifest` may come into force where `configuration` is: k and half of the voters hold each part. */
  isCovered({ members, parts }: Manifest, configuration: Configuration): boolean {
    const slots = new Map(holdersIn(configuration).map(({ node, slot }) => [node, slot]))
    const { voters, votersOutgoing } = configuration.conf
    const halves = votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing]
    return parts.every(({ durable, dataShards }) => {
      const claimed = members.filter(({ node, slot }, i) => durable[i] && slots.get(node) === slot)
      const holding = new Set(claimed.map(({ node }) => node))
      return halves.every((half) => {
        const held = half.filter((node) => holding.has(node)).length
        return held >= dataShards + Math.floor(half.length / 2)
      })
    })
  }

  /** E1: `manifest` comes into force; the value, read from the disks. */
  introduce(manifest: Manifest, configuration: Configuration): Buffer {
    for (const part of manifest.parts) this.#requireDurable(manifest, part, configuration)
    return this.contentOf(manifest)
  }

  /** E2: the value that the shards on all disks come to. */
  contentOf(manifest: Manifest): Buffer {
    const parts = manifest.parts.map((part) => this.#dataOf(manifest, part) ?? Buffer.alloc(0))
    return Buffer.concat(parts)
  }

  /**
   * E2, when everything was repaired: enough is left of each part without any minority of the voters, `lost` being a
   * part of that minority.
   */
  requireSpread(manifest: Manifest, configuration: Configuration, lost: ReadonlySet<string>): void {
    const { voters } = configuration.conf
    const voting = holdersIn(configuration).filter(({ node }) => voters.includes(node))
    const left = voting.filter(({ name }) => !lost.has(name))
    const kept = Math.min(left.length, voters.length - Math.floor((voters.length - 1) / 2))
    for (const part of manifest.parts) {
      const indexesAt = left.map(({ name }) => this.#indexesAt(name, manifest, part))
      const least = Math.min(...subsets(indexesAt, kept).map(countDistinct))
      const name = `${blobName(manifest.id)}/${part.number}`
      this.#findings.expect(
        least >= part.dataShards,
        'E2 enough of every value is left',
        () => `of ${name} any ${kept} voters hold ${least} shards, it takes ${part.dataShards}`,
      )
    }
  }

  /** E1: the member called `name` was told that the shard is durable. */
  requireStored(name: string, { head, digest }: Shard): void {
    if (this.#machines.isDamaged(name)) return
    const { id, part, index } = head
    const found = this.#machines.shardsOf(name).find(id, part, index)
    this.#findings.expect(
      found?.digest.equals(digest) === true,
      'E1 what counts is durable',
      () => `${name} stored shard ${index} of ${blobName(id)}/${part}, and may lose it`,
    )
  }

  /** The members of `configuration` that lack their shard of a part of `manifest`. */
  lacking(manifest: Manifest, configuration: Configuration): string[] {
    return holdersIn(configuration)
      .filter(({ name, slot }) => {
        const disk = this.#machines.shardsOf(name)
        return manifest.parts.some(({ number }) => !disk.find(manifest.id, number, slot))
      })
      .map(({ name }) => name)
  }

  /** E3: every shard that lies anywhere of each part is the one that the code makes of the part's data. */
  requireOneCodeword(manifest: Manifest): void {
    for (const part of manifest.parts) {
      const data = this.#dataOf(manifest, part)
      if (data === undefined) return
      for (const { name, shard } of this.#found(manifest, part)) {
        const { index } = shard.head
        this.#findings.expect(
          this.#shardOf(data, part, index).equals(shard.body),
          'E3 one name, one codeword',
          () => `shard ${index} of ${blobName(manifest.id)}/${part.number} at ${name} is another`,
        )
      }
    }
  }

  #requireDurable(manifest: Manifest, part: BlobPart, configuration: Configuration): void {
    const names = new Map(holdersIn(configuration).map(({ node, name }) => [node, name]))
    for (const [i, { node, slot }] of manifest.members.entries()) {
      const name = names.get(node)
      if (!part.durable[i] || name === undefined || this.#machines.isDamaged(name)) continue
      const shard = this.#machines.shardsOf(name).find(manifest.id, part.number, slot)
      this.#findings.expect(
        shard?.digest.equals(part.digests[i]!) === true,
        'E1 what counts is durable',
        () =>
          `${name} ${shard === undefined ? 'does not hold' : 'holds another'} shard ${slot} of ` +
          `${blobName(manifest.id)}/${part.number} durably, which counts as if it did`,
      )
    }
  }

  /** All shards of a part, wherever they lie; those that the manifest knows by another digest do not count. */
  #found({ id, members }: Manifest, { number, digests }: BlobPart): Found[] {
    const known = new Map(members.map(({ slot }, i) => [slot, digests[i]!]))
    return this.#machines.names().flatMap((name): Found[] => {
      const disk = this.#machines.shardsOf(name)
      return disk.ofPart(id, number).flatMap((shard) => {
        const digest = known.get(shard.head.index)
        return digest === undefined || shard.digest.equals(digest) ? { name, shard } : []
      })
    })
  }

  #indexesAt(name: string, { id }: Manifest, { number }: BlobPart): number[] {
    const shards = this.#machines.shardsOf(name).ofPart(id, number)
    return shards.map(({ head }) => head.index)
  }

  /** E2: a part's data from any k of its shards. */
  #dataOf(manifest: Manifest, part: BlobPart): Buffer | undefined {
    const { dataShards, bytes } = part
    const byIndex = new Map(
      this.#found(manifest, part).map(({ shard }) => [shard.head.index, shard]),
    )
    const [indexes, name] = [[...byIndex.keys()], `${blobName(manifest.id)}/${part.number}`]
    const isLeft = indexes.length >= dataShards
    const words = () => `of part ${name} ${indexes.length} shards are left, it takes ${dataShards}`
    this.#findings.expect(isLeft, 'E2 enough of every value is left', words)
    if (!isLeft) return undefined
    const sources = indexes.slice(-dataShards)
    const bodies = sources.map((index) => byIndex.get(index)!.body)
    const all = Array.from({ length: dataShards }, (_, index) => index)
    const data = Buffer.concat(this.#compute(part, sources, bodies, all)).subarray(0, bytes)
    const isRight = checksum(data) === Buffer.from(part.digest).readBigUInt64LE()
    this.#findings.expect(isRight, 'E3 one name, one codeword', () => `the data of ${name} is not`)
    return data
  }

  #shardOf(data: Buffer, part: BlobPart, index: number): Buffer {
    const { dataShards } = part
    const length = shardBytes(part)
    const padded = Buffer.concat([data, Buffer.alloc(dataShards * length - data.length)])
    const sources = Array.from({ length: dataShards }, (_, at) => at)
    const bodies = sources.map((at) => padded.subarray(at * length, (at + 1) * length))
    return this.#compute(part, sources, bodies, [index])[0]!
  }

  #compute(
    part: BlobPart,
    indexes: readonly number[],
    sources: readonly Buffer[],
    wanted: readonly number[],
  ): Buffer[] {
    const { dataShards } = part
    const code = this.#codes.get(dataShards) ?? new Code(dataShards, CODE_SHARDS - dataShards)
    this.#codes.set(dataShards, code)
    const targets = wanted.map(() => Buffer.alloc(shardBytes(part)))
    this.#codec ??= new JavaScriptBackend()
    this.#codec.run({ plan: code.plan(indexes, wanted), sources, targets })
    return targets
  }
}

function holdersIn({ members }: Configuration): Holder[] {
  const records = decodeDirectory(members).members
  return records.map(({ id, nodeId, slot }) => ({ name: id, node: nodeId, slot }))
}

/** All ways to take `count` of them. */
function subsets<T>(all: readonly T[], count: number): T[][] {
  if (count === 0) return [[]]
  if (all.length < count) return []
  const [first, ...rest] = all as [T, ...T[]]
  return [...subsets(rest, count - 1).map((some) => [first, ...some]), ...subsets(rest, count)]
}

function countDistinct(some: readonly (readonly number[])[]): number {
  return new Set(some.flat()).size
}
