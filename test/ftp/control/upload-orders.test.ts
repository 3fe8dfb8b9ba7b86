/** Small uploads on a filesystem in memory; test/system/faults plays the same orders with multipart uploads on S3. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { gatewayDefaults } from '../../../src/ftp/gateway-settings.ts';
import { alice, startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { CommitGate, playOrder } from '../../support/upload-order.ts';
import { allOrders, orderRows } from './upload-orders.ts';

describe('what arrives around the end of an upload decides whether it is published', () => {
  const gate = new CommitGate();
  const filesystem = new MemoryFilesystem();
  let gateway: TestGateway;

  before(async () => {
    gateway = await startTestGateway({
      tls: 'optional',
      uploadGraceMs: gatewayDefaults.uploadGraceMs,
      filesystemFor: () => gate.wrap(filesystem),
    });
  });
  after(async () => {
    gate.open();
    await gateway.close();
  });

  for (const isTls of [false, true]) {
    for (const order of allOrders()) {
      const title = `An upload ${isTls ? 'under TLS' : 'in clear'} is ${order.outcome} after ${order.arrivals.join(', ')}`;
      it(title, async () => {
        filesystem.putFile('/f', 'old');
        const upload = { gateway, gate, isTls, port: gateway.controlPort };
        await playOrder(
          { ...upload, username: alice.name, password: alice.password },
          order,
          '/f',
          Buffer.from('new'),
        );
        assert.equal(String(filesystem.readFile('/f')), order.outcome === 'published' ? 'new' : 'old');
      });
    }
  }

  it('Decision 0007 shows the same table of orders as these tests', async () => {
    const url = new URL('../../../docs/decisions/0007-end-of-an-upload.md', import.meta.url);
    const document = (await readFile(url, 'utf8')).replaceAll(/ +\|/g, ' |');
    for (const row of orderRows()) assert.ok(document.includes(row), `the decision lacks: ${row}`);
  });
});
