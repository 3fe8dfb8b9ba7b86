/** Ports on loopback for servers that are not ours and cannot be asked which port they took. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

const startTimeoutMs = 30_000;

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until the server that `child` runs accepts connections; throws when it ends or takes longer. */
export async function portAnswers(
  port: number,
  child: ChildProcess,
  limitMs = startTimeoutMs,
): Promise<void> {
  let failure: Error | undefined;
  child.once('error', (error) => (failure = error));
  const deadline = Date.now() + limitMs;
  for (;;) {
    if (failure) throw failure;
    if (child.exitCode !== null)
      throw new Error(`${child.spawnfile} ended at its start with ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error(`${child.spawnfile} does not answer on port ${port}`);
    const socket = connect({ host: '127.0.0.1', port });
    try {
      await once(socket, 'connect');
      return;
    } catch {
      // Nothing tells when a foreign server has opened its port; asking again is all there is.
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      socket.destroy();
    }
  }
}

/** Asks a child to end, and makes it when it has not after 10 s. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(killer);
}

/** A range of consecutive ports of 127.0.0.1 that were free a moment ago, below the ports that the kernel gives to clients. */
export async function freeRange(
  count: number,
): Promise<{ readonly ports: readonly number[]; toString(): string }> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 1_000) * 10;
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return { ports, toString: () => `${first}-${first + count - 1}` };
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
