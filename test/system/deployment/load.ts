/** Partners that work while a deployment changes: sessions one after another, and transfers longer than a change. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { FtpSession } from '../../../scripts/ftp-session.ts';
import type { DeployedGateway } from './deployed-gateway.ts';

export type Counts = {
  /** Sessions that logged in, uploaded, downloaded and left. */
  sessions: number;
  failedLogins: number;
  /** Transfers of those sessions that did not complete. */
  failedTransfers: number;
  /** Transfers longer than the change. */
  longTransfers: number;
  brokenLongTransfers: number;
  /** What the failures said, each once. */
  readonly reasons: Set<string>;
};

const sessionsAtOnce = 4;
const longTransferBytes = 3_000_000;

/** Loops sessions and long transfers until `change` has resolved and the long transfers have ended. */
export async function underLoad(
  deployment: DeployedGateway,
  change: () => Promise<unknown>,
  { secondsPerLongTransfer = 20 } = {},
): Promise<Counts> {
  const counts: Counts = {
    sessions: 0,
    failedLogins: 0,
    failedTransfers: 0,
    longTransfers: 0,
    brokenLongTransfers: 0,
    reasons: new Set(),
  };
  let isOver = false;
  const long = [0, 1].map((zone) => longTransfer(deployment, zone, secondsPerLongTransfer, counts));
  const loops = Array.from({ length: sessionsAtOnce }, async (_, number) => {
    while (!isOver) {
      await session(deployment, number, counts);
      await sleep(100);
    }
  });
  try {
    await change();
    await Promise.all(long);
  } finally {
    isOver = true;
    await Promise.all(loops);
  }
  return counts;
}

async function session(deployment: DeployedGateway, number: number, counts: Counts): Promise<void> {
  const { host, port, username, password } = deployment.server('plain', number % 2);
  let open: FtpSession;
  try {
    open = await FtpSession.open({ host, port, username, password, tls: false });
  } catch (error) {
    counts.failedLogins += 1;
    counts.reasons.add(`login: ${(error as Error).message}`);
    return;
  }
  try {
    const content = Buffer.from(`${number} ${counts.sessions}`);
    await open.upload(`loop-${number}`, content, await open.extendedPassive());
    const back = await open.download(`RETR loop-${number}`, await open.extendedPassive());
    if (!back.equals(content)) throw new Error('the file came back changed');
    await open.quit();
    counts.sessions += 1;
  } catch (error) {
    counts.failedTransfers += 1;
    counts.reasons.add(`transfer: ${(error as Error).message}`);
  } finally {
    open.destroy();
  }
}

/** An upload by curl that takes so many seconds; it is whole in the bucket, or broken. */
async function longTransfer(
  deployment: DeployedGateway,
  zone: number,
  seconds: number,
  counts: Counts,
): Promise<void> {
  counts.longTransfers += 1;
  const { host, port, username, password } = deployment.server('plain', zone);
  const name = `long-${zone}-${Math.round(performance.now())}.bin`;
  const local = join(deployment.emulator.folder, name);
  await writeFile(local, Buffer.alloc(longTransferBytes, 'x'));
  const child = spawn(
    'curl',
    [
      ...['--silent', '--show-error', '--limit-rate', String(Math.round(longTransferBytes / seconds))],
      ...['--user', `${username}:${password}`, '--upload-file', local, `ftp://${host}:${port}/${name}`],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const [stderr, [code]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  const { Bucket } = await deployment.outputs();
  const size = await deployment.s3.send(new HeadObjectCommand({ Bucket, Key: name })).then(
    ({ ContentLength }) => ContentLength,
    () => undefined,
  );
  if (code === 0 && size === longTransferBytes) return;
  counts.brokenLongTransfers += 1;
  counts.reasons.add(`long transfer: ${stderr.trim() || `stored ${size ?? 'nothing'}`}`);
}
