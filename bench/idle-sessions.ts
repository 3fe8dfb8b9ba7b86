/**
 * Measures the memory of 10,000 logged-in idle sessions, and the latency of 100 downloads of 4 KiB with and without them.
 * Filesystem in memory, loopback.
 * `node bench/idle-sessions.ts [--sessions N]`
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { Dialogue } from '../test/support/dialogue.ts';
import { startTestGateway } from '../test/support/gateway.ts';
import { median } from './support/statistics.ts';

const transfers = 100;
const connectingAtOnce = 50;

/** The gateway's process: sends its port, and its memory on request. */
async function serve(): Promise<void> {
  const hourMs = 3_600_000;
  const gateway = await startTestGateway({ loginTimeoutMs: hourMs, idleTimeoutMs: hourMs });
  gateway.filesystem.putFile('/f', Buffer.alloc(4096));
  process.on('message', () => {
    (gateway.events as unknown[]).length = 0;
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    process.send?.({ rss, heapUsed, sessions: gateway.sessionCount });
  });
  process.send?.(gateway.controlPort);
}

type Memory = { readonly rss: number; readonly heapUsed: number; readonly sessions: number };

async function measure(sessionCount: number): Promise<void> {
  const server = fork(import.meta.filename, ['--serve'], { execArgv: ['--expose-gc'] });
  const [port] = (await once(server, 'message')) as [number];
  const memory = async (): Promise<Memory> => {
    server.send('memory');
    const [usage] = (await once(server, 'message')) as [Memory];
    return usage;
  };
  // A warm-up, in which code is compiled.
  await latencies(port);
  const before = await memory();
  const empty = await latencies(port);
  const startMs = performance.now();
  const idle = await logInIdle(port, sessionCount);
  const seconds = (performance.now() - startMs) / 1000;
  const after = await memory();
  const full = await latencies(port);
  const perSession = (bytes: number): string => `${(bytes / sessionCount / 1024).toFixed(1)} KiB`;
  console.log(`sessions logged in and idle   ${after.sessions}, in ${seconds.toFixed(1)} s`);
  console.log(
    `memory of a session           ${perSession(after.rss - before.rss)} resident, ${perSession(after.heapUsed - before.heapUsed)} of it heap`,
  );
  console.log(`a 4 KiB download, empty       ${median(empty).toFixed(2)} ms`);
  console.log(`a 4 KiB download, among them  ${median(full).toFixed(2)} ms`);
  for (const socket of idle) socket.destroy();
  server.kill('SIGKILL');
}

/** Milliseconds from PASV to 226, for each download. */
async function latencies(port: number): Promise<number[]> {
  const client = await Dialogue.logIn({ port });
  const durations: number[] = [];
  for (let count = 0; count < transfers; count++) {
    const startMs = performance.now();
    await client.download('RETR /f');
    durations.push(performance.now() - startMs);
  }
  await client.quit();
  return durations;
}

async function logInIdle(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  await Promise.all(
    Array.from({ length: connectingAtOnce }, async () => {
      while (sockets.length < count) {
        // One address has too few ports for all sessions.
        const localAddress = `127.0.1.${1 + (sockets.length % 200)}`;
        const socket = connect({ port, host: '127.0.0.1', localAddress });
        sockets.push(socket);
        for (const command of ['USER alice\r\n', 'PASS secret\r\n', undefined]) {
          await once(socket, 'data');
          if (command !== undefined) socket.write(command);
        }
      }
    }),
  );
  return sockets;
}

const { values } = parseArgs({
  options: { serve: { type: 'boolean' }, sessions: { type: 'string', default: '10000' } },
});
if (values.serve === true) await serve();
else await measure(Number(values.sessions));
