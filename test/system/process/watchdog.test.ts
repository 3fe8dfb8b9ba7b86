import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireReadiness } from '../../../src/watchdog.ts';

const program = fileURLToPath(new URL('watched-process.ts', import.meta.url));

async function watched(timeoutMs: number, hangMs: number) {
  const child = spawn(process.execPath, [program, String(timeoutMs), String(hangMs)], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const [stderr, [code, signal]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null, string | null]>,
  ]);
  return { stderr, code, signal };
}

describe('the watchdog', () => {
  it('The watchdog kills a process whose event loop is blocked for longer than the limit, and says why', async () => {
    const { stderr, signal } = await watched(400, 60_000);
    assert.equal(signal, 'SIGKILL');
    assert.match(stderr, /^\{"level":"error","event":"event-loop-blocked","seconds":0\.4\}$/m);
  });

  it('The watchdog kills the first process of a container too, which ignores SIGKILL from within', async (t) => {
    // The shell that waits has the exit code 128 plus the signal.
    const script = 'unshare --pid --fork "$@" || exit $?';
    const inContainer = ['-c', script, 'sh', process.execPath, program];
    const child = spawn('sh', [...inContainer, '400', '60000'], { stdio: ['ignore', 'inherit', 'pipe'] });
    const [stderr, [code]] = await Promise.all([
      text(child.stderr),
      once(child, 'exit') as Promise<[number]>,
    ]);
    if (/unshare: |not found/.test(stderr)) {
      t.skip(`no process namespace can be made here: ${stderr}`);
      return;
    }
    assert.equal(code, 128 + constants.signals.SIGTRAP);
    assert.equal(stderr.match(/"event":"event-loop-blocked"/g)?.length, 1, stderr);
  });

  it('The watchdog spares a process whose event loop is blocked for less, and does not keep it running', async () => {
    const { code, signal } = await watched(20_000, 1_000);
    assert.deepEqual([code, signal], [0, null]);
  });
});

describe('a process that must get ready', () => {
  it('A process that is not ready within the time limit is ended', async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const keepAlive = setTimeout(() => undefined, 10_000);
    requireReadiness(() => false, resolve, 50);
    assert.equal(await promise, 0.05);
    clearTimeout(keepAlive);
  });

  it('A process that has been ready once is not ended, whatever happens later', (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    let isReady = true;
    requireReadiness(
      () => isReady,
      () => assert.fail('given up'),
      1000,
    );
    t.mock.timers.tick(100);
    isReady = false;
    t.mock.timers.tick(10_000);
  });
});
