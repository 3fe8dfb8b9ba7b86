/**
 * Confirms on a real deployment what no test outside AWS can: that the load balancer does what the gateway relies on.
 * One line for each claim; exit code 1 if one is wrong. It writes small files named ftp-gateway-verify-* and removes them.
 */
import { randomBytes } from 'node:crypto';
import { resolve4 } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { PassivePortRange } from '../lib/passive-port-range.ts';
import { FtpSession, type SessionOptions } from './ftp-session.ts';

const usage = `FTP_PASSWORD=... npm run verify -- --host HOST --user NAME --passive-ports 50000-50007 --slots 2

  --host            the Host output of the stack, or an address
  --port            control port (21)
  --user            a user with read-write permissions; the password comes from FTP_PASSWORD
  --passive-ports   the range of the PassivePortPlan output
  --slots           the number behind the slash there
  --tls             AUTH TLS and PROT P
  --servername      the name in the certificate, when --host is another
  --idle            also wait 400 seconds on a silent control connection
  --during          seconds to go on transferring, to watch a deployment: aws ecs update-service --force-new-deployment
`;

type Claim = { readonly text: string; readonly check: () => Promise<string> };

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    host: { type: 'string' },
    port: { type: 'string', default: '21' },
    user: { type: 'string' },
    'passive-ports': { type: 'string' },
    slots: { type: 'string', default: '1' },
    tls: { type: 'boolean', default: false },
    servername: { type: 'string' },
    idle: { type: 'boolean', default: false },
    during: { type: 'string' },
  },
});
const { host, user } = options;
const password = process.env['FTP_PASSWORD'];
const range = options['passive-ports'];
if (
  options.help === true ||
  host === undefined ||
  user === undefined ||
  password === undefined ||
  range === undefined
) {
  process.stdout.write(usage);
  process.exit(options.help === true ? 0 : 2);
}
const passivePorts = PassivePortRange.parse(range);
const slots = Number(options.slots);
const addresses = isIPv4(host) ? [host] : await resolve4(host);

function to(address: string): SessionOptions {
  return {
    host: address,
    port: Number(options.port),
    username: user ?? '',
    password: password ?? '',
    tls: options.tls,
    servername: options.servername ?? (isIPv4(host ?? '') ? undefined : host),
  };
}

/** Opens a session through each address in turn, and joins what the checks say. */
async function throughEach(
  check: (session: FtpSession, address: string) => Promise<string>,
): Promise<string> {
  const answers: string[] = [];
  for (const address of addresses) {
    const session = await FtpSession.open(to(address));
    try {
      answers.push(await check(session, address));
      await session.quit();
    } finally {
      session.destroy();
    }
  }
  return answers.join('; ');
}

function name(): string {
  return `ftp-gateway-verify-${randomBytes(6).toString('hex')}`;
}

async function roundTrip(
  session: FtpSession,
  content: Uint8Array,
  port: () => Promise<number>,
): Promise<void> {
  const file = name();
  await session.upload(file, content, await port());
  const back = await session.download(`RETR ${file}`, await port());
  const listing = await session.download('NLST', await port());
  await session.command(`DELE ${file}`, 250);
  if (!back.equals(content)) throw new Error('the file came back changed');
  if (!listing.toString().includes(file)) throw new Error('the listing does not name the file');
}

/** The slot that owns a port, from 0. */
function slotOf(port: number): number {
  if (!passivePorts.contains(port)) throw new Error(`port ${port} is not in ${passivePorts.toString()}`);
  return Math.floor((port - passivePorts.first) / (passivePorts.size / slots));
}

/** Sessions through an address until each slot was met once; calls `visit` on the first session of each slot. */
async function eachSlot(address: string, visit: (session: FtpSession) => Promise<void>): Promise<number> {
  const met = new Set<number>();
  for (let attempt = 0; attempt < slots * 30 && met.size < slots; attempt += 1) {
    const session = await FtpSession.open(to(address));
    try {
      const slot = slotOf(await session.extendedPassive());
      if (!met.has(slot)) await visit(session);
      met.add(slot);
      await session.quit();
    } finally {
      session.destroy();
    }
  }
  if (met.size < slots)
    throw new Error(`only ${met.size} of ${slots} slots were met in ${slots * 30} sessions`);
  return met.size;
}

const claims: readonly Claim[] = [
  {
    text: 'The greeting comes before the client has sent anything (the PROXY header is not waited for)',
    check: () => throughEach((session) => Promise.resolve(`220 after ${session.greetingMs.toFixed(0)} ms`)),
  },
  {
    text: '227 names the address the client came through (PROXY destination = node address in its subnet)',
    check: () =>
      throughEach(async (session, address) => {
        const passive = await session.passive();
        if (passive.address !== address) throw new Error(`through ${address}, 227 names ${passive.address}`);
        slotOf(passive.port);
        return address;
      }),
  },
  {
    text: 'Files and listings pass both ways through every zone (data address = PROXY source; no header on passive ports)',
    check: () =>
      throughEach(async (session, address) => {
        await roundTrip(session, randomBytes(100_000), () => session.extendedPassive());
        await roundTrip(session, randomBytes(100_000), async () => (await session.passive()).port);
        return address;
      }),
  },
  {
    text: 'An upload of nothing is stored (the client only ends the data connection)',
    check: () =>
      throughEach(async (session) => {
        await roundTrip(session, new Uint8Array(), () => session.extendedPassive());
        return '0 bytes';
      }),
  },
  {
    text: 'Every slot answers through every address (cross-zone)',
    check: async () => {
      for (const address of addresses) {
        await eachSlot(address, (session) =>
          roundTrip(session, randomBytes(1000), () => session.extendedPassive()),
        );
      }
      return `${slots} slots, ${addresses.length} addresses`;
    },
  },
];

const idleClaim: Claim = {
  text: 'A control connection that is silent for 400 seconds is still there (350 is the default)',
  check: async () => {
    const [address = ''] = addresses;
    const session = await FtpSession.open(to(address));
    session.patienceMs = 500_000;
    await sleep(400_000);
    await session.command('NOOP', 200);
    await session.quit();
    return 'NOOP answered';
  },
};

/** Transfers one after another, and says how many failed and what the longest time without a success was. */
function duringClaim(seconds: number): Claim {
  return {
    text: `For ${seconds} seconds, while slots are replaced, no stored file is wrong and new sessions find a slot`,
    check: async () => {
      const end = performance.now() + seconds * 1000;
      let transfers = 0;
      let lastSuccess = performance.now();
      let longestGapMs = 0;
      const failures = new Map<string, number>();
      while (performance.now() < end) {
        const address = addresses[transfers % addresses.length] ?? '';
        try {
          const session = await FtpSession.open(to(address));
          try {
            await roundTrip(session, randomBytes(50_000), () => session.extendedPassive());
            await session.quit();
          } finally {
            session.destroy();
          }
          longestGapMs = Math.max(longestGapMs, performance.now() - lastSuccess);
          lastSuccess = performance.now();
        } catch (error) {
          const message = (error as Error).message;
          if (message.includes('changed')) throw error;
          failures.set(message, (failures.get(message) ?? 0) + 1);
          await sleep(500);
        }
        transfers += 1;
      }
      const failed = [...failures].map(([message, count]) => `${count} × ${message}`).join(', ');
      return `${transfers} tried, longest gap ${(longestGapMs / 1000).toFixed(1)} s, failed: ${failed || 'none'}`;
    },
  };
}

const chosen = [
  ...claims,
  ...(options.idle ? [idleClaim] : []),
  ...(options.during === undefined ? [] : [duringClaim(Number(options.during))]),
];
for (const { text, check } of chosen) {
  try {
    process.stdout.write(`holds   ${text}: ${await check()}\n`);
  } catch (error) {
    process.exitCode = 1;
    process.stdout.write(`FAILS   ${text}: ${(error as Error).message}\n`);
  }
}
