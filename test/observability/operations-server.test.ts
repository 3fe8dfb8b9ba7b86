import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { type OperationsServer, startOperationsServer } from '../../src/observability/operations-server.ts';
import { LeakCheck } from '../support/leak-check.ts';
import { localHeader } from '../system/topology/proxy-header.ts';

const leaks = new LeakCheck();
let server: OperationsServer;
let isReady = true;
let drains = 0;
let canServe = true;

const operations = {
  probed: (port: number) => port === 50_002,
  status: () => ({ stage: 'serving', sessions: 7 }),
  drain: () => void (drains += 1),
  serve: () => canServe,
};

before(async () => {
  server = await startOperationsServer({
    listenAddress: '127.0.0.1',
    port: 0,
    proxyProtocol: 'v2',
    isReady: () => isReady,
    ...operations,
    metrics: { contentType: 'text/plain; version=0.0.4', metrics: () => Promise.resolve('sessions 7\n') },
  });
});

after(async () => {
  await server.close();
  await leaks.assertNothingLeft();
});

/** Sends the pieces one by one and returns everything that is answered. */
async function exchange(...pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const answer = text(socket);
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, resolve));
  }
  return await answer;
}

function get(path: string, method = 'GET'): string {
  return `${method} ${path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n`;
}

describe('operations port', () => {
  it('The operations port shows the status in /readyz?verbose, with the status code of readiness', async () => {
    for (const [ready, code] of [
      [true, 200],
      [false, 503],
    ] as const) {
      isReady = ready;
      const answer = await exchange(get('/readyz?verbose'));
      assert.match(answer, new RegExp(`^HTTP/1.1 ${code} `));
      assert.ok(answer.endsWith('\r\n\r\n{"stage":"serving","sessions":7}\n'), answer);
    }
    isReady = true;
  });

  it('The operations port answers health checks without a PROXY header', async () => {
    assert.match(await exchange(get('/healthz')), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nalive\n$/);
  });

  it('The operations port answers health checks with a PROXY header in front, however it is split', async () => {
    const header = localHeader();
    assert.match(await exchange(header, get('/healthz')), /^HTTP\/1\.1 200 /);
    assert.match(await exchange(Buffer.concat([header, Buffer.from(get('/readyz'))])), /^HTTP\/1\.1 200 /);
    const bytes = [...header].map((byte) => Uint8Array.of(byte));
    assert.match(await exchange(...bytes, get('/healthz')), /^HTTP\/1\.1 200 /);
  });

  it('The operations port reports a draining gateway as alive but not ready', async () => {
    isReady = false;
    assert.match(await exchange(get('/readyz')), /^HTTP\/1\.1 503 /);
    assert.match(await exchange(get('/healthz')), /^HTTP\/1\.1 200 /);
    isReady = true;
    assert.match(await exchange(get('/readyz?from=test')), /^HTTP\/1\.1 200 /);
  });

  it('The operations port answers probes for its own passive ports, and answers 404 for others', async () => {
    assert.match(await exchange(get('/healthz/50002')), /^HTTP\/1\.1 200 /);
    assert.match(await exchange(get('/healthz/50003')), /^HTTP\/1\.1 404 /);
  });

  it('The operations port shows the state as JSON', async () => {
    assert.match(
      await exchange(get('/status')),
      /application\/json[^]*\{"stage":"serving","sessions":7\}\n$/,
    );
  });

  it('POST starts a drain on the operations port, and GET does not', async () => {
    assert.match(await exchange(get('/drain')), /^HTTP\/1\.1 405 [^]*allow: POST/);
    assert.equal(drains, 0);
    assert.match(await exchange(get('/drain', 'POST')), /^HTTP\/1\.1 202 /);
    assert.equal(drains, 1);
  });

  it('The operations port cancels a drain, and answers 409 when that is too late', async () => {
    assert.match(await exchange(get('/serve', 'POST')), /^HTTP\/1\.1 200 /);
    canServe = false;
    assert.match(await exchange(get('/serve', 'POST')), /^HTTP\/1\.1 409 /);
  });

  it('The operations port shows the metrics', async () => {
    const answer = await exchange(get('/metrics'));
    assert.match(answer, /content-type: text\/plain; version=0\.0\.4\r\n/i);
    assert.match(answer, /sessions 7\n/);
  });

  it('The operations port lists its paths for an unknown path, and refuses other methods', async () => {
    assert.match(await exchange(get('/')), /^HTTP\/1\.1 404 [^]*\/healthz, \/readyz, \/metrics and \/status/);
    assert.match(await exchange(get('/healthz', 'POST')), /^HTTP\/1\.1 405 [^]*allow: GET, HEAD/);
  });

  it('The operations port answers 400 to bytes that are neither a PROXY header nor HTTP, and continues to serve', async () => {
    assert.match(await exchange('USER alice\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await exchange('\r\n\r\n\0\r\nNONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 /);
    const reset = connect({ port: server.port, host: '127.0.0.1' });
    await once(reset, 'connect');
    reset.resetAndDestroy();
    assert.match(await exchange(get('/healthz')), /^HTTP\/1\.1 200 /);
  });

  it('The operations port is named in the error when it is already taken', async () => {
    const taken = startOperationsServer({
      listenAddress: '127.0.0.1',
      port: server.port,
      proxyProtocol: 'off',
      isReady: () => true,
      ...operations,
      metrics: { contentType: '', metrics: () => Promise.resolve('') },
    });
    await assert.rejects(taken, {
      message: `Operations port ${server.port} on 127.0.0.1 cannot be opened: address already in use (EADDRINUSE).`,
    });
  });
});
