import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer } from './peer.ts';

const server = fileURLToPath(new URL('distance-server.ts', import.meta.url));

export type Distance = {
  /** Address of the same server with the added round trip. */
  readonly endpoint: string;
  stop(): Promise<void>;
};

/** Adds a fixed round trip to a server on 127.0.0.1, for every client. */
export async function startDistance(endpoint: string, roundTripMs: number): Promise<Distance> {
  const url = new URL(endpoint);
  const port = await freePort();
  const proxy = await startPeer({
    name: 'distance',
    version: '',
    program: process.execPath,
    arguments: [server, String(port), url.port, String(roundTripMs / 2)],
    environment: {},
    account: { host: '127.0.0.1', port, username: '', password: '' },
  });
  return { endpoint: `${url.protocol}//127.0.0.1:${port}`, stop: () => proxy.stop() };
}
