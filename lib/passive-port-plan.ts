/**
 * From the passive range to slots: which task owns which ports, in which zone, and which slots run. Pure, so that every rule
 * of AWS that a wrong range would break fails here, before a template exists, with a message that states what to change.
 */
import type { DeployedPlan, DeployedSlot } from './deployed-plan.ts';
import { PassivePortRange } from './passive-port-range.ts';
import type { PassivePortPlan, SlotPlan } from './slot-plan.ts';

/** Listeners a Network Load Balancer may have; not adjustable (Elastic Load Balancing quota L-57A373D6). */
export const maximumListeners = 50;

/** Target groups an ECS service may register with (Amazon ECS developer guide, "register multiple target groups"). */
export const maximumTargetGroupsPerService = 5;

/**
 * Two: a client address starts 33 transfers a second on such a slot at 60 ms, and twice as many slots as with four ports
 * share the same listeners, so that each carries half of the sessions.
 */
export const defaultPortsPerSlot = 2;

/** How many slots serve. The other slots of the range stand by: their services have no task. */
export type SlotCounts = {
  /** Slots that run after the first deployment; fewer ready slots raise an alarm. */
  readonly minimum: number;
  /**
   * Most slots that may serve at the same time.
   * @default - all that fit in the range
   */
  readonly maximum?: number | undefined;
};

export type PassivePortRequest = {
  readonly passivePorts: PassivePortRange;
  /** Undefined: `defaultPortsPerSlot`, or the one that a smaller range has. */
  readonly portsPerSlot?: number | undefined;
  /** A number is a minimum. Undefined: two, or the one that a smaller range carries. */
  readonly slots?: number | SlotCounts | undefined;
  /** Zones that slots are spread over. */
  readonly zones: number;
  /** What clients connect to first: 21, and 990 where there is implicit TLS. Each takes a listener and a target group. */
  readonly controlListenerPorts: readonly number[];
  /** Ports the container uses for something else, each with its name for the error text. */
  readonly containerPorts: Readonly<Record<string, number>>;
  /** The deployed plan: recorded slots keep their zone, and those that run outside of the range are kept until stopped. */
  readonly deployed?: DeployedPlan | undefined;
};

/**
 * Shares the range among slots: filled in order, so that a longer range moves no port to another slot.
 * @throws one error with every problem, a sentence each.
 */
export function planPassivePorts(request: PassivePortRequest): PassivePortPlan {
  const { passivePorts } = request;
  const portsPerSlot = request.portsPerSlot ?? Math.min(defaultPortsPerSlot, passivePorts.size);
  const carried = Math.ceil(passivePorts.size / portsPerSlot);
  const { minimumSlots, maximumSlots } = slotCounts(request.slots, carried);
  const problems = [
    ...rangeProblems(request),
    ...shareProblems(request, portsPerSlot),
    ...countProblems(request, portsPerSlot, { minimumSlots, maximumSlots, carried }),
  ];
  if (problems.length > 0) throw new Error(problems.join('\n'));

  const shares = sharesOf(passivePorts, portsPerSlot);
  const slots = withZones(shares, request.deployed ?? [], request.zones);
  return {
    passivePorts,
    portsPerSlot,
    minimumSlots,
    maximumSlots,
    slots: [
      ...withRunning(slots, request.deployed ?? [], minimumSlots),
      ...retiringSlots(passivePorts, request),
    ],
  };
}

/** The ports as the fewest ranges, for firewall rules. */
export function portRanges(ports: readonly number[]): readonly PassivePortRange[] {
  const ranges: PassivePortRange[] = [];
  for (const port of ports) {
    const last = ranges.at(-1);
    if (last?.last === port - 1) ranges[ranges.length - 1] = PassivePortRange.of(last.first, port);
    else ranges.push(PassivePortRange.of(port, port));
  }
  return ranges;
}

/** Passive ports one slot can own: what its control target groups leave of the five. */
export function maximumPortsPerSlot(controlListenerPorts: readonly number[]): number {
  return maximumTargetGroupsPerService - controlListenerPorts.length;
}

/** Passive ports one load balancer can carry: a listener has one port, and the control ports need theirs. */
export function maximumPassivePorts(controlListenerPorts: readonly number[]): number {
  return maximumListeners - controlListenerPorts.length;
}

function sharesOf(range: PassivePortRange, portsPerSlot: number): readonly PassivePortRange[] {
  const shares: PassivePortRange[] = [];
  for (let first = range.first; first <= range.last; first += portsPerSlot) {
    shares.push(PassivePortRange.of(first, Math.min(first + portsPerSlot - 1, range.last)));
  }
  return shares;
}

type ZonedSlot = Pick<SlotPlan, 'passivePorts' | 'zone'>;

// A recorded zone stays, because another one means another subnet, and that replaces the slot's task.
function withZones(
  shares: readonly PassivePortRange[],
  deployed: readonly DeployedSlot[],
  zones: number,
): readonly ZonedSlot[] {
  const recorded = (share: PassivePortRange) => {
    const zone = deployed.find(({ firstPort }) => firstPort === share.first)?.zone;
    return zone !== undefined && zone <= zones ? zone : undefined;
  };
  const used = new Map<number, number>();
  const count = (zone: number) => used.set(zone, (used.get(zone) ?? 0) + 1);
  for (const share of shares) {
    const zone = recorded(share);
    if (zone !== undefined) count(zone);
  }
  return shares.map((share) => {
    const zone = recorded(share) ?? leastUsed(used, zones);
    if (recorded(share) === undefined) count(zone);
    return { passivePorts: share, zone };
  });
}

function leastUsed(used: ReadonlyMap<number, number>, zones: number): number {
  const all = Array.from({ length: zones }, (_, index) => index + 1);
  return all.reduce((best, zone) => ((used.get(zone) ?? 0) < (used.get(best) ?? 0) ? zone : best));
}

// Operators decide which existing slots run. A deployment only starts what is missing to the minimum.
function withRunning(
  slots: readonly ZonedSlot[],
  deployed: readonly DeployedSlot[],
  minimum: number,
): readonly SlotPlan[] {
  const running = slots.map(
    ({ passivePorts }) =>
      deployed.find(({ firstPort }) => firstPort === passivePorts.first)?.running ?? false,
  );
  let missing = minimum - running.filter(Boolean).length;
  return slots.map((slot, index) => {
    const starts = running[index] !== true && missing > 0;
    if (starts) missing -= 1;
    return { ...slot, running: running[index] === true || starts, retiring: false };
  });
}

function retiringSlots(
  range: PassivePortRange,
  { deployed = [], zones }: PassivePortRequest,
): readonly SlotPlan[] {
  return deployed
    .filter(({ firstPort, ports, running }) => running && outside(range, firstPort, ports))
    .map(({ firstPort, ports, zone }) => ({
      passivePorts: PassivePortRange.of(firstPort, firstPort + ports - 1),
      zone: Math.min(zone, zones),
      running: true,
      retiring: true,
    }));
}

// A slot that lies partly inside has other ports now; see `changeProblems`.
function outside(range: PassivePortRange, firstPort: number, ports: number): boolean {
  return firstPort > range.last || firstPort + ports - 1 < range.first;
}

function slotCounts(slots: PassivePortRequest['slots'], carried: number) {
  const counts =
    typeof slots === 'number' ? { minimum: slots } : (slots ?? { minimum: Math.min(2, carried) });
  return { minimumSlots: counts.minimum, maximumSlots: counts.maximum ?? carried };
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
        `The passive range ${passivePorts.toString()} contains ${port}, which the container uses for its ${name}. Move the range.`,
      );
    }
  }
  return problems;
}

function shareProblems(
  { passivePorts, controlListenerPorts }: PassivePortRequest,
  portsPerSlot: number,
): readonly string[] {
  if (!Number.isInteger(portsPerSlot) || portsPerSlot < 1) {
    return [`The number of ports per slot is a whole number from 1 up, got ${portsPerSlot}.`];
  }
  const most = maximumPortsPerSlot(controlListenerPorts);
  if (portsPerSlot > most) {
    return [
      `A slot has ${portsPerSlot} passive ports, but an ECS service registers with at most ` +
        `${maximumTargetGroupsPerService} target groups, of which ${controlListenerPorts.length} are for control ports. ` +
        `Use at most ${most} ports per slot.`,
    ];
  }
  if (portsPerSlot > passivePorts.size) {
    return [
      `A slot has ${portsPerSlot} passive ports, but the range ${passivePorts.toString()} has ${passivePorts.size}. ` +
        `Use fewer ports per slot, or a longer range.`,
    ];
  }
  return [];
}

type Counts = {
  readonly minimumSlots: number;
  readonly maximumSlots: number;
  readonly carried: number;
};

function countProblems(
  { passivePorts }: PassivePortRequest,
  portsPerSlot: number,
  { minimumSlots, maximumSlots, carried }: Counts,
): readonly string[] {
  for (const count of [minimumSlots, maximumSlots]) {
    if (!Number.isInteger(count) || count < 1) {
      return [`The number of slots is a whole number from 1 up, got ${count}.`];
    }
  }
  const most = Math.max(minimumSlots, maximumSlots);
  if (most > carried) {
    const last = passivePorts.first + most * portsPerSlot - 1;
    const fewer = Math.floor(passivePorts.size / most);
    return [
      `${most} slots of ${portsPerSlot} passive ports are more than the range ${passivePorts.toString()} carries, ` +
        `which is ${carried}. Use a longer range, ${passivePorts.first}-${last}` +
        `${fewer >= 1 && fewer < portsPerSlot ? `, or ${fewer} ports per slot` : ''}.`,
    ];
  }
  if (minimumSlots > maximumSlots) {
    return [`The minimum of ${minimumSlots} slots is more than the maximum of ${maximumSlots}.`];
  }
  return [];
}
