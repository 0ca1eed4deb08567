/** The HTTP port of `quorate serve`, over real sockets, with a real lone member behind it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type HttpPort, listenHttp } from '../../src/cli/http.js'
import { Store, StoreError } from '../../src/index.js'

let dir: string
let store: Store
let port: HttpPort
let isOpening = false

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-http-'))
  store = await Store.open({ dir: join(dir, 'data'), listen: `unix:${join(dir, 's')}` })
  port = await listenHttp('127.0.0.1:0', () => (isOpening ? undefined : store), 'local')
})

after(async () => {
  await port.close()
  await store.close()
  await rm(dir, { recursive: true, force: true })
})

interface Answer {
  readonly status: number | undefined
  readonly type: string | undefined
  readonly body: string
}

async function ask(
  path: string,
  options: { method?: string; host?: string } = {},
): Promise<Answer> {
  const { method = 'GET', host = port.address } = options
  const sent = request(`http://${port.address}${path}`, { method, headers: { host }, agent: false })
  sent.end()
  const [response] = await once(sent, 'response')
  let body = ''
  for await (const chunk of response) body += String(chunk)
  return { status: response.statusCode, type: response.headers['content-type'], body }
}

/** Sends bytes as they are; resolves with everything that comes back until the connection ends. */
async function send(bytes: string): Promise<string> {
  const { hostname, port: number } = new URL(`http://${port.address}`)
  const socket = connect({ host: hostname, port: Number(number) })
  socket.write(bytes)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

test('a member that serves is live and ready, line by line with ?verbose', async () => {
  await store.put('k', 1)
  assert.deepEqual(await ask('/livez'), {
    status: 200,
    type: 'text/plain; charset=utf-8',
    body: 'ok\n',
  })
  assert.equal((await ask('/readyz')).body, 'ok\n')
  const { body } = await ask('/readyz?verbose')
  assert.match(body, /^\[\+\]leader ok\n\[\+\]quorum ok\n/m)
})

test('while the store is being opened it is live, not ready, and a check can be left out', async () => {
  isOpening = true
  try {
    assert.equal((await ask('/livez')).status, 200)
    const { status, body } = await ask('/readyz')
    assert.deepEqual([status, body], [503, '[-]member failed: the store is being opened\nfailed\n'])
    assert.equal((await ask('/readyz?exclude=member')).status, 200)
    assert.equal((await ask('/metrics')).status, 503)
    assert.equal((await ask('/status')).status, 503)
  } finally {
    isOpening = false
  }
})

test('/status is the status as JSON, /metrics what Prometheus reads', async () => {
  const status = await ask('/status')
  assert.equal(status.type, 'application/json')
  assert.equal(JSON.parse(status.body).role, 'leader')
  const metrics = await ask('/metrics')
  assert.equal(metrics.type, 'text/plain; version=0.0.4; charset=utf-8')
  assert.match(metrics.body, /^quorate_is_leader\{member="a"\} 1$/m)
  const head = await ask('/metrics', { method: 'HEAD' })
  assert.deepEqual([head.status, head.body], [200, ''])
})

test('nothing can be changed, and nothing else is there', async () => {
  assert.equal((await ask('/status', { method: 'POST' })).status, 405)
  assert.equal((await ask('/status', { method: 'DELETE' })).status, 405)
  assert.equal((await ask('/')).status, 404)
  assert.equal((await ask('/status/x')).status, 404)
})

test('a web page that had its name pointed at this machine reads nothing', async () => {
  assert.equal((await ask('/status', { host: 'evil.example' })).status, 403)
  for (const host of ['localhost:1', '127.0.0.1', '[::1]:80']) {
    assert.equal((await ask('/livez', { host })).status, 200, host)
  }
})

test('a request that is too long, or brings a body, is refused and its connection ended', async () => {
  const long = `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`
  assert.match(await send(long), /^HTTP\/1\.1 431 /)
  const body = 'GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\nx'
  assert.match(await send(body), /^HTTP\/1\.1 413 /)
})

test('beyond this machine it listens only when that is asked for', async () => {
  const refused = listenHttp('0.0.0.0:0', () => store, 'local')
  await assert.rejects(refused, (error) => {
    return error instanceof StoreError && error.code === 'QUORATE_INSECURE'
  })
  const open = await listenHttp('0.0.0.0:0', () => store, 'anybody')
  await open.close()
  await assert.rejects(
    listenHttp(port.address, () => store, 'local'),
    /cannot listen on/,
  )
})
