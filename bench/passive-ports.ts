/**
 * Many downloads at once over four passive ports: 1,000 from 100 client addresses, then 200 from one address, by the gateway
 * and by pyftpdlib. Every client reads its first bytes, waits until all have theirs, and only then reads the rest; every
 * byte is compared. `PYTHON` names a Python that has pyftpdlib. Needs 5,000 file descriptors (`ulimit -n`).
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { LoadSession, type Account } from './support/ftp-client.ts';
import { freeRange, startMemoryGateway, startPyftpdlib, startWhatIsThere } from './peers/local-peers.ts';
import { measureUsage } from './support/process-usage.ts';
import { markdownTable, quantile } from './support/statistics.ts';

const mebibyte = 1024 * 1024;
// 6 MiB are more than the kernel keeps of one connection, so a download runs until its client reads. A thousand times that
// is more than the kernel keeps in all (net.ipv4.tcp_mem); there 1 MiB must do.
const content = Buffer.alloc(
  6 * mebibyte,
  Buffer.from(Array.from({ length: 65_521 }, (_, i) => (i * 31) & 0xff)),
);
const files = { 'large.bin': content, 'small.bin': content.subarray(0, mebibyte) } as const;
type FileName = keyof typeof files;
/** A client without progress for that long counts as refused. */
const patienceMs = 30_000;

/** `ranWithAll`: the server had not confirmed the file yet when the last client had its first bytes. */
type Outcome = { port: number; startMs: number; ranWithAll: boolean; error?: string };

/** One client with its own control connection. `begun` is called at the first byte; the rest is read after `all`. */
async function download(
  { host, port, username, password }: Account,
  localAddress: string,
  name: FileName,
  begun: () => void,
  all: Promise<void>,
): Promise<Outcome> {
  const outcome: Outcome = { port: 0, startMs: 0, ranWithAll: false };
  let hasBegun = false;
  const control = connect({ host, port, localAddress, noDelay: true });
  let data: Socket | undefined;
  const timer = setTimeout(() => {
    control.destroy();
    data?.destroy(new Error('no progress'));
  }, patienceMs);
  try {
    const reply = replyReader(control);
    await reply(220);
    for (const [line, code] of [
      [`USER ${username}`, 331],
      [`PASS ${password}`, 230],
      ['TYPE I', 200],
    ] as const) {
      control.write(`${line}\r\n`);
      await reply(code);
    }
    const startedAt = performance.now();
    control.write('EPSV\r\n');
    outcome.port = Number(/\|(\d+)\|/.exec(await reply(229))?.[1]);
    data = connect({ host, port: outcome.port, localAddress });
    const failed = once(data, 'error').then(([error]) => Promise.reject(error as Error));
    failed.catch(() => undefined);
    await Promise.race([once(data, 'connect'), failed]);
    control.write(`RETR ${name}\r\n`);
    await reply(150, 125);
    await Promise.race([once(data, 'readable'), failed]);
    outcome.startMs = performance.now() - startedAt;
    hasBegun = true;
    begun();
    await all;
    outcome.ranWithAll = !reply.isWaiting();
    let received = 0;
    for await (const piece of data as AsyncIterable<Buffer>) {
      if (!piece.equals(files[name].subarray(received, received + piece.length)))
        throw new Error('wrong bytes');
      received += piece.length;
    }
    if (received !== files[name].length) throw new Error(`${received} bytes of ${files[name].length}`);
    await reply(226);
  } catch (error) {
    outcome.error = error instanceof Error ? error.message : String(error);
    if (!hasBegun) begun();
  } finally {
    clearTimeout(timer);
    control.destroy();
    data?.destroy();
  }
  return outcome;
}

type ReplyReader = ((...codes: readonly number[]) => Promise<string>) & { isWaiting(): boolean };

function replyReader(control: Socket): ReplyReader {
  const lines: string[] = [];
  let rest = '';
  let wake: (() => void) | undefined;
  control.setEncoding('utf8').on('data', (text: string) => {
    const pieces = (rest + text).split('\r\n');
    rest = pieces.pop() ?? '';
    lines.push(...pieces.filter((line) => /^\d{3} /.test(line)));
    wake?.();
  });
  control.on('error', () => wake?.()).on('close', () => wake?.());
  const reply = async (...codes: readonly number[]): Promise<string> => {
    while (lines.length === 0) {
      if (control.destroyed) throw new Error('control connection closed');
      await new Promise<void>((resolve) => (wake = resolve));
    }
    const line = lines.shift() ?? '';
    if (!codes.includes(Number(line.slice(0, 3)))) throw new Error(line);
    return line;
  };
  return Object.assign(reply, { isWaiting: () => lines.length > 0 });
}

/** All at once; resolves to the outcome of each. */
async function downloadAll(
  account: Account,
  addresses: readonly string[],
  name: FileName,
): Promise<Outcome[]> {
  let missing = addresses.length;
  let release!: () => void;
  const all = new Promise<void>((resolve) => (release = resolve));
  // Those that have begun do not wait forever for those that cannot.
  const timer = setTimeout(release, patienceMs / 3);
  const begun = (): void => {
    if (--missing > 0) return;
    clearTimeout(timer);
    release();
  };
  return Promise.all(addresses.map((address) => download(account, address, name, begun, all)));
}

const ranges = [await freeRange(4), await freeRange(4)] as const;
const folder = await mkdtemp('/dev/shm/ftp-bench-');
for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
const peers = await startWhatIsThere([
  () => startMemoryGateway(ranges[0]),
  () => startPyftpdlib(ranges[1], folder),
]);
const rows = [
  [
    'clients',
    'server',
    'complete, every byte right',
    'still sending when all had begun',
    'outside the 4 ports',
    'refused or broken',
    'EPSV to first byte p50 / max ms',
    'seconds',
    'CPU s',
  ],
];
try {
  const gateway = peers.find(({ name }) => name.startsWith('gateway'));
  if (gateway !== undefined) {
    const session = await LoadSession.open(gateway.account);
    for (const [name, bytes] of Object.entries(files)) await session.store(name, bytes, 1);
    await session.quit();
  }
  const spread = Array.from(
    { length: 1000 },
    (_, index) => `127.0.${1 + ((index % 100) >> 4)}.${1 + ((index % 100) & 15)}`,
  );
  const single = new Array<string>(200).fill('127.0.0.77');
  for (const [title, addresses, name] of [
    ['1,000 of 1 MiB from 100 addresses', spread, 'small.bin'],
    ['200 of 6 MiB from 1 address', single, 'large.bin'],
  ] as const) {
    for (const peer of peers) {
      const range = peer === gateway ? ranges[0] : ranges[1];
      let outcomes: Outcome[] = [];
      const usage = await measureUsage(peer.pid, async () => {
        outcomes = await downloadAll(peer.account, addresses, name);
      });
      const complete = outcomes.filter(({ error }) => error === undefined);
      const outside = outcomes.filter(({ port }) => port !== 0 && !range.includes(port));
      const times = complete.map(({ startMs }) => startMs);
      rows.push([
        title,
        peer.name,
        `${complete.length} of ${outcomes.length}`,
        String(outcomes.filter(({ ranWithAll }) => ranWithAll).length),
        String(outside.length),
        String(outcomes.length - complete.length),
        times.length === 0 ? '-' : `${quantile(times, 0.5).toFixed(0)} / ${Math.max(...times).toFixed(0)}`,
        usage.seconds.toFixed(1),
        usage.cpuSeconds.toFixed(1),
      ]);
      const errors = new Set(outcomes.flatMap(({ error }) => (error === undefined ? [] : [error])));
      if (errors.size > 0) console.log(`${title}, ${peer.name}: ${[...errors].slice(0, 5).join('; ')}`);
    }
  }
} finally {
  for (const peer of peers) await peer.stop();
  await rm(folder, { recursive: true, force: true });
}
console.log(
  `${peers.map(({ name, version }) => `${name} (${version})`).join(', ')}, Node ${process.version}\n`,
);
console.log(markdownTable(rows));
