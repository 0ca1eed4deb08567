/**
 * Planted bugs: changes to the compiled library that the simulator must notice.
 *
 * Each is the mistake of a real system or the way around one line that this code explains at length. The text to be
 * replaced must occur exactly once, so that a mutant which no longer means anything is told.
 */

/** One replacement of text in a file of dist/src. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** A bug, and how it is planted. */
export interface Mutant {
  readonly name: string
  readonly edits: readonly Edit[]
}

function mutant(name: string, file: string, find: string, replace: string): Mutant {
  return { name, edits: [{ file, find, replace }] }
}

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  mutant(
    'log: a write is acknowledged before its fsync',
    'log/segment-chain.js',
    'await this.#file.writeDurable(encoded.parts, end);',
    'await this.#file.write(encoded.parts, end);',
  ),
  mutant(
    'log: goes on after a failed fsync',
    'log/raft-log.js',
    'task.reject(failed);\n            }\n        }',
    'task.resolve();\n                this.#failed = undefined;\n            }\n        }',
  ),
  mutant(
    'log: the vote is not written',
    'log/raft-log.js',
    'hardState = { ...write.hardState, commit };',
    'hardState = { ...write.hardState, vote: hardState.vote, commit };',
  ),
  mutant(
    'log: a segment gets its name without a sync of the folder',
    'log/segment-chain.js',
    'await disk.rename(sparePath(dir, number), path);\n    await disk.syncDir(dir);',
    'await disk.rename(sparePath(dir, number), path);',
  ),
  mutant(
    'log: recovery believes frames without their check',
    'wire/log-frame.js',
    'if (checksum(source.subarray(offset + 8, end)) !== check)',
    'if (false)',
  ),
  mutant(
    'log: recovery drops a damaged middle instead of refusing it',
    'log/recovery.js',
    'if (later === undefined)\n        return;',
    'return;',
  ),
  mutant(
    'member: answers leave before the log is durable',
    'member/driver.js',
    'this.own(write.then(() => this.#onDurable(task)',
    'write.catch(() => { });\n        this.own(Promise.resolve().then(() => this.#onDurable(task)',
  ),
  mutant(
    'member: the vote is forgotten at a restart',
    'member/storage.js',
    'hardState: { ...hardState, commit:',
    'hardState: { ...hardState, vote: 0, commit:',
  ),
  mutant(
    'member: small files get their names without a sync of the folder',
    'member/small-file.js',
    'await disk.syncDir(dir);',
    '',
  ),
  mutant(
    'member: the log is shortened beyond the checkpoint',
    'member/checkpoints.js',
    'Math.min(index, archived,',
    'Math.min(archived,',
  ),
  mutant(
    'member: a session reads wherever it is, whatever its token says',
    'member/reads.js',
    'if (isFresh && this.#source.appliedIndex >= read.minIndex) {',
    'if (isFresh) {',
  ),
  mutant(
    'member: a strong read is served before its index is applied',
    'member/reads.js',
    'if (index <= applied)\n            this.#enqueue(round.reads);',
    'if (true)\n            this.#enqueue(round.reads);',
  ),
  {
    name: 'member: an answer goes by index, whatever the term',
    edits: [
      { file: 'member/requests.js', find: 'if (batch.term === entry.term)', replace: '' },
      { file: 'member/requests.js', find: 'this.#appended.clear();', replace: '' },
    ],
  },
  {
    name: 'member: a read names a newer state than it shows',
    edits: [
      {
        file: 'member/local-reader.js',
        find: 'if (machine.visible.index === machine.appliedIndex) {',
        replace: 'if (true) {',
      },
      {
        file: 'member/local-reader.js',
        find: 'index: machine.appliedIndex',
        replace: 'index: machine.visible.index',
      },
    ],
  },
  {
    name: 'member: reads under a lease that does not end',
    edits: [
      {
        file: 'member/storage.js',
        find: "reads: options.strongReads === 'lease' ? 'lease' : 'safe'",
        replace: "reads: 'lease'",
      },
      {
        file: 'raft/leader.js',
        find: 'hasCommittedInTerm(state) && state.lease.isValid',
        replace: 'hasCommittedInTerm(state)',
      },
    ],
  },
  {
    name: 'member: a lease counts on a clock that stood still',
    edits: [
      {
        file: 'member/loyalty.js',
        find: 'if (Math.max(late, lateOnWall) < this.#tickMs)',
        replace: 'if (true)',
      },
      {
        file: 'raft/core.js',
        find: '#clockGap() {\n        const state = this.#state;\n        state.lease.void();',
        replace: '#clockGap() {\n        const state = this.#state;',
      },
    ],
  },
  mutant(
    'member: a bound on staleness is not looked at',
    'member/reads.js',
    'return ageMs !== undefined && ageMs <= maxStalenessMs;',
    'return true;',
  ),
  mutant(
    'member: expiry goes by the wall clock',
    'member/expiry.js',
    `const now = this.#time.now();
        this.#elapsed += Math.min(now - this.#lastAt, STEP_MS);`,
    `const now = this.#time.wall();
        this.#elapsed += now - this.#lastAt;`,
  ),
  mutant(
    'member: a new leader takes for overdue what it did not see begin',
    'member/expiry.js',
    `for (const note of notes)
                    this.#take(note);`,
    `for (const note of notes)
                    this.#take({ ...note, ttlMs: 0 });`,
  ),
  mutant(
    'watch: one event is lost where a watch goes on elsewhere',
    'member/watches.js',
    'this.after = request.after;',
    'this.after = request.after + Number(request.afterTerm > 0);',
  ),
  mutant(
    'watch: an entry is given in two parts',
    'member/watches.js',
    'if (last?.index === index)',
    'if (last?.index === index && false)',
  ),
  mutant(
    'watch: the state and the changes after it overlap by one entry',
    'store/watch.js',
    'const position = { index, term };',
    'const position = { index: index - 1, term: 0 };',
  ),
  mutant(
    'watch: what a snapshot brought over is passed over without a word',
    'machine/change-history.js',
    'if (after + 1 < this.firstIndex)\n            return undefined;',
    'if (after + 1 < this.firstIndex)\n            after = this.firstIndex - 1;',
  ),
  mutant(
    'watch: what is applied while a watch is given something is passed over',
    'member/watches.js',
    'else if (watch.after >= this.#source.last.index)',
    'else if (watch.after >= this.#source.last.index || watch.after > watch.request.after)',
  ),
  mutant(
    'member: what follows a snapshot is written before it is in force',
    'member/driver.js',
    'if (this.#held !== undefined) {',
    'if (false) {',
  ),
  mutant(
    'snapshot: the exactly-once table is not in it',
    'snapshot/load-image.js',
    'batch.put(key, value);',
    'if (key[0] !== 2) batch.put(key, value);',
  ),
  mutant(
    'snapshot: a key is left out',
    'snapshot/load-image.js',
    'batch.put(key, value);',
    'if (key[0] !== 1 || entries !== 5) batch.put(key, value);',
  ),
  mutant(
    'store: a write that is sent again gets another number',
    'store/write-pipeline.js',
    'this.#leaveOut(sent);\n            this.#send(sent);',
    `this.#leaveOut(sent);
            sent.seq = this.#nextSeq++;
            sent.request = renumberRequest(sent.request, this.#clientId, sent.seq, this.#floor(sent.seq), this.#base);
            this.#send(sent);`,
  ),
  {
    name: 'store: a write that only its leader has raises its session',
    edits: [
      {
        file: 'store/pending-writes.js',
        find: 'appended(_position) { }',
        replace: 'appended(position) { this.#session?.raise(position); }',
      },
      {
        file: 'store/pending-writes.js',
        find: 'this.#isAppended = true;',
        replace: 'this.#isAppended = true;\n        super.appended({ index, term });',
      },
    ],
  },
  mutant(
    "store: 'applied' and 'all' are acknowledged like 'quorum'",
    'store/writer.js',
    'if (where === undefined)',
    'if (true)',
  ),
  {
    name: 'machine: the applied index is written in a batch of its own',
    edits: [
      {
        file: 'machine/apply-batch.js',
        find: 'batch.put(META_KEY, encodeStateRecord(state));',
        replace: '',
      },
      {
        file: 'machine/entry-batch.js',
        find: 'import { StateDigest }',
        replace: `import { encodeStateRecord } from './state-record.js';
        import { META_KEY } from './key-space.js';
        import { StateDigest }`,
      },
      {
        file: 'machine/entry-batch.js',
        find: 'await this.#batch.write(state, this.#sessions);',
        replace: `await this.#batch.write(state, this.#sessions);
        const meta = this.#database.batch();
        meta.put(META_KEY, encodeStateRecord(state));
        await meta.write();`,
      },
    ],
  },
  mutant(
    'machine: a flush that failed counts as a checkpoint',
    'machine/state-machine.js',
    'if (!isFlushed)',
    'if (false)',
  ),
  mutant(
    'machine: a repeated request is applied again',
    'machine/sessions.js',
    'return answerAgain(known, request.seq, index, term);',
    'return this.#apply(known, request, index, term);',
  ),
  mutant(
    'machine: a repeated transaction is decided anew',
    'machine/sessions.js',
    'return answerAgain(known, request.seq, index, term);',
    `return known.results[request.seq - known.floor]?.results.length > 0
                ? this.#apply(known, request, index, term)
                : answerAgain(known, request.seq, index, term);`,
  ),
  mutant(
    'machine: what was written again goes with what has expired',
    'machine/interpreter.js',
    "stored?.expiry?.type === 'ttl' && stored.revision === revision",
    'stored !== undefined',
  ),
  mutant(
    'machine: a lease that was kept alive goes',
    'machine/interpreter.js',
    'lease.isEnding || lease.generation === generation',
    'true',
  ),
  mutant(
    'machine: requests of a client are applied as they come',
    'machine/sessions.js',
    'const isNext = request.seq === known.lastSeq + 1;',
    'const isNext = true;',
  ),
  mutant(
    'machine: the records of sessions are not stored',
    'machine/apply-batch.js',
    'batch.put(sessionKey(session.id), this.#session.subarray(0, length));',
    'void length;',
  ),
  mutant(
    'blob: a value counts as stored when k members have it',
    'machine/coverage.js',
    'return Math.max(0, held - sparedVoters(voters.length));',
    'return held;',
  ),
  mutant(
    'blob: a shard that nothing refers to goes, whatever may still come',
    'blob/verdict.js',
    "introducedAt <= applied.index ? 'dead' : 'wait'",
    "introducedAt <= applied.index ? 'dead' : 'dead'",
  ),
  mutant(
    'blob: a large value of another term comes into force',
    'machine/interpreter.js',
    'manifest.id.term === this.#entry.term && ',
    '',
  ),
  mutant(
    'blob: two members hold the same shard',
    'blob/upload.js',
    'const indexes = this.#holders.map(({ slot }) => slot);',
    'const indexes = this.#holders.map(({ slot }) => Math.min(slot, 1));',
  ),
  mutant(
    'blob: a member is sent the shard of another slot',
    'blob/attempt.js',
    'const shard = shards[i];',
    'const shard = shards[(i + 1) % shards.length];',
  ),
  mutant(
    'blob: a manifest calls everybody durable',
    'blob/attempt.js',
    'this.#holders.map(({ node }) => this.#durable.has(node));',
    'this.#holders.map(({ node }) => this.#durable.size > 0 || node === 0);',
  ),
  mutant(
    'blob: a shard is acknowledged before its fsync',
    'blob/shard-writer.js',
    'await file.writeDurable(parts, start);',
    'await file.write(parts, start);',
  ),
  mutant(
    'blob: a member makes the shard of another slot anew',
    'blob/repair.js',
    'await this.#parts.reader.shardAt({ key, manifest, part }, index, call);',
    'await this.#parts.reader.shardAt({ key, manifest, part }, index + 1, call);',
  ),
  {
    name: 'blob: a shard is rebuilt from damaged ones',
    edits: [
      {
        file: 'wire/shard.js',
        find: 'if (!areBlocks(proof, firstBlock, blocks)) {',
        replace: 'if (false) {',
      },
      {
        file: 'blob/part-reader.js',
        find: 'if (partDigest(data).equals(source.part.digest))',
        replace: 'if (true)',
      },
      {
        file: 'blob/part-reader.js',
        find: 'if (expected === undefined || shard.digest.equals(expected))',
        replace: 'if (true)',
      },
    ],
  },
  {
    name: 'blob: a rebuild mixes the parts of a value',
    edits: [
      {
        file: 'blob/shard-source.js',
        find: 'const ask = { blob: manifest.id, part: part.number,',
        replace: 'const ask = { blob: manifest.id, part: manifest.parts[0].number,',
      },
      { file: 'blob/shard-source.js', find: 'head.part === part.number &&', replace: '' },
      {
        file: 'blob/shard-source.js',
        find: 'if (expected !== undefined && !proof.digest.equals(expected))',
        replace: 'if (false)',
      },
      {
        file: 'blob/part-reader.js',
        find: 'if (partDigest(data).equals(source.part.digest))',
        replace: 'if (true)',
      },
      {
        file: 'blob/part-reader.js',
        find: 'if (expected === undefined || shard.digest.equals(expected))',
        replace: 'if (true)',
      },
    ],
  },
  mutant(
    'store: what was sent with an unknown outcome is given up',
    'store/large-writes.js',
    'if (isWithoutEffect(error))',
    'if (true)',
  ),
  mutant(
    'raft: entries of older terms are committed by counting',
    'raft/leader.js',
    'if (index <= state.log.commitIndex || state.log.termAt(index) !== state.term)',
    'if (index <= state.log.commitIndex)',
  ),
  mutant(
    'raft: an acknowledgement that comes twice counts twice',
    'raft/leader.js',
    'const isRecovering =',
    [
      'if (!isOwn && message.index <= peer.match)',
      '        for (const other of state.tracker.peers)',
      '            other.match = Math.max(other.match, message.index);',
      '    const isRecovering =',
    ].join('\n'),
  ),
  mutant(
    'raft: half of the voters are a majority',
    'raft/quorum.js',
    'return Math.floor(voterCount / 2) + 1;',
    'return Math.max(1, Math.floor(voterCount / 2));',
  ),
  mutant(
    'raft: a vote does not ask whose log is newer',
    'raft/election.js',
    'state.log.isUpToDate(message.lastTerm, message.lastIndex)',
    'true',
  ),
  mutant(
    'raft: two votes in one term',
    'raft/election.js',
    'const canVote = state.vote === from ||',
    'const canVote = true ||',
  ),
  mutant(
    'raft: reads are confirmed before an entry of the own term is committed',
    'raft/leader.js',
    'return state.reads.canSeal && hasCommittedInTerm(state);',
    'return state.reads.canSeal;',
  ),
  mutant(
    'raft: a leader confirms reads with one and the same number',
    'raft/read-index.js',
    'return ++this.#lastContext;',
    'return (this.#lastContext ||= 1);',
  ),
  mutant(
    'raft: a follower asks for reads with one and the same number',
    'raft/read-index.js',
    'const context = ++this.#lastContext;',
    'const context = this.#lastContext;',
  ),
  mutant(
    'raft: a follower takes entries without looking at what is before them',
    'raft/log-view.js',
    'if (this.#terms.termAt(prevIndex) !== prevTerm)\n            return',
    'if (prevIndex > this.#terms.lastIndex)\n            return',
  ),
  mutant(
    'raft: a heartbeat commits what the follower may not have',
    'raft/replication.js',
    'const commit = Math.min(peer.match, state.log.commitIndex);',
    'const commit = state.log.commitIndex;',
  ),
  mutant(
    'raft: an append commits beyond what it has verified',
    'raft/follower.js',
    'log.commitTo(Math.min(message.commit, verified));',
    'log.commitTo(Math.min(message.commit, log.lastIndex));',
  ),
  mutant(
    'raft: entries are applied before they are durable here',
    'raft/log-view.js',
    'return Math.min(this.#commitIndex, this.#flushedIndex);',
    'return this.#commitIndex;',
  ),
  {
    name: 'raft: a second change of members is begun before the first is in force',
    // The desk of a leader hands its core one change at a time: the core's own check alone is never put to the test.
    edits: [
      {
        file: 'raft/leader.js',
        find: 'if (state.pendingConfIndex > state.log.appliedIndex)',
        replace: 'if (false)',
      },
      {
        file: 'member/membership-desk.js',
        find: 'const isFree = await this.#conditions.until(deadline, () => !this.#isChanging);',
        replace: 'const isFree = true;',
      },
      {
        file: 'member/membership-desk.js',
        find: '!isFree || this.#isChanging',
        replace: '!isFree',
      },
    ],
  },
  {
    name: 'raft: several voters change at once, without a joint configuration',
    edits: [
      { file: 'raft/conf-change.js', find: ' || change.steps.length > 1', replace: '' },
      {
        file: 'raft/membership.js',
        find: 'symmetricDifference(conf.voters, draft.voters) > 1',
        replace: 'false',
      },
    ],
  },
  mutant(
    'raft: learners count as voters',
    'raft/tracker.js',
    'peers.filter((peer) => conf.voters.includes(peer.id))',
    'peers.filter((peer) => conf.voters.includes(peer.id) || peer.isLearner)',
  ),
  mutant(
    'raft: an election forgets the vote of this term',
    'raft/state.js',
    'this.electionElapsed = 0;\n        this.heartbeatElapsed = 0;',
    'this.electionElapsed = 0;\n        this.heartbeatElapsed = 0;\n        this.vote = NONE;',
  ),
]
