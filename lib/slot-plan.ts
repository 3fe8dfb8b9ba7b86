/** The slots that share the passive range: the result of planning, and what a deployment records. Pure. */
import type { PassivePortRange } from './passive-port-range.ts';

/** One task's share: consecutive ports, in order. Its first port is its name. */
export type SlotPlan = {
  readonly passivePorts: PassivePortRange;
  /** From 1, in the order of the network's zones. */
  readonly zone: number;
  /** Whether its service is to have a task; a slot that does not run stands by. */
  readonly running: boolean;
  /** Outside of the range, and kept only until it has been drained and stopped. */
  readonly retiring: boolean;
};

export type PassivePortPlan = {
  /** The requested range. */
  readonly passivePorts: PassivePortRange;
  readonly portsPerSlot: number;
  readonly minimumSlots: number;
  readonly maximumSlots: number;
  /** In the order of their ports; retiring slots last. */
  readonly slots: readonly SlotPlan[];
};

/** The name of a slot in construct ids, log streams, metrics and commands: its first port. */
export function slotName({ passivePorts }: Pick<SlotPlan, 'passivePorts'>): string {
  return String(passivePorts.first);
}

/** Every passive port of the plan that has a listener, retiring ones included, in order. */
export function listenerPorts({ slots }: Pick<PassivePortPlan, 'slots'>): readonly number[] {
  return slots.flatMap(({ passivePorts }) => passivePorts.ports).sort((one, other) => one - other);
}
