/** A client that loses a connection in the middle of an upload, and the file that it was sending. */
import assert from 'node:assert/strict';
import { firstPartBytes } from '../../../src/s3/upload/part-size.ts';
import { bytesOf, mib } from '../../s3/transfer.ts';
import { closed, Dialogue } from '../../support/dialogue.ts';
import type { S3Gateway } from '../../support/s3-gateway.ts';

export const wholeFile = bytesOf(3 * firstPartBytes + 2 * mib + 17, 3);
/** Three parts arrive, and some bytes of a fourth are lost. */
export const sentBytes = 3 * firstPartBytes + mib;

export const connections = ['control connection', 'data connection'] as const;
export type Connection = (typeof connections)[number];

export async function logIn(gateway: S3Gateway, username: 'demo' | 'other' = 'demo'): Promise<Dialogue> {
  const { port, password } = gateway.server('plain', username);
  const client = await Dialogue.logIn({ port }, username, password);
  await client.says('TYPE I', /^200 /);
  return client;
}

/**
 * Sends the file up to `sentBytes`, resets a connection when the parts are in S3, and waits for the gateway's verdict. Resolves
 * to the length that may be reported: without the last part, which could be the end of the file.
 */
export async function breakUpload(
  gateway: S3Gateway,
  pathname: string,
  connection: Connection,
  offsetBytes = 0,
): Promise<number> {
  const client = await logIn(gateway);
  if (offsetBytes > 0) {
    await client.says(`SIZE ${pathname}`, `213 ${offsetBytes}`);
    await client.says(`REST ${offsetBytes}`, /^350 /);
  }
  const data = await client.passive();
  await client.says(`STOR ${pathname}`, /^150 /);
  await write(data, wholeFile.subarray(offsetBytes, sentBytes));
  const parts = await gateway.partsArrived(pathname, 3);
  const ended = gateway.nextEvent('transfer', (transfer) => transfer.pathname === pathname);
  const [broken, kept] = connection === 'data connection' ? [data, client.socket] : [client.socket, data];
  broken.resetAndDestroy();
  assert.equal((await ended).outcome, 'aborted');
  if (connection === 'data connection') await client.expect(/^426 /);
  kept.destroy();
  await closed(kept);
  return parts.slice(0, -1).reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

/** Resolves when the kernel has them. */
export async function write(socket: Dialogue['socket'], bytes: Uint8Array): Promise<void> {
  // What becomes of the connection afterwards is for the gateway to tell.
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
