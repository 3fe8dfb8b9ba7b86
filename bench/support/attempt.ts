/** A server that fails a work is named and left out of it; the others go on. */
export async function attempt(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.log(`${name} failed: ${String(error)}`);
  }
}
