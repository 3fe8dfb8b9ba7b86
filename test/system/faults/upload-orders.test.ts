/** The orders of test/ftp/control/upload-orders.ts with multipart uploads on the test's S3 server. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { allOrders } from '../../ftp/control/upload-orders.ts';
import { bytesOf, digest, mib } from '../../s3/transfer.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { CommitGate, playOrder } from '../../support/upload-order.ts';

const bytes = bytesOf(12 * mib, 7);
const old = Buffer.from('old');

describe('what arrives around the end of a multipart upload decides whether it is published', () => {
  const gate = new CommitGate();
  let gateway: S3Gateway;
  let count = 0;

  before(async () => {
    gateway = await startS3Gateway({ wrap: gate.wrap });
  });
  after(async () => {
    gate.open();
    await gateway.close();
  });

  for (const security of ['plain', 'explicit'] as const) {
    for (const order of allOrders()) {
      it(`A ${security} upload of 12 MiB is ${order.outcome} after ${order.arrivals.join(', ')}`, async () => {
        const pathname = `/order-${++count}.bin`;
        await gateway.putObject(pathname, old);
        const { port, username, password } = gateway.server(security);
        const upload = { gateway, gate, port, username, password, isTls: security === 'explicit' };
        await playOrder(upload, order, pathname, bytes);
        const expected = order.outcome === 'published' ? bytes : old;
        assert.equal(digest(await gateway.getObject(pathname)), digest(expected));
      });
    }
  }
});
