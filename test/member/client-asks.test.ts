import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClientAsks } from '../../src/member/client-asks.js'
import type { Ask } from '../../src/wire/client-ask.js'
import type { Reply } from '../../src/wire/client-reply.js'

const WATCH: Ask = { type: 'watch', after: 0, afterTerm: 0, range: {} }

test('an id that is given twice opens nothing that would be forgotten', async () => {
  let open = 0
  const replies: Reply[] = []
  const backend = {
    watch: () => {
      open++
      return { next: () => new Promise<never>(() => {}), close: () => void open-- }
    },
  }
  const asks = new ClientAsks(backend as never, 65_536, (_id, reply) => replies.push(reply))
  asks.ask(1, WATCH)
  asks.ask(1, WATCH)
  assert.equal(open, 1)
  assert.match(JSON.stringify(replies), /QUORATE_FORMAT/)
  asks.ask(2, { type: 'end', id: 1 })
  assert.equal(open, 0)
  asks.ask(1, WATCH)
  await asks.end()
  assert.equal(open, 0)
})
