/**
 * Estimates where a deployment reaches its limit: leases of passive ports, listeners, tasks, or S3 prefixes. Leases are simulated,
 * because they queue; the rest is arithmetic with the quotas of docs/scale.md.
 * Usage: npm run simulate -- [--help]
 */
import { parseArgs } from 'node:util';
import { simulateLeases } from './lease-simulation.ts';

const usage = `npm run simulate -- [options]

  --clients 50             client addresses
  --rate 5                 files a second that each of them starts
  --kilobytes 500          size of a file
  --rtt 60                 milliseconds between a client and the gateway, there and back
  --tls                    two more round trips until a data connection carries bytes; the lease ends before
  --slots 2                slots of the deployment
  --ports 4                passive ports a slot
  --cpu-seconds 2          CPU seconds a task spends on a GiB
  --cpu-ms 5               CPU milliseconds a task spends on a file of any size
  --vcpu 0.5               vCPU of a task
  --prefixes 1             S3 prefixes that S3 has partitioned the homes into
`;

/** Quotas; docs/scale.md has the source of each. */
const quotas = {
  listeners: 50,
  targetGroupsPerService: 5,
  s3PutsPerSecondAndPrefix: 3500,
  partBytes: 8 * 1024 * 1024,
  leaseWaitSeconds: 10,
} as const;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    tls: { type: 'boolean', default: false },
    clients: { type: 'string', default: '50' },
    rate: { type: 'string', default: '5' },
    kilobytes: { type: 'string', default: '500' },
    rtt: { type: 'string', default: '60' },
    slots: { type: 'string', default: '2' },
    ports: { type: 'string', default: '4' },
    'cpu-seconds': { type: 'string', default: '2' },
    'cpu-ms': { type: 'string', default: '5' },
    vcpu: { type: 'string', default: '0.5' },
    prefixes: { type: 'string', default: '1' },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

const [clients, rate, kilobytes, rttMs, slots, ports, cpuSeconds, cpuMs, vcpu, prefixes] = (
  [
    'clients',
    'rate',
    'kilobytes',
    'rtt',
    'slots',
    'ports',
    'cpu-seconds',
    'cpu-ms',
    'vcpu',
    'prefixes',
  ] as const
).map((option) => {
  const value = Number(values[option]);
  if (Number.isFinite(value) && value > 0) return value;
  process.stderr.write(`--${option} takes a number above 0, got ${values[option]}\n`);
  process.exit(2);
}) as [number, number, number, number, number, number, number, number, number, number];

type Limit = { readonly name: string; readonly used: number; readonly detail: string };

const filesPerSecond = clients * rate;
const gibibytesPerSecond = (filesPerSecond * kilobytes * 1000) / 2 ** 30;
const requestsPerFile = Math.max(1, Math.ceil((kilobytes * 1000) / quotas.partBytes));
// The reply goes out, the client's SYN comes in: one round trip. TLS happens after the port is free again.
const leases = simulateLeases({ ratePerSecond: rate / slots, leaseMs: rttMs, ports, seconds: 600 });

const limits: readonly Limit[] = [
  {
    name: 'leases of one address on one slot',
    used: (rate / slots / ports) * (rttMs / 1000),
    detail: `wait p50 ${leases.p50Ms.toFixed(0)} ms, p99 ${leases.p99Ms.toFixed(0)} ms, refused ${(leases.refused * 100).toFixed(2)}%`,
  },
  {
    name: 'listeners of the load balancer',
    used: (slots * ports + 1) / quotas.listeners,
    detail: `${slots * ports} passive and 1 for control of ${quotas.listeners}`,
  },
  {
    name: 'CPU of the tasks',
    used: (gibibytesPerSecond * cpuSeconds + (filesPerSecond * cpuMs) / 1000) / (slots * vcpu),
    detail: `${(gibibytesPerSecond * 1024).toFixed(0)} MiB a second at ${cpuSeconds} CPU seconds a GiB, ${cpuMs} ms a file, on ${slots} × ${vcpu} vCPU`,
  },
  {
    name: 'write requests of the S3 prefixes',
    used: (filesPerSecond * requestsPerFile) / (prefixes * quotas.s3PutsPerSecondAndPrefix),
    detail: `${(filesPerSecond * requestsPerFile).toFixed(0)} a second of ${prefixes} × ${quotas.s3PutsPerSecondAndPrefix}`,
  },
];

process.stdout.write(
  `${filesPerSecond} files a second of ${kilobytes} kB from ${clients} addresses${values.tls ? ', TLS' : ''}\n\n`,
);
const worst = limits.reduce((one, other) => (other.used > one.used ? other : one));
for (const limit of limits) {
  const percent = `${(limit.used * 100).toFixed(1)}%`.padStart(8);
  process.stdout.write(
    `${limit === worst ? '>' : ' '} ${limit.name.padEnd(36)}${percent}   ${limit.detail}\n`,
  );
}
if (ports + 1 > quotas.targetGroupsPerService) {
  process.stdout.write(
    `\nA slot has at most ${quotas.targetGroupsPerService - 1} passive ports: this deployment is not possible.\n`,
  );
  process.exitCode = 1;
}
