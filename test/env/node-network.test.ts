import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isLocalAddress, parseAddress } from '../../src/env/address.js'
import type { Connection } from '../../src/env/network.js'
import { NodeNetwork } from '../../src/env/node-network.js'
import { certificateAuthority } from '../contract/certificates.js'
import { type NetworkLab, networkContract } from '../contract/network.js'

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    assert(Date.now() < deadline, 'this takes too long')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function tcpLab(): NetworkLab {
  const network = new NodeNetwork()
  return {
    client: network,
    server: network,
    address: () => '127.0.0.1:0',
    complete: (promise) => promise,
    until,
    close: async () => {},
  }
}

function unixLab(): NetworkLab {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-'))
  let sockets = 0
  return {
    ...tcpLab(),
    address: () => `unix:${join(dir, `s${sockets++}`)}`,
    close: async () => rmSync(dir, { recursive: true }),
  }
}

networkContract('TCP', tcpLab)
networkContract('unix sockets', unixLab)

test('port 0 is replaced by the port that was given', async (t) => {
  const listener = await new NodeNetwork().listen('127.0.0.1:0', undefined, () => {})
  t.after(() => listener.close())
  const endpoint = parseAddress(listener.address)
  assert(endpoint.type === 'tcp' && endpoint.port > 0)
})

test('the socket file that a dead process left behind is taken over', async (t) => {
  const lab = unixLab()
  t.after(lab.close)
  const address = lab.address()
  const script = `
    const die = () => process.kill(process.pid, 'SIGKILL')
    require('net').createServer().listen(process.argv[1], die)`
  const path = address.slice('unix:'.length)
  assert.equal(spawnSync(process.execPath, ['-e', script, path]).signal, 'SIGKILL')
  const listener = await lab.server.listen(address, undefined, () => {})
  t.after(() => listener.close())
  const connection = await lab.client.connect(address, undefined)
  connection.destroy()
})

test('addresses are host:port, [v6]:port or unix:/path, and nothing else', () => {
  assert.deepEqual(parseAddress('db.example:7101'), { type: 'tcp', host: 'db.example', port: 7101 })
  assert.deepEqual(parseAddress('[::1]:80'), { type: 'tcp', host: '::1', port: 80 })
  assert.deepEqual(parseAddress('unix:/run/q'), { type: 'unix', path: '/run/q' })
  for (const bad of [
    '',
    'host',
    ':1',
    'host:',
    'host:x',
    'host:70000',
    '::1:80',
    'unix:',
    'h:-1',
  ]) {
    assert.throws(() => parseAddress(bad), TypeError, bad)
  }
})

test('only loopback addresses and unix sockets are local', () => {
  for (const local of ['127.0.0.1:1', '127.9.9.9:1', 'localhost:1', '[::1]:1', 'unix:/x']) {
    assert(isLocalAddress(local), local)
  }
  for (const open of ['0.0.0.0:1', '[::]:1', '10.0.0.1:1', '127.example:1', 'local:1']) {
    assert(!isLocalAddress(open), open)
  }
})

const ours = certificateAuthority('ours')
const theirs = certificateAuthority('theirs')

/** Listens with TLS and tells who came in. */
async function tlsServer(t: TestContext) {
  const connections: Connection[] = []
  const network = new NodeNetwork()
  const listener = await network.listen('127.0.0.1:0', ours.issue('server'), (connection) => {
    connections.push(connection)
  })
  t.after(() => listener.close())
  return { network, connections, listener }
}

test('TLS: two certificates of one authority connect, and each side knows the name of the other', async (t) => {
  const { network, connections, listener } = await tlsServer(t)
  const client = await network.connect(listener.address, ours.issue('client'))
  await until(() => connections.length === 1)
  assert.deepEqual(client.peerNames, ['server', 'localhost'])
  assert.deepEqual(connections[0]?.peerNames, ['client', 'localhost'])
  let received = ''
  connections[0].setHandlers({
    data: (bytes) => {
      received += Buffer.from(bytes).toString()
    },
    close: () => {},
    drain: () => {},
  })
  client.write([Buffer.from('hid'), Buffer.from('den')])
  await until(() => received === 'hidden')
})

test('TLS: a certificate of another authority does not come in (D11)', async (t) => {
  const { network, connections, listener } = await tlsServer(t)
  const stranger = theirs.issue('client')
  await assert.rejects(network.connect(listener.address, stranger), 'the client must refuse too')
  // One that does not check the server meets the server's own check.
  const { connect } = await import('node:tls')
  const { cert, key } = stranger
  const { host, port } = parseAddress(listener.address) as { host: string; port: number }
  for (const identity of [{ cert, key }, {}]) {
    const socket = connect({ host, port, ...identity, rejectUnauthorized: false })
    let isClosed = false
    socket
      .on('error', () => {})
      .on('close', () => {
        isClosed = true
      })
    socket.write('let me in')
    await until(() => isClosed)
  }
  assert.equal(connections.length, 0)
})

test('TLS: a server whose certificate names another host is not spoken to', async (t) => {
  const network = new NodeNetwork()
  const listener = await network.listen('127.0.0.1:0', ours.issue('server', 'elsewhere'), () => {})
  t.after(() => listener.close())
  await assert.rejects(network.connect(listener.address, ours.issue('client')), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

test('TLS: somebody who speaks no TLS is turned away', async (t) => {
  const { network, connections, listener } = await tlsServer(t)
  const connection = await network.connect(listener.address, undefined)
  let isClosed = false
  connection.setHandlers({
    data: () => {},
    drain: () => {},
    close: () => {
      isClosed = true
    },
  })
  connection.write([Buffer.from('GET / HTTP/1.1\r\n\r\n')])
  await until(() => isClosed)
  assert.equal(connections.length, 0)
})
