/** Data connections of dialogues through the load balancer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { LocalDeployment } from './deployment.ts';

/** Connects to the port that an EPSV reply names, on the node of the zone. */
export async function dial(deployment: LocalDeployment, reply: string, zone: number): Promise<Socket> {
  const port = /^229 .*\(\|\|\|(\d+)\|\)/.exec(reply)?.[1];
  const host = deployment.nodes[zone]?.publicAddress;
  assert.ok(port !== undefined && host !== undefined, reply);
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}
