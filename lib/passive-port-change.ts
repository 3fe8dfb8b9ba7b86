/**
 * Whether a changed range is safe to deploy while sessions run. Pure. Slots are replaced one after another, so for some
 * minutes old and new shares exist side by side; a port must not be two slots' in that time.
 */
import { maximumListeners, type PassivePortPlan } from './passive-port-plan.ts';
import { PassivePortRange } from './passive-port-range.ts';

/** What the last deployment left running, as its `PassivePortPlan` output says: `50000-50007/2`. */
export type DeployedPlan = { readonly passivePorts: PassivePortRange; readonly slots: number };

/** @throws when the text is not `first-last/slots`. */
export function parseDeployedPlan(text: string): DeployedPlan {
  const [range = '', slots = ''] = text.split('/');
  if (!/^[1-9]\d?$/.test(slots)) {
    throw new Error(
      `The deployed passive port plan ${JSON.stringify(text)} is not understood; it looks like 50000-50007/2.`,
    );
  }
  return { passivePorts: PassivePortRange.parse(range), slots: Number(slots) };
}

export function formatPlan(plan: PassivePortPlan): string {
  return `${plan.passivePorts.toString()}/${plan.slots.length}`;
}

/** The problems of going from what runs to the plan without a maintenance window, a sentence each; none when it is safe. */
export function changeProblems(
  deployed: DeployedPlan,
  plan: PassivePortPlan,
  controlListenerCount: number,
): readonly string[] {
  const problems: string[] = [];
  const moved = plan.passivePorts.ports.filter((port) => {
    const before = slotOf(deployed.passivePorts, deployed.slots, port);
    return before !== undefined && before !== slotOf(plan.passivePorts, plan.slots.length, port);
  });
  if (moved.length > 0) {
    problems.push(
      `Going from ${deployed.passivePorts.toString()} on ${deployed.slots} slots to ${plan.passivePorts.toString()} on ` +
        `${plan.slots.length} slots gives ${list(moved)} to another slot while sessions use them; their data connections would reach ` +
        `the wrong task. Keep ${deployed.passivePorts.size / deployed.slots} ports a slot and the first port ${deployed.passivePorts.first}, ` +
        `or move to a range that shares no port with the old one, or deploy with -c acceptPassivePortMove=true in a ` +
        `maintenance window (docs/operations.md, "Changing the passive range").`,
    );
  }
  const listeners = new Set([...deployed.passivePorts.ports, ...plan.passivePorts.ports]).size;
  if (listeners + controlListenerCount > maximumListeners) {
    problems.push(
      `While CloudFormation goes from ${deployed.passivePorts.toString()} to ${plan.passivePorts.toString()}, both ranges have listeners: ` +
        `${listeners} and ${controlListenerCount} for control, more than the ${maximumListeners} of a Network Load Balancer. ` +
        `Move in steps of at most ${maximumListeners - controlListenerCount - deployed.passivePorts.size} new ports at a time, ` +
        `or narrow the range first.`,
    );
  }
  return problems;
}

function slotOf(range: PassivePortRange, slots: number, port: number): number | undefined {
  return range.contains(port) ? Math.floor((port - range.first) / (range.size / slots)) : undefined;
}

function list(ports: readonly number[]): string {
  if (ports.length === 1) return `port ${ports.join()}`;
  const shown = ports.slice(0, 4).join(', ');
  return ports.length > 4 ? `ports ${shown} and ${ports.length - 4} more` : `ports ${shown}`;
}
