/** Shows the slots of a deployment, and starts, drains and stops them: rolls out a new version without interruption. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readPlan, writePlan } from '../lib/plan-file.ts';
import { DeployedStack, type DeployedSlotState } from './deployed-stack.ts';
import { table } from './table.ts';

const usage = `npm run slots                        every slot: zone, ports, state, version, sessions, oldest transfer
npm run slots -- start 50004         a task of the newest revision for a slot that stands by; waits until it is ready
npm run slots -- drain 50000         no new sessions; idle ones end after some minutes, busy ones continue
npm run slots -- serve 50000         cancels a drain, as long as it has ended no session
npm run slots -- stop 50000          a slot that has drained stands by from now on

  --environment NAME   of cdk.json (production)
  --revision N         start this revision of the task definition instead of the newest
  --force              drain the last slot that serves; stop a slot that has not drained
`;

/** The time until a load balancer probes a new target, with a margin. */
const readyTimeoutMs = 15 * 60_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', default: false },
    environment: { type: 'string', default: 'production' },
    revision: { type: 'string' },
    force: { type: 'boolean', default: false },
    plans: { type: 'string', default: fileURLToPath(new URL('../plans', import.meta.url)) },
  },
});

async function main(): Promise<void> {
  if (options.help) {
    process.stdout.write(usage);
    return;
  }
  const stack = await DeployedStack.find(options.environment);
  if (stack === undefined) throw new Error(`The environment ${options.environment} is not deployed.`);
  const [command = 'list', name] = positionals;
  if (command === 'list') {
    process.stdout.write(`${describe(await stack.slots())}\n`);
    return;
  }
  const slots = await stack.slots();
  const chosen = slots.find(({ slot }) => String(slot.firstPort) === name);
  if (chosen === undefined) {
    const known = slots.map(({ slot }) => slot.firstPort).join(', ');
    throw new Error(`There is no slot ${name ?? 'without a name'}; the slots are ${known}.`);
  }
  switch (command) {
    case 'start':
      await start(stack, chosen, slots);
      return;
    case 'drain':
      await drain(stack, chosen, slots);
      return;
    case 'serve':
      await serve(stack, chosen);
      return;
    case 'stop':
      await stop(stack, chosen);
      return;
    default:
      throw new Error(`There is no command ${command}.\n\n${usage}`);
  }
}

function describe(slots: readonly DeployedSlotState[]): string {
  return table(
    ['slot', 'zone', 'ports', 'state', 'version', 'revision', 'sessions', 'transfers', 'oldest transfer'],
    slots.map((state) => [
      String(state.slot.firstPort),
      String(state.slot.zone),
      `${state.slot.firstPort}-${state.slot.firstPort + state.slot.ports - 1}`,
      stateOf(state),
      state.status?.version ?? '',
      state.revision,
      String(state.status?.sessions ?? ''),
      String(state.status?.transfers ?? ''),
      state.status === undefined ? '' : `${state.status.oldestTransferSeconds} s`,
    ]),
  );
}

function stateOf({ service, status }: DeployedSlotState): string {
  if (service.desiredCount === 0) return 'standby';
  if (status === undefined) return 'starting';
  return status.stage === 'serving' && !status.ready ? 'starting' : status.stage;
}

function serving(slots: readonly DeployedSlotState[]): readonly DeployedSlotState[] {
  return slots.filter((state) => stateOf(state) === 'serving');
}

async function start(
  stack: DeployedStack,
  { slot, service }: DeployedSlotState,
  slots: readonly DeployedSlotState[],
): Promise<void> {
  if (service.desiredCount !== 0) throw new Error(`The slot ${slot.firstPort} runs already.`);
  const maximum = Number(stack.outputs['SlotsMaximum']);
  if (serving(slots).length >= maximum) {
    throw new Error(`${maximum} slots serve, which is the maximum. Drain one first, or raise slots.maximum.`);
  }
  await stack.setDesiredCount(service, 1, options.revision);
  record(slot.firstPort, true);
  process.stdout.write(`Slot ${slot.firstPort} starts; waiting until it is ready.\n`);
  const deadlineMs = performance.now() + readyTimeoutMs;
  for (;;) {
    const state = (await stack.slots()).find(({ slot: { firstPort } }) => firstPort === slot.firstPort);
    if (state !== undefined && stateOf(state) === 'serving') break;
    const failed = state?.service.deployments?.find(({ rolloutState }) => rolloutState === 'FAILED');
    if (failed !== undefined)
      throw new Error(`Slot ${slot.firstPort} did not start: ${failed.rolloutStateReason}`);
    if (performance.now() > deadlineMs)
      throw new Error(`Slot ${slot.firstPort} is not ready after 15 minutes.`);
    await sleep(1000);
  }
  process.stdout.write(`Slot ${slot.firstPort} is ready.\n`);
}

async function drain(
  stack: DeployedStack,
  state: DeployedSlotState,
  slots: readonly DeployedSlotState[],
): Promise<void> {
  const others = serving(slots).filter(({ slot }) => slot.firstPort !== state.slot.firstPort);
  if (others.length === 0 && !options.force) {
    throw new Error(
      `No other slot serves. Start one first: npm run slots -- start ${standby(slots) ?? 'SLOT'}.`,
    );
  }
  await request(stack, state, 'POST /drain', 202);
  process.stdout.write(
    `Slot ${state.slot.firstPort} drains. When it is "drained", stop it: npm run slots -- stop ${state.slot.firstPort}\n`,
  );
}

async function serve(stack: DeployedStack, state: DeployedSlotState): Promise<void> {
  await request(stack, state, 'POST /serve', 200);
  process.stdout.write(`Slot ${state.slot.firstPort} serves again.\n`);
}

async function stop(stack: DeployedStack, state: DeployedSlotState): Promise<void> {
  const { slot, service, status } = state;
  if (service.desiredCount === 0) throw new Error(`The slot ${slot.firstPort} stands by already.`);
  if (status?.stage !== 'drained' && !options.force) {
    throw new Error(
      `The slot ${slot.firstPort} has not drained: it is ${stateOf(state)} with ${status?.sessions ?? 'unknown'} sessions. ` +
        `Drain it first: npm run slots -- drain ${slot.firstPort}`,
    );
  }
  await stack.setDesiredCount(service, 0);
  record(slot.firstPort, false);
  process.stdout.write(`Slot ${slot.firstPort} stands by. Commit plans/${options.environment}.json.\n`);
}

async function request(
  stack: DeployedStack,
  { slot, service }: DeployedSlotState,
  what: string,
  expected: number,
): Promise<void> {
  const [address] = await stack.addresses(slot, service);
  if (address === undefined) throw new Error(`The slot ${slot.firstPort} has no task.`);
  const { status, body } = await stack.ask(address, what);
  if (status !== expected) throw new Error(`Slot ${slot.firstPort}: ${body.trim()} (${status}).`);
}

function standby(slots: readonly DeployedSlotState[]): number | undefined {
  return slots.find(({ service }) => service.desiredCount === 0)?.slot.firstPort;
}

/** Records which slots run: the next deployment keeps the operator's choice. */
function record(firstPort: number, running: boolean): void {
  const plan = readPlan(options.plans, options.environment);
  writePlan(
    options.plans,
    options.environment,
    plan.map((slot) => (slot.firstPort === firstPort ? { ...slot, running } : slot)),
  );
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
