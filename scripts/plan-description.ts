/** Describes the effects of a changed plan on slots, listeners and sessions; and which running tasks CloudFormation would replace. Pure. */
import type { DeployedPlan, DeployedSlot } from '../lib/deployed-plan.ts';
import { type SlotChange, slotChanges } from '../lib/passive-port-change.ts';
import { portRanges } from '../lib/passive-port-plan.ts';
import { listenerPorts, type PassivePortPlan, type SlotPlan } from '../lib/slot-plan.ts';
import { PassivePortRange } from '../lib/passive-port-range.ts';
import { table } from './table.ts';

export type Template = {
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties?: Readonly<Record<string, unknown>> }>
  >;
};

/** A table of the slots before and after, and what happens to listeners. */
export function describePlan(deployed: DeployedPlan, plan: PassivePortPlan): string {
  const rows = slotChanges(deployed, plan).map((change) => [
    String(change.firstPort),
    String(change.after?.zone ?? change.before?.zone ?? ''),
    arrow(change.before && rangeOf(change.before), change.after && shortRange(change.after.passivePorts)),
    arrow(state(change.before), state(change.after)),
    effects[change.effect](change),
  ]);
  const before = deployed.flatMap(({ firstPort, ports }) =>
    Array.from({ length: ports }, (_, n) => firstPort + n),
  );
  const after = listenerPorts(plan);
  const added = after.filter((port) => !before.includes(port));
  const removed = before.filter((port) => !after.includes(port));
  return [
    table(['slot', 'zone', 'ports', 'state', 'what happens'], rows),
    '',
    `Listeners: ${ranges(added) === '' ? 'none made' : `${ranges(added)} made`}, ${ranges(removed) === '' ? 'none removed' : `${ranges(removed)} removed`}.`,
    `Firewalls of partners: ${ranges(after)}${added.length > 0 ? `; announce ${ranges(added)} to them first` : ''}.`,
  ].join('\n');
}

const effects: Readonly<Record<SlotChange['effect'], (change: SlotChange) => string>> = {
  none: ({ after }) => (after?.running === true ? 'nothing; its sessions continue' : 'nothing; it stands by'),
  new: ({ after }) => (after?.running === true ? 'is made and started' : 'is made and stands by'),
  starts: () => 'starts',
  retires: ({ firstPort }) =>
    `continues until it is drained and stopped (npm run slots -- drain ${firstPort}); the next deployment removes it`,
  removed: () => 'is removed; it has no task and no sessions',
  'more ports': ({ before }) => inPlace(before, 'gets a port more'),
  'fewer ports': ({ before }) => inPlace(before, 'loses a port'),
  'moves zone': ({ before }) => inPlace(before, 'moves to another zone'),
};

function inPlace(before: DeployedSlot | undefined, what: string): string {
  return before?.running === true
    ? `${what}: ECS replaces its task, whose sessions end; drain and stop it first`
    : `${what}; it stands by, no session is on it`;
}

/**
 * The services that exist before and after, run, and whose properties differ: CloudFormation updates them, and ECS replaces
 * their tasks. One line each, with the properties.
 */
export function taskReplacements(
  before: Template,
  after: Template,
  deployed: DeployedPlan,
): readonly string[] {
  const running = deployed.filter((slot) => slot.running).map(({ firstPort }) => `slot-${firstPort}`);
  return Object.entries(after.Resources).flatMap(([id, { Type, Properties }]) => {
    const old = before.Resources[id]?.Properties;
    if (Type !== 'AWS::ECS::Service' || Properties === undefined || old === undefined) return [];
    const name = String(Properties['ServiceName']);
    // Desired counts follow what operators have started and stopped: for a slot that runs, 1 changes only the template. But
    // CloudFormation then sends the whole service, and its family means the new revision (ECS UpdateService, "taskDefinition").
    const isUpdated = old['DesiredCount'] !== Properties['DesiredCount'];
    const changed = [...new Set([...Object.keys(old), ...Object.keys(Properties)])].filter(
      (property) =>
        property !== 'DesiredCount' && JSON.stringify(old[property]) !== JSON.stringify(Properties[property]),
    );
    if (isUpdated && taskDefinitionDiffers(before, after, Properties['TaskDefinition'])) {
      changed.push('DesiredCount and the task definition');
    }
    return changed.length > 0 && running.includes(name) ? [`${name}: ${changed.join(', ')} changed`] : [];
  });
}

function taskDefinitionDiffers(before: Template, after: Template, family: unknown): boolean {
  const [old, current] = [before, after].map(({ Resources }) =>
    Object.values(Resources).find(
      ({ Type, Properties }) =>
        Type === 'AWS::ECS::TaskDefinition' && family !== undefined && Properties?.['Family'] === family,
    ),
  );
  return JSON.stringify(old?.Properties) !== JSON.stringify(current?.Properties);
}

function rangeOf({ firstPort, ports }: DeployedSlot): string {
  return shortRange(PassivePortRange.of(firstPort, firstPort + ports - 1));
}

function state(slot: DeployedSlot | SlotPlan | undefined): string | undefined {
  if (slot === undefined) return undefined;
  return slot.running ? 'runs' : 'standby';
}

function arrow(before: string | undefined, after: string | undefined): string {
  return before === after ? (before ?? '') : `${before ?? '-'} -> ${after ?? '-'}`;
}

function ranges(ports: readonly number[]): string {
  return portRanges(ports).map(shortRange).join(', ');
}

function shortRange({ first, last }: PassivePortRange): string {
  return first === last ? String(first) : `${first}-${last}`;
}
