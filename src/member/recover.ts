/**
 * When so many members are gone for good that no majority will ever be up again: makes a cluster of one out of what a
 * survivor has, in a folder of its own. The survivor's folder stays as it is.
 *
 * What the new cluster gets is the survivor's whole log, also the entries behind the newest commit that it heard of:
 * it hears of a commit later than the leader acknowledges it, so leaving them out could lose acknowledged writes. What
 * it can get too much are writes whose callers were told that their outcome is unknown. What it may lack is whatever a
 * majority without this survivor acknowledged; that cannot be seen here. So of several survivors the one whose log
 * ends in the highest term, and among equals at the highest index, is the one to recover from: its log holds
 * everything that any of them knows to be committed (Raft §5.4.1).
 *
 * Of large values the new cluster gets those that the survivor has alone: of all others it has one shard of several.
 *
 * None of the members of the old cluster may ever run again: with a majority it would still be a cluster, too.
 */
import { lonePart } from '../blob/lone-parts.js'
import type { Env } from '../env/env.js'
import type { EntryId, LogIndex, Term } from '../raft/types.js'
import { Image } from '../snapshot/image.js'
import type { MemberPart } from '../wire/membership.js'
import { firstConfiguration, openDirectory } from './directory.js'
import { type ClusterSource, foundCluster, type NewCluster } from './new-cluster.js'
import { entriesOf, type OfflineMember, openOffline } from './offline.js'

/** What a survivor has, and what it cannot know. */
export interface Survivor {
  readonly id: string
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  /** As of its state, `appliedIndex`. */
  readonly members: readonly {
    readonly id: string
    readonly address: string | undefined
    readonly as: MemberPart
  }[]
  readonly term: Term
  /** Whom it voted for in `term`; undefined for nobody. A vote for itself: it may have led. */
  readonly votedFor: string | undefined
  /** The state on disk holds the entries up to here; the others come from the log. */
  readonly appliedIndex: LogIndex
  /** Everything up to here is known to be committed. */
  readonly commitIndex: LogIndex
  /** The end of its log: compare it with that of the other survivors. */
  readonly last: EntryId
  /** Entries behind `commitIndex`: they may be committed or not, and become part of the new cluster. */
  readonly unproven: number
}

/** Looks at the folder of a survivor, which is not running. @throws {StoreError} as `openOffline` */
export async function inspectSurvivor(env: Env, dir: string): Promise<Survivor> {
  const member = await openOffline(env, dir)
  try {
    return describeSurvivor(member)
  } finally {
    await member.close()
  }
}

/**
 * Makes a cluster of one, in the folder `to`, of what the survivor in `dir` has.
 * @throws {StoreError} as `openOffline` and `foundCluster`
 */
export async function recoverCluster(env: Env, dir: string, to: string): Promise<NewCluster> {
  const member = await openOffline(env, dir)
  try {
    const image = await imageOf(member)
    try {
      return await foundCluster(env, to, member.identity.id, await sourceOf(member, image))
    } finally {
      await image?.close()
    }
  } finally {
    await member.close()
  }
}

/** The state on disk; undefined when there is none yet. */
async function imageOf({ identity, machine }: OfflineMember): Promise<Image | undefined> {
  if (machine.appliedIndex === 0) return undefined
  const snapshot = await machine.pin(machine.appliedIndex)
  return snapshot && new Image(snapshot, identity.clusterId)
}

async function sourceOf(
  { identity, log, shards }: OfflineMember,
  image: Image | undefined,
): Promise<ClusterSource> {
  return {
    image: image && {
      manifest: await image.manifest(),
      read: (chunk) => image.readChunk(chunk.firstKey),
    },
    initial: firstConfiguration(identity.firstMembers),
    entries: (from) => entriesOf(log, from, log.recovered.lastIndex),
    largeParts: (value, part) => lonePart(shards, value, part),
  }
}

function describeSurvivor({ identity, log, machine }: OfflineMember): Survivor {
  const { hardState, previous, lastIndex, terms } = log.recovered
  const { conf } = machine
  const { members, removed } = openDirectory(machine)
  const voters = [...conf.voters, ...conf.votersOutgoing]
  const commitIndex = Math.max(hardState.commit, machine.appliedIndex)
  const named = [...members, ...removed].find(({ nodeId }) => nodeId === hardState.vote)
  return {
    id: identity.id,
    clusterId: identity.clusterId,
    members: members.map(({ nodeId, id, address }) => ({
      id,
      address,
      as: voters.includes(nodeId) ? 'voter' : 'learner',
    })),
    term: hardState.term,
    votedFor: named?.id,
    appliedIndex: machine.appliedIndex,
    commitIndex,
    last: { index: lastIndex, term: terms.at(-1)?.term ?? previous.term },
    unproven: Math.max(0, lastIndex - commitIndex),
  }
}
