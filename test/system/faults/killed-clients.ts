/** How a client behaves that is killed, and for how long it may live after its 150. */

export const killPlans = [
  /** Sends a part of the file. */
  'mid-file',
  /** The same, after a QUIT in one packet with STOR. */
  'pipelined-quit',
  /** The same, after a NOOP in front of the first byte. */
  'keep-alive',
  /** Sends the whole file as fast as it can, and is killed early. */
  'full-speed',
  /** Sends the whole file and closes its data connection. */
  'data-fin',
  /** The same, and says QUIT. */
  'quit',
  /** The same, and closes its control connection. */
  'quit-close',
] as const;
export type KillPlan = (typeof killPlans)[number];

/** From the 150 to the kill, in milliseconds: at least, and at most. */
export function lifeMs(plan: KillPlan): readonly [least: number, most: number] {
  // A NOOP in the very turn of the kill cannot be distinguished from one behind the last byte (decision 0007).
  if (plan === 'keep-alive') return [50, 150];
  return plan === 'full-speed' ? [0, 20] : [0, 120];
}
