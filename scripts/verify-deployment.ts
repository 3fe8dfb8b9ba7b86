/**
 * Verifies on a real deployment the behavior of the load balancer that the gateway relies on.
 * Prints one line per claim; the exit code is 1 if one is false. It writes small files named ftp-gateway-verify-* and removes them.
 */
import { randomBytes } from 'node:crypto';
import { resolve4 } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  CloudWatchClient,
  DescribeAlarmHistoryCommand,
  SetAlarmStateCommand,
} from '@aws-sdk/client-cloudwatch';
import { DescribeRouteTablesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { parseDeployedPlan } from '../lib/deployed-plan.ts';
import { DeployedStack } from './deployed-stack.ts';
import { FtpSession, type SessionOptions } from './ftp-session.ts';

const usage = `FTP_PASSWORD=... npm run verify -- --host HOST --user NAME --plan '[{"firstPort":50000,...}]'

  --host            the Host output of the stack, or an address
  --port            control port (21)
  --user            a user with read-write permissions; the password comes from FTP_PASSWORD
  --plan            the PassivePortPlan output
  --tls             AUTH TLS and PROT P
  --servername      the name in the certificate, when --host is another
  --idle            also wait 400 seconds on a silent control connection
  --during          seconds of transfers, to watch a deployment or a drain

With AWS credentials, for the claims about AWS itself:
  --environment     of cdk.json: task subnets without a default route, see whether clients got replies there
  --alarm           name of an alarm of the stack: it is set, and must reach the topic
  --drain           a slot (50000) to drain: its session must outlive the unhealthy state of its target; it serves again after
  --drain-seconds   how long its session is watched (180: longer than the load balancer needs to stop sending to the target)
`;

type Claim = { readonly text: string; readonly check: () => Promise<string> };

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean' },
    host: { type: 'string' },
    port: { type: 'string', default: '21' },
    user: { type: 'string' },
    plan: { type: 'string' },
    environment: { type: 'string' },
    alarm: { type: 'string' },
    drain: { type: 'string' },
    'drain-seconds': { type: 'string', default: '180' },
    tls: { type: 'boolean', default: false },
    servername: { type: 'string' },
    idle: { type: 'boolean', default: false },
    during: { type: 'string' },
  },
});
const { host, user } = options;
const password = process.env['FTP_PASSWORD'];
if (
  options.help === true ||
  host === undefined ||
  user === undefined ||
  password === undefined ||
  options.plan === undefined
) {
  process.stdout.write(usage);
  process.exit(options.help === true ? 0 : 2);
}
const plan = parseDeployedPlan(options.plan);
const slots = plan.filter(({ running }) => running).length;
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

/** Opens a session through each address in turn, and joins the results of the checks. */
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

/** The slot that owns a port, by its first port. */
function slotOf(port: number): number {
  const slot = plan.find(({ firstPort, ports }) => port >= firstPort && port < firstPort + ports);
  if (slot === undefined) throw new Error(`port ${port} belongs to no slot of the plan`);
  return slot.firstPort;
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

async function deployedStack(): Promise<DeployedStack> {
  const stack = await DeployedStack.find(options.environment ?? 'production');
  if (stack === undefined) throw new Error('the environment is not deployed');
  return stack;
}

const routeClaim: Claim = {
  text: 'Clients whose address is preserved get replies from subnets without a default route',
  check: async () => {
    const ec2 = new EC2Client();
    const stack = await deployedStack();
    const subnets = (await stack.slots()).flatMap(
      ({ service }) => service.networkConfiguration?.awsvpcConfiguration?.subnets ?? [],
    );
    const { RouteTables } = await ec2.send(
      new DescribeRouteTablesCommand({
        Filters: [{ Name: 'association.subnet-id', Values: [...new Set(subnets)] }],
      }),
    );
    const routes = (RouteTables ?? []).flatMap(({ Routes }) => Routes ?? []);
    if (routes.some(({ DestinationCidrBlock }) => DestinationCidrBlock === '0.0.0.0/0')) {
      return 'not verifiable: the task subnets have a default route';
    }
    await throughEach(async (session) => {
      await roundTrip(session, randomBytes(1000), () => session.extendedPassive());
      return 'replied';
    });
    return `${new Set(subnets).size} subnets without one, and every transfer came back`;
  },
};

/** CloudWatch's history records whether the topic accepted the notice. */
function alarmClaim(alarmName: string): Claim {
  return {
    text: `The alarm ${alarmName} reaches the topic`,
    check: async () => {
      const cloudWatch = new CloudWatchClient();
      const since = new Date();
      // Of the history, whose times may be whole seconds.
      since.setMilliseconds(0);
      await cloudWatch.send(
        new SetAlarmStateCommand({
          AlarmName: alarmName,
          StateValue: 'ALARM',
          StateReason: 'scripts/verify-deployment.ts',
        }),
      );
      for (let attempt = 0; attempt < 30; attempt += 1) {
        await sleep(2000);
        const { AlarmHistoryItems } = await cloudWatch.send(
          new DescribeAlarmHistoryCommand({
            AlarmName: alarmName,
            HistoryItemType: 'Action',
            StartDate: since,
          }),
        );
        const summary = AlarmHistoryItems?.[0]?.HistorySummary;
        if (summary === undefined) continue;
        if (!summary.startsWith('Successfully executed')) throw new Error(summary);
        return summary;
      }
      throw new Error('no action within a minute');
    },
  };
}

const drainSeconds = Number(options['drain-seconds']);

function drainClaim(slot: string): Claim {
  return {
    text: `A control connection outlives the unhealthy state of its target (slot ${slot})`,
    check: async () => {
      const stack = await deployedStack();
      const state = (await stack.slots()).find(({ slot: { firstPort } }) => String(firstPort) === slot);
      if (state === undefined) throw new Error(`there is no slot ${slot}`);
      const [task] = await stack.addresses(state.slot, state.service);
      if (task === undefined) throw new Error('the slot has no task');
      const [address = ''] = addresses;
      const session = await sessionOn(address, Number(slot));
      session.patienceMs = 60_000;
      await stack.ask(task, 'POST /drain');
      try {
        // Commands prevent the drain from ending the session as idle.
        const steps = 6;
        for (let step = 0; step < steps; step += 1) {
          await sleep((drainSeconds / steps) * 1000);
          await session.command('PWD', 257);
        }
        await roundTrip(session, randomBytes(1000), () => session.extendedPassive());
        await session.quit();
      } finally {
        session.destroy();
        await stack.ask(task, 'POST /serve');
      }
      return `${drainSeconds} seconds, and a transfer after them`;
    },
  };
}

async function sessionOn(address: string, slot: number): Promise<FtpSession> {
  for (let attempt = 0; attempt < slots * 30; attempt += 1) {
    const session = await FtpSession.open(to(address));
    if (slotOf(await session.extendedPassive()) === slot) return session;
    await session.quit();
  }
  throw new Error(`no session reached slot ${slot}`);
}

/** Transfers one after another, and reports how many failed and the longest time without a success. */
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
  ...(options.environment === undefined ? [] : [routeClaim]),
  ...(options.alarm === undefined ? [] : [alarmClaim(options.alarm)]),
  ...(options.drain === undefined ? [] : [drainClaim(options.drain)]),
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
