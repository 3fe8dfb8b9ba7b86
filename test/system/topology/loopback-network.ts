/** Networks of 127.0.0.0/8 for tests that run at the same time, in one process or in several. */
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';

export type LoopbackNetwork = {
  /** The first two octets, such as `127.16`. */
  readonly prefix: string;
  /** Frees the network for other tests. */
  release(): void;
};

const firstOctet = 16;
const lastOctet = 254;
// Below the range of ephemeral ports, so that no connection of another test occupies it.
const lockPort = 7_016;

/**
 * Takes the first network 127.N.0.0/16 that no other test has. A listener on 127.N.255.254 is the lock: the kernel grants
 * it once, and frees it when the process ends, however it ends.
 * @throws when all networks are taken.
 */
export async function takeLoopbackNetwork(): Promise<LoopbackNetwork> {
  for (let octet = firstOctet; octet <= lastOctet; octet++) {
    const lock = await tryListen(`127.${octet}.255.254`);
    if (lock !== undefined) return { prefix: `127.${octet}`, release: () => lock.close() };
  }
  throw new Error('Every network from 127.16.0.0/16 to 127.254.0.0/16 is taken.');
}

async function tryListen(host: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  // A test that forgets to release its network still ends.
  server.unref();
  server.listen({ host, port: lockPort, exclusive: true });
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
}
