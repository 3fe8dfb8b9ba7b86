/** The plan of a passive port range in two zones, for tests of what is made of plans. */
import type { DeployedPlan } from '../../lib/deployed-plan.ts';
import { planPassivePorts } from '../../lib/passive-port-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';
import type { PassivePortPlan } from '../../lib/slot-plan.ts';

export function planOf(range: string, deployed: DeployedPlan = []): PassivePortPlan {
  return planPassivePorts({
    passivePorts: PassivePortRange.parse(range),
    zones: 2,
    controlListenerPorts: [21],
    containerPorts: {},
    deployed,
  });
}
