/** Measures servers row by row: cold in processes just started, then warm and interleaved. Every transfer is compared by checksum. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { type LoadClient, runLoad } from '../support/load-client.ts';
import type { Peer } from '../support/peer.ts';
import { memoryOfTreeMiB } from '../support/process-usage.ts';
import type { CrossCheck, Phase, Run } from './results.ts';
import type { Row } from './rows.ts';
import type { ComparedServer, Mode } from './servers.ts';

export type Measuring = {
  readonly client: LoadClient;
  readonly s3Pid: number;
  readonly servers: readonly ComparedServer[];
  readonly rows: readonly Row[];
  readonly repetitions: number;
  /** Of servers on a disk. */
  readonly diskRepetitions: number;
  readonly maxSeconds: number;
  readonly isCold: boolean;
  readonly log: (line: string) => void;
};

type Context = Measuring & { readonly mode: Mode; readonly runs: Run[] };

/** One server in one mode: the process that is measured now, and the checksums of what it stores. */
type Subject = {
  readonly server: ComparedServer;
  peer: Peer | undefined;
  readonly checksums: Map<string, Readonly<Record<string, number>>>;
  /** Rows that failed before they were measured; they are not tried again, because some fail by a timeout. */
  readonly broken: Set<string>;
};

export async function measureMode(
  measuring: Measuring,
  mode: Mode,
): Promise<{ runs: Run[]; crossChecks: CrossCheck[] }> {
  const context: Context = { ...measuring, mode, runs: [] };
  const crossChecks: CrossCheck[] = [];
  const subjects = measuring.servers
    .filter(({ ftps }) => mode === 'clear' || ftps !== 'none')
    .map((server): Subject => ({ server, peer: undefined, checksums: new Map(), broken: new Set() }));
  try {
    if (measuring.isCold) {
      for (const subject of subjects.filter(({ server }) => server.storage === 'S3'))
        await measureCold(context, subject);
    }
    for (const subject of subjects) await warmUp(context, subject);
    for (let repetition = 1; repetition <= measuring.repetitions; repetition++) {
      // In another order each time, so that no server always runs after the same one.
      const turn = repetition % subjects.length;
      const inTurn = [...subjects.slice(turn), ...subjects.slice(0, turn)];
      for (const row of measuring.rows.filter(({ operation }) => operation !== 'idle')) {
        for (const subject of inTurn) {
          if (subject.server.storage === 'disk' && repetition > measuring.diskRepetitions) continue;
          await measure(context, subject, row, 'warm', repetition);
        }
      }
    }
    for (const subject of subjects) crossChecks.push(...(await crossCheck(context, subject)));
    for (const row of measuring.rows.filter(({ operation }) => operation === 'idle')) {
      // In new processes: others have memory that sessions would only use again.
      for (const subject of subjects)
        if (await restart(context, subject)) await measure(context, subject, row, 'warm', 1);
    }
  } finally {
    for (const { peer } of subjects) await peer?.stop();
  }
  return { runs: context.runs, crossChecks };
}

/** Each row in a process that has just started. */
async function measureCold(context: Context, subject: Subject): Promise<void> {
  for (const row of context.rows.filter(({ operation }) => operation !== 'idle')) {
    if (!(await restart(context, subject))) return;
    await measure(context, subject, row, 'cold', 1);
  }
}

async function warmUp(context: Context, subject: Subject): Promise<void> {
  if (!(await restart(context, subject))) return;
  for (const row of context.rows.filter(({ operation }) => operation !== 'idle')) {
    // Twice as many as are measured, over all rows several thousand transfers.
    const files = row.group === 'large' ? row.files : 2 * row.files;
    await measure(context, subject, { ...row, files }, 'warm-up', 0);
  }
}

async function restart(context: Context, subject: Subject): Promise<boolean> {
  await subject.peer?.stop();
  subject.peer = undefined;
  try {
    subject.peer = await subject.server.start(context.mode);
    return true;
  } catch (error) {
    context.log(`${subject.server.name}, ${context.mode}: ${String(error)}`);
    context.runs.push({
      server: subject.server.id,
      mode: context.mode,
      row: 'start',
      phase: 'warm',
      repetition: 0,
      error: messageOf(error),
    });
    return false;
  }
}

async function measure(
  context: Context,
  subject: Subject,
  row: Row,
  phase: Phase,
  repetition: number,
): Promise<void> {
  const { server, peer } = subject;
  if (!peer || subject.broken.has(row.id)) return;
  const { mode, log } = context;
  const isTransfer = row.group === 'large' || row.group === 'small';
  if (mode === 'FTPS' && server.ftps === 'control only' && isTransfer) return;
  const key = { server: server.id, mode, row: row.id, phase, repetition };
  try {
    const figures = await load(context, subject, peer, row);
    context.runs.push({ ...key, ...figures });
    const seconds = figures.seconds.toFixed(2);
    log(
      `${mode.padEnd(5)} ${phase.padEnd(7)} ${row.id.padEnd(14)} ${server.name.padEnd(16)} ${seconds.padStart(7)} s  CPU ${figures.cpuSeconds.toFixed(2)} s`,
    );
  } catch (error) {
    log(`${mode} ${phase} ${row.id} ${server.name} failed: ${messageOf(error)}`);
    context.runs.push({ ...key, error: messageOf(error) });
    if (phase !== 'warm') subject.broken.add(row.id);
  }
}

async function load(
  { client, s3Pid, mode, maxSeconds }: Context,
  { server, checksums }: Subject,
  peer: Peer,
  row: Row,
): Promise<Omit<Extract<Run, { files: number }>, keyof Key>> {
  const directory = `${row.group}-${row.sessions}`;
  const files = Math.max(
    row.sessions,
    Math.ceil(row.group === 'large' ? row.files : row.files * server.share),
  );
  let idleMiB: number | undefined;
  const beforeMiB = row.operation === 'idle' ? await memoryOfTreeMiB(peer.pid) : 0;
  const { checksums: moved, ...figures } = await runLoad(
    client,
    peer,
    s3Pid,
    {
      operation: row.operation,
      security: mode === 'clear' ? 'clear' : server.ftps === 'control only' ? 'implicit' : 'explicit',
      directory: row.group === 'login' || row.group === 'idle' ? '' : directory,
      prefix: 'f',
      sessions: row.sessions,
      files,
      bytes: row.bytes,
      // Servers with a process for each session may take tens of milliseconds for a login, and need not take minutes to show it.
      maxSeconds: server.storage === 'disk' ? maxSeconds / 4 : maxSeconds,
    },
    async () => {
      if (row.operation === 'idle') idleMiB = (await memoryOfTreeMiB(peer.pid)) - beforeMiB;
    },
  );
  if (row.operation === 'stor') {
    checksums.set(directory, { ...checksums.get(directory), ...moved });
    for (const [name, checksum] of Object.entries(moved)) {
      const stored = await checksumOf(server.storedFile(directory, name));
      if (stored !== checksum) throw new Error(`${name} was stored with other bytes than were sent`);
    }
  }
  if (row.operation === 'retr') {
    const expected = checksums.get(directory) ?? {};
    for (const [name, checksum] of Object.entries(moved)) {
      if (expected[name] !== checksum)
        throw new Error(`${name} was received with other bytes than were stored`);
    }
  }
  return { ...figures, compared: Object.keys(moved).length, ...(idleMiB !== undefined && { idleMiB }) };
}

type Key = { server: string; mode: Mode; row: string; phase: Phase; repetition: number };

async function checksumOf(file: string): Promise<number> {
  let value = 0;
  for await (const bytes of createReadStream(file, { highWaterMark: 1024 * 1024 }))
    value = crc32(bytes as Buffer, value);
  return value;
}

/** The large file once more with curl, which was not written for this comparison. */
async function crossCheck(context: Context, { server, peer }: Subject): Promise<CrossCheck[]> {
  const row = context.rows.find(({ id }) => id === 'large-stor-1');
  const { mode } = context;
  if (!peer || !row || (mode === 'FTPS' && server.ftps === 'control only')) return [];
  const { host, port, username, password } = peer.account;
  const url = `ftp://${host}:${port}/large-1/f000000.bin`;
  const common = [
    '-sS',
    '--insecure',
    '--user',
    `${username}:${password}`,
    '-w',
    '%{time_total} %{size_download} %{size_upload}',
    '--max-time',
    '120',
  ];
  if (mode === 'FTPS') common.push('--ssl-reqd');
  const source = server.storedFile('large-1', 'f000000.bin');
  const checks: CrossCheck[] = [];
  for (const [operation, args] of [
    ['retr', ['-o', '/dev/null']],
    ['stor', ['-T', source, '--ftp-create-dirs']],
  ] as const) {
    // Uploads go to another name: the source is the file that the first upload stored.
    const target = operation === 'stor' ? url.replace('f000000', 'curl') : url;
    const key = { server: server.id, mode, row: `large-${operation}-1` };
    try {
      const { stdout } = await promisify(execFile)('curl', [...common, ...args, target]);
      const [seconds = 0, received = 0, sent = 0] = stdout.split(' ').map(Number);
      if (received + sent !== row.bytes) throw new Error(`curl moved ${received + sent} bytes`);
      checks.push({ ...key, seconds });
    } catch (error) {
      checks.push({ ...key, error: messageOf(error).split('\n').slice(-2).join(' ').trim() });
    }
  }
  return checks;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
