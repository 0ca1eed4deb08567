import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isProofOf, proofOf, sessionTags } from '../../src/transport/session-key.js'

const SECRET = Buffer.from('a secret of at least sixteen bytes')
const TRANSCRIPT = { hello: Buffer.from('hello'), challenge: Buffer.from('challenge') }
const BYTES = [Buffer.from('some '), Buffer.from('frame')]

test('a proof is good for its side, secret and transcript only', () => {
  const proof = proofOf('dialer', SECRET, TRANSCRIPT)
  assert.equal(proof.length, 32)
  assert(isProofOf('dialer', SECRET, TRANSCRIPT, proof))
  assert(!isProofOf('acceptor', SECRET, TRANSCRIPT, proof))
  assert(!isProofOf('dialer', Buffer.from('another'), TRANSCRIPT, proof))
  assert(!isProofOf('dialer', SECRET, { ...TRANSCRIPT, hello: Buffer.from('hellO') }, proof))
  assert(!isProofOf('dialer', SECRET, TRANSCRIPT, proof.subarray(1)))
  assert(!isProofOf('dialer', SECRET, TRANSCRIPT, new Uint8Array(0)))
})

test('bytes cannot move from the hello into the challenge', () => {
  const moved = { hello: Buffer.from('hell'), challenge: Buffer.from('ochallenge') }
  assert(!isProofOf('dialer', SECRET, moved, proofOf('dialer', SECRET, TRANSCRIPT)))
})

test('without a secret the proof is empty, and nothing else is one', () => {
  assert(isProofOf('dialer', undefined, TRANSCRIPT, new Uint8Array(0)))
  assert(!isProofOf('dialer', undefined, TRANSCRIPT, new Uint8Array(32)))
})

test('what one side sends the other one receives, frame by frame, and not backwards', () => {
  const dialer = sessionTags('dialer', SECRET, TRANSCRIPT)
  const acceptor = sessionTags('acceptor', SECRET, TRANSCRIPT)
  const first = dialer.send(BYTES)
  const second = dialer.send(BYTES)
  assert.notEqual(first, second, 'the same frame twice has two tags')
  assert.equal(acceptor.receive([Buffer.concat(BYTES)]), first)
  assert.equal(acceptor.receive(BYTES), second)
  assert.notEqual(acceptor.send(BYTES), first)
})
