/** Guessing passwords against a gateway process with real hashes, and what partners notice of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PasswordHash } from '../../../src/users/password.ts';
import { closed, Dialogue } from '../../support/dialogue.ts';
import { endGatewayProcesses, GatewayProcess } from '../../support/gateway-process.ts';
import { passes } from './load.ts';

let folder: string;
let path: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-logins-'));
  path = join(folder, 'users.json');
});

after(async () => {
  await endGatewayProcesses();
  await rm(folder, { recursive: true });
});

/** Each call makes new hashes, which no login has been verified against. */
async function writeUsers(...names: readonly string[]): Promise<void> {
  const users = await Promise.all(
    names.map(async (name) => ({
      name,
      password: await PasswordHash.create('secret'),
      permissions: 'read-write',
      home: { bucket: 'homes', prefix: '' },
    })),
  );
  await writeFile(`${path}.new`, JSON.stringify({ users }));
  await rename(`${path}.new`, path);
}

type CpuSeconds = { readonly main: number; readonly others: number };

/** CPU time so far of the process's main thread and of all its others (proc(5), fields 14 and 15, in ticks of 10 ms). */
function cpuSeconds(pid: number): CpuSeconds {
  const of = (path: string): number => {
    const stat = readFileSync(path, 'latin1');
    const [user = '', system = ''] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    return (Number(user) + Number(system)) / 100;
  };
  const main = of(`/proc/${pid}/task/${pid}/stat`);
  return { main, others: of(`/proc/${pid}/stat`) - main };
}

function logins(gateway: GatewayProcess, outcome: string): number {
  return gateway.lines.filter((line) => line.includes('"event":"login"') && line.includes(`"${outcome}"`))
    .length;
}

let guesses = 0;

/** Sends wrong passwords on one connection until the gateway closes it. */
async function guess(port: number, localAddress: string, name: string): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.resume();
  for (let attempt = 0; attempt < 3; attempt++) socket.write(`USER ${name}\r\nPASS guess${guesses++}\r\n`);
  await closed(socket);
}

/** Keeps so many connections guessing until the signal aborts; they come from 25 addresses. */
async function keepGuessing(port: number, connections: number, signal: AbortSignal): Promise<void> {
  const one = async (index: number): Promise<void> => {
    while (!signal.aborted) await guess(port, `127.0.7.${(index % 25) + 1}`, `victim${index % 40}`);
  };
  await Promise.all(Array.from({ length: connections }, (_, index) => one(index)));
}

async function loginMs(port: number, localAddress: string, name: string): Promise<number> {
  const startedAtMs = performance.now();
  const client = await Dialogue.open({ port, localAddress });
  for (const [command, expected] of [
    ['', '220 Ready'],
    [`USER ${name}\r\n`, '331 Password required.'],
    ['PASS secret\r\n', '230 Logged in.'],
  ] as const) {
    await client.send(command);
    assert.equal(await client.reply(60_000), expected);
  }
  client.destroy();
  return performance.now() - startedAtMs;
}

describe('guessing passwords', () => {
  it('Of 2,000 parallel wrong passwords from one address at most 20 are checked', async (t) => {
    await writeUsers('alice');
    const gateway = new GatewayProcess({
      USERS: `file:${path}`,
      MAX_UNAUTHENTICATED: '5000',
      MAX_UNAUTHENTICATED_PER_ADDRESS: '5000',
      MAX_SESSIONS: '10000',
      MAX_SESSIONS_PER_ADDRESS: '10000',
    });
    const { controlPort: port } = await gateway.event('gateway-started');
    const sockets = Array.from({ length: 2_000 }, (_, index) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.7.1' });
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(`USER user${index}\r\nPASS guess${index}\r\n`);
      return socket;
    });
    await gateway.event('login-ban', ({ source }) => source === '127.0.7.1');
    assert.ok((await loginMs(port, '127.0.0.1', 'alice')) < 5_000);
    sockets.forEach((socket) => socket.destroy());
    const checked = logins(gateway, 'LOGIN-USER');
    assert.ok(checked <= 20, `${checked} were checked`);
    t.diagnostic(`${checked} were checked`);
    await gateway.stop();
  });

  it('While 450 connections guess, a known partner logs in within 1 s, a new one within 5 s, hashing takes a tenth of one core, and all that guessing costs is less than a fifth', async (t) => {
    await writeUsers('alice', 'bob');
    const gateway = new GatewayProcess({ USERS: `file:${path}` });
    const { controlPort: port } = await gateway.event('gateway-started');
    await loginMs(port, '127.0.0.1', 'alice');
    const attack = new AbortController();
    const attacked = keepGuessing(port, 450, attack.signal);
    // Until the first wrong passwords at once are over.
    await passes(5_000);
    // No password is remembered any more.
    await writeUsers('alice', 'bob');
    await gateway.event(
      'users-loaded',
      () => gateway.lines.filter((line) => line.includes('users-loaded')).length > 1,
    );
    const known = await loginMs(port, '127.0.0.1', 'alice');
    const unknown = await loginMs(port, '127.0.0.2', 'bob');
    const startedAtMs = performance.now();
    await PasswordHash.create('secret');
    const hashMs = performance.now() - startedAtMs;
    const seconds = 20;
    const before = cpuSeconds(gateway.child.pid!);
    await passes(seconds * 1000);
    const after = cpuSeconds(gateway.child.pid!);
    const [main, others] = [after.main - before.main, after.others - before.others];
    attack.abort();
    gateway.child.kill('SIGKILL');
    await attacked;
    t.diagnostic(
      `a hash ${Math.round(hashMs)} ms, known ${Math.round(known)} ms, new ${Math.round(unknown)} ms, ${main.toFixed(2)} s and, for hashing, ${others.toFixed(2)} s of CPU in ${seconds} s, ${guesses} guesses sent`,
    );
    // On a machine that other work keeps busy, a hash alone can take a second.
    assert.ok(known < Math.max(1_000, 8 * hashMs), `the known partner waited ${known} ms`);
    assert.ok(unknown < Math.max(5_000, 40 * hashMs), `the new partner waited ${unknown} ms`);
    // Garbage collection and compilation run in other threads, too. Throughput is not compared: in one run on a shared machine it
    // differs by more than guessing costs.
    assert.ok(others < 0.14 * seconds, `hashing used ${others} s of CPU`);
    assert.ok(main + others < 0.2 * seconds, `the gateway used ${main + others} s of CPU`);
  });
});
