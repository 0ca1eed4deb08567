/** The `quorate` command as its users meet it: as a process, by its output and exit code. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { connect } from '../../src/index.js'

const COMMAND = join(import.meta.dirname, '../../src/cli/quorate.js')
/** All that was started: a test that fails before it has one in hand must not leave it behind. */
const children: ChildProcess[] = []
let dir: string

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-cli-'))
})

after(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(dir, { recursive: true, force: true })
})

function quorate(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

/** Starts `quorate serve` and waits until it says where it listens. */
async function serving(...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [COMMAND, 'serve', ...args])
  children.push(child)
  child.stderr.resume()
  await textUntil(child.stdout, 'listens on')
  return child
}

/** What comes of a stream until `wanted` is in it; the rest is let go. */
async function textUntil(stream: Readable, wanted: string): Promise<string> {
  let said = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    said += String(chunk)
    if (said.includes(wanted)) break
  }
  assert.ok(said.includes(wanted), said)
  stream.resume()
  return said
}

test('a wrong command line ends with exit code 2 and one sentence that says what is wrong', async () => {
  const wrong: [string[], RegExp][] = [
    [[], /which command/],
    [['sreve'], /no command 'sreve'; there are serve, status, members,/],
    [['serve', '--port', '1'], /'--port'/],
    [['serve'], /--dir/],
    [['serve', '--dir', dir, '--member', 'a'], /ID=ADDRESS, not 'a'/],
    [['serve', '--dir', dir, '--tls-cert', 'x'], /all three/],
    [['serve', '--dir', dir, '--client', 'app'], /--client NAME=ROLE, not 'app'/],
    [['serve', '--dir', dir, '--log', 'loud'], /debug, info, warn, error, none, not 'loud'/],
    [['serve', '--config', join(dir, 'absent.json')], /cannot read/],
    [['status'], /one ADDRESS/],
    [['blobs', 'a', 'b'], /blobs takes one ADDRESS/],
    [['status', 'localhost:1', '--timeout-ms', 'soon'], /whole number from 1 up, not 'soon'/],
    [['members', 'list'], /needs --at/],
    [['members', 'ad', 'b', '--at', 'localhost:1'], /no action 'ad'; there are list, add/],
    [['members', 'add', 'b', '--at', 'localhost:1'], /members add takes other words/],
    [['members', 'replace', 'a', 'b', 'c', 'd', '--at', 'x'], /OLD-ID NEW-ID NEW-ADDRESS/],
    [['demo', '--dir', import.meta.dirname], /is not empty/],
  ]
  for (const [args, message] of wrong) {
    const { code, out, err } = await quorate(...args)
    assert.deepEqual([code, out], [2, ''], args.join(' '))
    assert.match(err, message)
    assert.doesNotMatch(err, /\n {4}at /, 'no stack')
  }
})

test('a configuration file with an unknown or ill-typed setting is refused by name', async () => {
  const path = join(dir, 'config.json')
  const wrong: [unknown, RegExp][] = [
    [{ dri: 'x' }, /no setting 'dri'/],
    [{ dir: 7 }, /dir is a text/],
    [{ members: ['a'] }, /an object is wanted/],
    [{ tls: { cert: 'x' } }, /cert, key and ca/],
    [{ clients: [{ name: 'app' }] }, /a client has name and role/],
    [{ storage: 5 }, /an object is wanted/],
  ]
  const refusedByStore: [unknown, RegExp][] = [
    [{ dir: 'x', erasure: { treshold: 1 } }, /erasure has no option treshold/],
    [{ dir: 'x', strongReads: 'maybe' }, /strongReads is one of quorum, lease/],
  ]
  for (const [config, message] of [...wrong, ...refusedByStore]) {
    await writeFile(path, JSON.stringify(config))
    const { code, err } = await quorate('serve', '--config', path)
    assert.equal(code, wrong.some(([known]) => known === config) ? 2 : 1)
    assert.match(err, message)
  }
})

test('a server lets clients do what it is told, and no more', async () => {
  const [secretFile, readers] = [join(dir, 'members'), join(dir, 'readers')]
  await writeFile(secretFile, 'the secret of the members\n')
  await writeFile(readers, 'the secret of those who read\n')
  const address = `unix:${join(dir, 'roles.sock')}`
  const flags = ['--secret-file', secretFile, '--client-secret', `${readers}=read`]
  const server = await serving('--dir', join(dir, 'roles'), '--listen', address, ...flags)
  const reader = ['--at', address, '--secret-file', readers]
  assert.equal((await quorate('status', address, '--secret-file', readers)).code, 0)
  const refused = await quorate('members', 'remove', 'a', ...reader)
  assert.equal(refused.code, 1)
  assert.match(refused.err, /members \(change\) needs the role admin; this client has read/)
  server.kill('SIGTERM')
})

test('blobs says what a member has of the large values', async () => {
  const address = `unix:${join(dir, 'blobs.sock')}`
  const server = await serving('--dir', join(dir, 'blobs'), '--listen', address)
  const store = await connect(address)
  await store.put('large', Buffer.alloc(500_000, 1))
  await store.close()
  const { code, out, err } = await quorate('blobs', address)
  assert.deepEqual([code, err], [0, ''])
  assert.match(out, /^values +1\nhere +1 shards, 488\.4 KiB in 1 files$/m)
  assert.match(out, /^a +1 +488\.4 KiB +0 +0 +yes$/m)
  assert.match(out, /^Nothing is known to be missing or damaged\.$/m)
  const { out: json } = await quorate('blobs', address, '--json')
  const answer = JSON.parse(json) as { member: string; values: number }
  assert.deepEqual([answer.member, answer.values], ['a', 1])
  server.kill('SIGTERM')
})

test('--help and --version answer on standard output', async () => {
  const manifest = await readFile(join(import.meta.dirname, '../../../package.json'), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  assert.deepEqual(await quorate('--version'), { code: 0, out: `${version}\n`, err: '' })
  for (const args of [
    ['--help'],
    ['serve', '--help'],
    ['status', '--help'],
    ['members', '--help'],
    ['demo', '--help'],
  ]) {
    const { code, out, err } = await quorate(...args)
    assert.deepEqual([code, err], [0, ''], args.join(' '))
    assert.match(out, /quorate/)
  }
})

test('status of a member that is not there fails with exit code 1 and the code of the error', async () => {
  const { code, err } = await quorate('status', `unix:${join(dir, 'nobody')}`)
  assert.equal(code, 1)
  assert.match(err, /QUORATE_NETWORK/)
})

test('serve runs a member that status can ask, and SIGTERM closes it in good order', async () => {
  const address = `unix:${join(dir, 's')}`
  const config = join(dir, 'member.json')
  const tuning = { strongReads: 'lease', storage: { keepLogBytes: 1_048_576 }, erasure: false }
  await writeFile(config, JSON.stringify({ dir: 'data', id: 'lone', ...tuning }))
  const archive = join(dir, 'archive')
  const child = await serving('--config', config, '--listen', address, '--archive', archive)
  try {
    const text = await quorate('status', address)
    assert.equal(text.code, 0, text.err)
    assert.match(text.out, /role +leader/)
    assert.match(text.out, /One member: no other copy/)
    const json = await quorate('status', address, '--json')
    const status = JSON.parse(json.out) as { id: string; role: string; words: string[] }
    assert.deepEqual([status.id, status.role], ['lone', 'leader'])
  } finally {
    child.kill('SIGTERM')
  }
  const [code] = (await once(child, 'exit')) as [number | null]
  assert.equal(code, 0)
})

test('serve answers HTTP where it is told to, logs to standard error, and keeps to this machine', async () => {
  const address = `unix:${join(dir, 'observed')}`
  const args = ['--dir', join(dir, 'observed-data'), '--listen', address, '--log-json']
  const refused = await quorate('serve', ...args, '--http', '0.0.0.0:0')
  assert.equal(refused.code, 1)
  assert.match(refused.err, /QUORATE_INSECURE/)
  const child = spawn(process.execPath, [COMMAND, 'serve', ...args, '--http', '127.0.0.1:0'])
  children.push(child)
  const out = await textUntil(child.stdout, 'listens on')
  const log = await textUntil(child.stderr, 'leads')
  const [, url] = /at (http:\/\/127\.0\.0\.1:\d+)/.exec(out) ?? []
  assert.equal(await (await fetch(`${url}/readyz`)).text(), 'ok\n')
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^quorate_is_leader\{/m)
  const { event, leader, msg } = JSON.parse(log.trim().split('\n').at(-1)!) as Record<
    string,
    string
  >
  assert.deepEqual([event, leader, msg], ['leader', 'a', 'a leads in term 1'])
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('a member grows to a cluster of three by its command line, hands over, and leaves it', async () => {
  const at = (id: string): string => `unix:${join(dir, id)}.sock`
  const path = (id: string): string => join(dir, `grown-${id}`)
  const first = await serving('--dir', path('a'), '--id', 'a', '--listen', at('a'))
  const members = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await quorate('members', ...args, '--at', at('a'))
    assert.equal(code, 0, err)
    return out
  }
  for (const id of ['b', 'c']) {
    const joining = serving('--dir', path(id), '--id', id, '--listen', at(id), '--join', at('a'))
    await Promise.all([joining, members('add', id, at(id))])
  }
  const list = await members()
  for (const id of ['a', 'b', 'c']) assert.match(list, new RegExp(`^${id} +unix:\\S+ +`, 'm'))
  assert.match(await members('transfer', 'b'), /^b leads/)
  const json = JSON.parse(await members('list', '--json')) as { confIndex: number }
  const stale = await quorate(
    ...['members', 'remove', 'c', '--expect', `${json.confIndex - 1}`, '--at', at('b')],
  )
  assert.equal(stale.code, 1)
  assert.match(stale.err, /QUORATE_CONF_CHANGED/)
  const left = once(first, 'exit')
  assert.equal((await quorate('members', 'remove', 'a', '--at', at('b'))).code, 0)
  assert.deepEqual(await left, [0, null], 'a removed member ends in good order')
  const rest = await quorate('members', '--at', at('c'), '--json')
  const { members: found } = JSON.parse(rest.out) as { members: { id: string; as: string }[] }
  assert.deepEqual(
    found.map(({ id, as }) => [id, as]),
    [
      ['b', 'voter'],
      ['c', 'voter'],
    ],
  )
})
