import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { after, before, describe, it } from 'node:test';
import { WorkerProcess } from '../../src/workers/worker-process.ts';

describe('a worker process that cannot be spawned', () => {
  before(() => cluster.setupPrimary({ cwd: '/nonexistent' }));
  after(() => cluster.setupPrimary({ cwd: process.cwd() }));

  it('A worker process that the system refuses to spawn ends like one that has run, and calls to it are rejected', async () => {
    const worker = WorkerProcess.fork('worker.js', {
      environment: {},
      calls: {},
      writeLines: () => undefined,
      blockedLine: 'blocked',
    });
    await assert.rejects(worker.channel.call('drain', null));
    const { code, signal } = await worker.ended;
    assert.deepEqual([typeof code, signal], ['number', null]);
  });
});
