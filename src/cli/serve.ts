/**
 * `quorate serve`: one member, from flags or a JSON file, until SIGINT or SIGTERM.
 *
 * What it says about itself goes to standard output, the log of the member to standard error. Flags stand over the
 * file, whose names serve-settings.ts checks; what the values may be is checked by Store.open.
 */
import { once } from 'node:events'
import { type OpenOptions, Store } from '../index.js'
import { GRANTS_HELP, grantsOf, readGrants } from './client-grants.js'
import { parseFlags, UsageError } from './command-line.js'
import { listenHttp, type Reach } from './http.js'
import { LOG_LEVELS, type LogThreshold, lineLogger } from './log-lines.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readSecret, readTls, tlsFilesOf } from './protection.js'
import { readConfig, type ServeSettings } from './serve-settings.js'
import { complain, print } from './terminal.js'

/** Where a lone member listens unless told otherwise: a member that nobody can ask is of no use. */
const DEFAULT_LISTEN = '127.0.0.1:7101'

/** What `quorate serve --help` prints. */
export const SERVE_HELP: string = `quorate serve --dir DIR [flags]
quorate serve --config FILE [flags]

Runs one member until SIGINT or SIGTERM, then closes it in good order; a second signal ends it at once.

  --dir DIR            the data folder
  --id ID              this member's name
  --member ID=ADDRESS  a member of the cluster and its address (host:port or unix:/path); once for
                       each, this one included, the same on all of them
  --cluster NAME       tells clusters with equally named members apart
  --listen ADDRESS     where to listen when that is not the own address above;
                       without --member: ${DEFAULT_LISTEN}
  --join ADDRESS       with a new folder: become a member of the cluster that this member belongs to, as
                       soon as it is added (quorate members add); may be given several times
  --priority N         -100 to 100 (0): of members that keep up, the one of higher priority leads
  --archive FOLDER     copy log entries there before the log lets go of them (quorate restore --archive)
  --http HOST:PORT     answer /metrics (Prometheus), /livez, /readyz and /status there, to be read only
  --http-open          let everybody read who gets there; without it --http is for this machine only
  --log LEVEL          ${LOG_LEVELS.join(', ')} (info): what is said on standard error
  --log-json           ... as JSON, a line each
${PROTECTION_HELP}
${GRANTS_HELP}
  --config FILE        JSON with dir, id, members, cluster, listen, join [], priority, archive,
                       http, tls {cert, key, ca}, secretFile, clients [{name or secretFile, role}];
                       strongReads, timing, limits, storage and erasure as Store.open has them;
                       paths in it are relative to it`

/** What the command line asks for. */
interface ServeCommand {
  readonly options: OpenOptions
  /** Where to answer HTTP; undefined: nowhere. */
  readonly http: string | undefined
  readonly reach: Reach
}

/** Runs the command; resolves with its exit code after a signal. */
export async function serve(args: readonly string[]): Promise<number> {
  const { options, http, reach } = await readCommand(args)
  let store: Store | undefined
  // Before the store, which may take its time: a probe should see that it is on its way.
  const port = http === undefined ? undefined : await listenHttp(http, () => store, reach)
  try {
    if (port !== undefined) print(`metrics, health and status at http://${port.address}`)
    if (options.join !== undefined) {
      print(`${options.id} asks ${options.join.join(' and ')} to be let in, unless it is a member`)
    }
    store = await Store.open(options)
    return await run(store)
  } finally {
    await port?.close()
  }
}

async function run(store: Store): Promise<number> {
  const ended = nextEnd(store)
  const { id, address, clusterId } = store.status()
  print(`member ${id} of cluster ${clusterId} listens on ${address}`)
  for (const words of store.status().words) print(words)
  const end = await ended
  if (end instanceof Error) complain(`quorate: the member has stopped: ${end.message}`)
  else print(`${end}: closing`)
  await store.close()
  return end instanceof Error ? 1 : 0
}

/**
 * The first signal, or that the member was removed, or the error that stopped it. A signal's second coming has its
 * usual effect.
 */
async function nextEnd(store: Store): Promise<string | Error> {
  const signals = (['SIGINT', 'SIGTERM'] as const).map(async (signal) => {
    await once(process, signal)
    return signal
  })
  const fatal = new Promise<Error>((resolve) => store.once('fatal', resolve))
  const removed = new Promise<string>((resolve) => {
    store.once('removed', () => resolve(`${store.status().id} was removed`))
  })
  return Promise.race([...signals, removed, fatal])
}

async function readCommand(args: readonly string[]): Promise<ServeCommand> {
  const flags = parseFlags(args, {
    config: { type: 'string' },
    dir: { type: 'string' },
    id: { type: 'string' },
    member: { type: 'string', multiple: true },
    cluster: { type: 'string' },
    listen: { type: 'string' },
    join: { type: 'string', multiple: true },
    priority: { type: 'string' },
    archive: { type: 'string' },
    http: { type: 'string' },
    'http-open': { type: 'boolean', default: false },
    log: { type: 'string', default: 'info' },
    'log-json': { type: 'boolean', default: false },
    client: { type: 'string', multiple: true },
    'client-secret': { type: 'string', multiple: true },
    ...PROTECTION_FLAGS,
  })
  const { config, member, dir, id, cluster, listen, join, priority, archive, http } = flags
  const secretFile = flags['secret-file']
  const tls = tlsFilesOf(flags)
  const clients = grantsOf(flags.client, flags['client-secret'])
  const settings: ServeSettings = {
    ...(config === undefined ? {} : await readConfig(config)),
    ...(dir === undefined ? {} : { dir }),
    ...(id === undefined ? {} : { id }),
    ...(cluster === undefined ? {} : { cluster }),
    ...(listen === undefined ? {} : { listen }),
    ...(join === undefined ? {} : { join }),
    ...(priority === undefined ? {} : { priority: Number(priority) }),
    ...(archive === undefined ? {} : { archive }),
    ...(http === undefined ? {} : { http }),
    ...(member === undefined ? {} : { members: membersOf(member) }),
    ...(secretFile === undefined ? {} : { secretFile }),
    ...(tls === undefined ? {} : { tls }),
    ...(clients === undefined ? {} : { clients }),
  }
  const logger = lineLogger(thresholdOf(flags.log), flags['log-json'] ? 'json' : 'text')
  return {
    options: { ...(await optionsOf(settings)), logger },
    http: settings.http,
    reach: flags['http-open'] ? 'anybody' : 'local',
  }
}

function thresholdOf(text: string): LogThreshold {
  const level = LOG_LEVELS.find((name) => name === text)
  if (level !== undefined) return level
  throw new UsageError(`--log takes one of ${LOG_LEVELS.join(', ')}, not '${text}'`)
}

/** Reads the files that `settings` names. */
async function optionsOf(settings: ServeSettings): Promise<OpenOptions> {
  const { dir, tls, secretFile, clients, archive, http: _http, ...plain } = settings
  if (dir === undefined) throw new UsageError('serve needs --dir, or a --config with a dir')
  const { members, listen, join } = plain
  const isAlone = members === undefined && listen === undefined && join === undefined
  return {
    ...plain,
    dir,
    ...(archive === undefined ? {} : { storage: { ...plain.storage, archive } }),
    // Somebody watches a server: it waits until it is told to stop.
    ...(join === undefined ? {} : { joinTimeoutMs: Number.POSITIVE_INFINITY }),
    ...(isAlone ? { listen: DEFAULT_LISTEN } : {}),
    ...(tls === undefined ? {} : { tls: await readTls(tls) }),
    ...(secretFile === undefined ? {} : { secret: await readSecret(secretFile) }),
    ...(clients === undefined ? {} : { clients: await readGrants(clients) }),
  }
}

function membersOf(texts: readonly string[]): Record<string, string> {
  const members: Record<string, string> = {}
  for (const text of texts) {
    const [, id, address] = /^([^=]+)=(.+)$/.exec(text) ?? []
    if (id === undefined || address === undefined) {
      throw new UsageError(`--member takes ID=ADDRESS, not '${text}'`)
    }
    if (Object.hasOwn(members, id)) throw new UsageError(`--member names ${id} twice`)
    members[id] = address
  }
  return members
}
