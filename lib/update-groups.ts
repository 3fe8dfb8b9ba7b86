/**
 * The order of changes that CloudFormation makes to running services in place, such as another target group. Pure. Services of
 * one group change at the same time; each group waits for the one before it.
 */
import type { SlotPlan } from './slot-plan.ts';

/**
 * Groups of at most a quarter of the slots, none of which holds every running slot of a zone that has more than one, and
 * none of which holds every running slot.
 */
export function updateGroups<Slot extends { readonly plan: SlotPlan }>(
  slots: readonly Slot[],
): readonly (readonly Slot[])[] {
  const largest = Math.max(1, Math.floor(slots.length / 4));
  const running = slots.filter(({ plan }) => plan.running);
  const inZone = (of: readonly Slot[], zone: number) => of.filter(({ plan }) => plan.zone === zone).length;
  const takesTooMuch = (group: readonly Slot[]) => {
    const taken = group.filter(({ plan }) => plan.running);
    const zones = new Set(taken.map(({ plan }) => plan.zone));
    return (
      (taken.length > 1 && taken.length === running.length) ||
      [...zones].some((zone) => inZone(taken, zone) > 1 && inZone(taken, zone) === inZone(running, zone))
    );
  };
  const groups: Slot[][] = [];
  for (const slot of slots) {
    const last = groups.at(-1);
    if (last === undefined || last.length >= largest || takesTooMuch([...last, slot])) groups.push([slot]);
    else last.push(slot);
  }
  return groups;
}
