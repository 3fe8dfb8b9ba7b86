/**
 * The plan of the last deployment: the slots with their ports and zones, and which of them run. It is the `PassivePortPlan`
 * output of the stack, and the file of the environment in `plans/`, against which the next range is checked.
 */
import { z } from 'zod';
import type { PassivePortPlan } from './slot-plan.ts';

const slotSchema = z.strictObject({
  firstPort: z.number().int().min(1).max(65_535),
  ports: z.number().int().min(1).max(49),
  zone: z.number().int().min(1),
  running: z.boolean(),
});

const planSchema = z.array(slotSchema).max(49);

/** A slot as it was deployed. It is named by its first port. */
export type DeployedSlot = z.infer<typeof slotSchema>;

export type DeployedPlan = readonly DeployedSlot[];

/**
 * Reads the `PassivePortPlan` output of a stack.
 * @throws when the text is not such a plan.
 */
export function parseDeployedPlan(text: string): DeployedPlan {
  try {
    return checkedPlan(JSON.parse(text));
  } catch (error) {
    throw new Error(
      `The deployed passive port plan ${JSON.stringify(text.slice(0, 60))} is invalid. The expected format is ` +
        `[{"firstPort":50000,"ports":2,"zone":1,"running":true}].`,
      { cause: error },
    );
  }
}

/** @throws when the value is not a plan, or two of its slots own the same port. */
export function checkedPlan(value: unknown): DeployedPlan {
  const plan = planSchema.parse(value);
  const ports = plan.flatMap(({ firstPort, ports }) =>
    Array.from({ length: ports }, (_, n) => firstPort + n),
  );
  if (new Set(ports).size !== ports.length) throw new Error('Two slots own the same port.');
  return plan;
}

/** The plan in the format of the output and of the environment's file. */
export function deployedPlanOf({ slots }: PassivePortPlan): DeployedPlan {
  return slots.map(({ passivePorts, zone, running }) => ({
    firstPort: passivePorts.first,
    ports: passivePorts.size,
    zone,
    running,
  }));
}

/**
 * What to record after a deployment: its slots. Which of them run is taken from the record where the slot was
 * known before, because operators start and stop slots without a deployment.
 */
export function mergedPlan(recorded: DeployedPlan, deployed: DeployedPlan): DeployedPlan {
  return deployed.map((slot) => ({
    ...slot,
    running: recorded.find(({ firstPort }) => firstPort === slot.firstPort)?.running ?? slot.running,
  }));
}
