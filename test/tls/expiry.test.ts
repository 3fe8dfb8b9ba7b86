import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { levelOf } from '../../src/observability/log-level.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { certificateFacts, certificateSecondsLeft } from '../../src/tls/certificate-facts.ts';
import { watchExpiry } from '../../src/tls/expiry-watch.ts';
import { createCertificate } from '../support/certificate.ts';

const dayMs = 86_400_000;

describe('the end of a certificate', () => {
  it('The facts of a certificate are its subject, names, issuer, end and type of key', async () => {
    const { chain } = await createCertificate('ftp.example.com', 'rsa');
    const { notAfter, ...facts } = certificateFacts(chain);
    assert.deepEqual(
      { ...facts, daysLeft: undefined },
      {
        subject: 'CN=ftp.example.com',
        names: 'DNS:localhost, IP Address:127.0.0.1',
        issuer: 'CN=ftp.example.com',
        keyType: 'RSA 2048',
        daysLeft: undefined,
      },
    );
    const endMs = Date.parse(notAfter);
    assert.equal(certificateFacts(chain, endMs - 5 * dayMs).daysLeft, 5);
    assert.equal(certificateFacts(chain, endMs + 1).daysLeft, -1);
    assert.equal(certificateSecondsLeft(chain, endMs - 5_000), 5);
  });

  it('A certificate is reported at start and once a day from 21 days before its end, as an error after it', async (test) => {
    const { chain, key } = await createCertificate();
    const endMs = Date.parse(certificateFacts(chain).notAfter);
    const events: GatewayEvent[] = [];
    const observe = (event: GatewayEvent): void => void events.push(event);
    test.mock.timers.enable({ apis: ['Date', 'setInterval'], now: endMs - 22.5 * dayMs });
    const watch = watchExpiry({ current: { chain, key } }, observe);
    assert.equal(events.length, 0);
    for (let day = 0; day < 24; day++) test.mock.timers.tick(dayMs);
    watch.close();
    test.mock.timers.tick(dayMs);
    const left = events.map((event) => (event.event === 'certificate-expiring' ? event.daysLeft : undefined));
    assert.deepEqual(
      left,
      [20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2],
    );
    assert.deepEqual(
      events.map((event) => levelOf(event, 'debug')),
      left.map((daysLeft) => (daysLeft < 0 ? 'error' : 'warn')),
    );
  });
});
