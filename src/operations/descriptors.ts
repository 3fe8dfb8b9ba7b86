/** The process's file descriptors: how many it may have, how many it needs, and what a shortage looks like. */

/** Whether a call failed because the process (EMFILE) or the machine (ENFILE) has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EMFILE' || code === 'ENFILE';
}
