/** Reports a server that fails a workload, and lets the others continue. */
export async function attempt(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.log(`${name} failed: ${String(error)}`);
  }
}
