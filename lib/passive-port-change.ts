/** Effects of a changed range on running slots. Pure. */
import type { DeployedPlan, DeployedSlot } from './deployed-plan.ts';
import { maximumListeners } from './passive-port-plan.ts';
import { listenerPorts, type PassivePortPlan, type SlotPlan } from './slot-plan.ts';
import { PassivePortRange } from './passive-port-range.ts';

/** The problems of changing to the new plan without a maintenance window, one sentence each; none if it is safe. */
export function changeProblems(
  deployed: DeployedPlan,
  plan: PassivePortPlan,
  controlListenerCount: number,
): readonly string[] {
  const problems: string[] = [];
  const moved = movedPorts(deployed, plan);
  if (moved.length > 0) {
    problems.push(
      `The range ${plan.passivePorts.toString()} with ${plan.portsPerSlot} ports per slot gives ${list(moved)} to another slot ` +
        `while sessions use them; their data connections would reach the wrong task. ${wayOut(deployed)}, or move to a range ` +
        `that shares no port with the old one, or deploy with -c acceptPassivePortMove=true in a ` +
        `maintenance window (docs/operations.md, "Changing the passive range").`,
    );
  }
  const before = deployed.flatMap((slot) => rangeOf(slot).ports);
  const listeners = new Set([...before, ...listenerPorts(plan)]).size;
  if (listeners + controlListenerCount > maximumListeners) {
    const room = maximumListeners - controlListenerCount - new Set(before).size;
    problems.push(
      `While CloudFormation changes to ${plan.passivePorts.toString()}, old and new ports have listeners: ` +
        `${listeners} and ${controlListenerCount} for control, more than the ${maximumListeners} of a Network Load Balancer. ` +
        (room > 0
          ? `Move in steps of at most ${room} new ports at a time, or remove slots first.`
          : `Remove slots first: drain them, stop them, and deploy a shorter range.`),
    );
  }
  return problems;
}

/** What a deployment does with one slot. */
export type SlotChange = {
  readonly firstPort: number;
  readonly before: DeployedSlot | undefined;
  readonly after: SlotPlan | undefined;
  readonly effect:
    'none' | 'new' | 'starts' | 'retires' | 'removed' | 'more ports' | 'fewer ports' | 'moves zone';
};

/** Every slot before and after, in the order of their ports. */
export function slotChanges(deployed: DeployedPlan, plan: PassivePortPlan): readonly SlotChange[] {
  const names = new Set([
    ...deployed.map(({ firstPort }) => firstPort),
    ...plan.slots.map(({ passivePorts }) => passivePorts.first),
  ]);
  return [...names]
    .sort((one, other) => one - other)
    .map((firstPort) => {
      const before = deployed.find((slot) => slot.firstPort === firstPort);
      const after = plan.slots.find(({ passivePorts }) => passivePorts.first === firstPort);
      return { firstPort, before, after, effect: effectOf(before, after) };
    });
}

function effectOf(before: DeployedSlot | undefined, after: SlotPlan | undefined): SlotChange['effect'] {
  if (after === undefined) return 'removed';
  if (before === undefined) return 'new';
  if (after.passivePorts.size !== before.ports) {
    return after.passivePorts.size > before.ports ? 'more ports' : 'fewer ports';
  }
  if (after.zone !== before.zone) return 'moves zone';
  if (after.retiring) return 'retires';
  return after.running && !before.running ? 'starts' : 'none';
}

// Only ports of running slots: a standby slot has no sessions.
function movedPorts(deployed: DeployedPlan, plan: PassivePortPlan): readonly number[] {
  const owner = (port: number) =>
    plan.slots.find(({ passivePorts }) => passivePorts.contains(port))?.passivePorts.first;
  return deployed
    .filter(({ running }) => running)
    .flatMap((slot) =>
      rangeOf(slot).ports.filter((port) => {
        const after = owner(port);
        return after !== undefined && after !== slot.firstPort;
      }),
    );
}

function wayOut(deployed: DeployedPlan): string {
  const first = deployed[0];
  const portsPerSlot = Math.max(...deployed.map(({ ports }) => ports));
  return first === undefined
    ? ''
    : `Keep ${portsPerSlot} ports per slot and the first port ${first.firstPort}`;
}

function rangeOf({ firstPort, ports }: DeployedSlot): PassivePortRange {
  return PassivePortRange.of(firstPort, firstPort + ports - 1);
}

function list(ports: readonly number[]): string {
  if (ports.length === 1) return `port ${ports.join()}`;
  const shown = ports.slice(0, 4).join(', ');
  return ports.length > 4 ? `ports ${shown} and ${ports.length - 4} more` : `ports ${shown}`;
}
