/**
 * From the passive range to slots: which task owns which ports. Pure, so that every rule of AWS that a wrong range
 * would break fails here, before a template exists, with a sentence that says what to change.
 */
import { PassivePortRange } from './passive-port-range.ts';

/** Listeners a Network Load Balancer may have; not adjustable (Elastic Load Balancing quota L-57A373D6). */
export const maximumListeners = 50;

/** Target groups an ECS service may register with (Amazon ECS developer guide, "register multiple target groups"). */
export const maximumTargetGroupsPerService = 5;

export type PassivePortRequest = {
  readonly passivePorts: PassivePortRange;
  /** Tasks that share the range. Undefined: the fewest that can. */
  readonly slots?: number | undefined;
  /** What clients connect to first: 21, and 990 where there is implicit TLS. Each takes a listener and a target group. */
  readonly controlListenerPorts: readonly number[];
  /** Ports the container uses for something else, each with its name for the error text. */
  readonly containerPorts: Readonly<Record<string, number>>;
};

/** One task's share: consecutive ports, in order. */
export type SlotPlan = {
  /** From 1; stable, so that a new slot never renames another. */
  readonly number: number;
  readonly passivePorts: PassivePortRange;
};

export type PassivePortPlan = {
  readonly passivePorts: PassivePortRange;
  readonly portsPerSlot: number;
  readonly slots: readonly SlotPlan[];
};

/**
 * Shares the range among the slots.
 * @throws one error with every problem, a sentence each.
 */
export function planPassivePorts(request: PassivePortRequest): PassivePortPlan {
  const { passivePorts } = request;
  const slotCount = request.slots ?? fewestSlots(request);
  const problems = [...rangeProblems(request), ...shareProblems(request, slotCount)];
  if (problems.length > 0) throw new Error(problems.join('\n'));

  const portsPerSlot = passivePorts.size / slotCount;
  const slots = Array.from({ length: slotCount }, (_, index) => {
    const first = passivePorts.first + index * portsPerSlot;
    return { number: index + 1, passivePorts: PassivePortRange.of(first, first + portsPerSlot - 1) };
  });
  return { passivePorts, portsPerSlot, slots };
}

/** Passive ports one slot can own: what its control target groups leave of the five. */
export function maximumPortsPerSlot(controlListenerPorts: readonly number[]): number {
  return maximumTargetGroupsPerService - controlListenerPorts.length;
}

/** Passive ports one load balancer can carry: a listener has one port, and the control ports need theirs. */
export function maximumPassivePorts(controlListenerPorts: readonly number[]): number {
  return maximumListeners - controlListenerPorts.length;
}

function rangeProblems({
  passivePorts,
  controlListenerPorts,
  containerPorts,
}: PassivePortRequest): readonly string[] {
  const problems: string[] = [];
  const most = maximumPassivePorts(controlListenerPorts);
  if (passivePorts.size > most) {
    const last = passivePorts.first + most - 1;
    problems.push(
      `The passive range ${passivePorts.toString()} has ${passivePorts.size} ports, but a Network Load Balancer has at most ` +
        `${maximumListeners} listeners and ${controlListenerPorts.length} of them are control ports. ` +
        `Use at most ${most} ports, for example ${passivePorts.first}-${last}; a port serves many transfers at once.`,
    );
  }
  if (passivePorts.first < 1024) {
    problems.push(
      `The passive range ${passivePorts.toString()} begins below 1024: the container does not run as root and cannot ` +
        `listen there. Use ports from 1024 up.`,
    );
  }
  for (const port of controlListenerPorts) {
    if (passivePorts.contains(port)) {
      problems.push(
        `The passive range ${passivePorts.toString()} contains ${port}, which is a control port. Move the range.`,
      );
    }
  }
  for (const [name, port] of Object.entries(containerPorts)) {
    if (passivePorts.contains(port)) {
      problems.push(
        `The passive range ${passivePorts.toString()} contains ${port}, where the container has its ${name}. Move the range.`,
      );
    }
  }
  return problems;
}

function shareProblems(request: PassivePortRequest, slotCount: number): readonly string[] {
  const { passivePorts, controlListenerPorts } = request;
  const size = passivePorts.size;
  if (!Number.isInteger(slotCount) || slotCount < 1) {
    return [`The number of slots is a whole number from 1 up, got ${slotCount}.`];
  }
  if (size % slotCount !== 0) {
    const possible = slotCounts(request);
    const choice = possible.length === 0 ? '' : ` ${possible.join(', ')} slots would do,`;
    const rounded = Math.max(1, Math.floor(size / slotCount)) * slotCount;
    return [
      `The ${size} ports of the passive range ${passivePorts.toString()} cannot be shared evenly by ${slotCount} slots.` +
        `${choice} or a range of ${rounded} ports: ${passivePorts.first}-${passivePorts.first + rounded - 1}.`,
    ];
  }
  const most = maximumPortsPerSlot(controlListenerPorts);
  if (size / slotCount > most) {
    return [
      `${size} passive ports on ${slotCount} slots are ${size / slotCount} a slot, but an ECS service registers with at most ` +
        `${maximumTargetGroupsPerService} target groups, of which ${controlListenerPorts.length} are for control ports. ` +
        `Use at least ${Math.ceil(size / most)} slots, or at most ${slotCount * most} ports.`,
    ];
  }
  return [];
}

function slotCounts({ passivePorts, controlListenerPorts }: PassivePortRequest): readonly number[] {
  const most = maximumPortsPerSlot(controlListenerPorts);
  return Array.from({ length: passivePorts.size }, (_, index) => index + 1).filter(
    (count) => passivePorts.size % count === 0 && passivePorts.size / count <= most,
  );
}

function fewestSlots(request: PassivePortRequest): number {
  return slotCounts(request)[0] ?? 1;
}
