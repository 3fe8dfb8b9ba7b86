/**
 * The test's S3 server as it would answer some hours later: a proxy that dates back what the lists of uploads and of parts say.
 * Requests pass as they are, `Host` included, so that their signatures stay valid.
 */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export type AgeingProxy = { readonly endpoint: string; close(): Promise<void> };

export async function startAgeingProxy(upstream: string, hours: number): Promise<AgeingProxy> {
  const { protocol, hostname, port } = new URL(upstream);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  const server = createServer((incoming, outgoing) => {
    const { url: path, method, headers } = incoming;
    const forwarded = send({ hostname, port, path, method, headers, agent: false }, (answer) => {
      if (!/[?&](?:uploads|uploadId)\b/.test(path ?? '')) {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      } else void passDatedBack(answer, outgoing, hours * 3_600_000);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function passDatedBack(answer: IncomingMessage, outgoing: ServerResponse, ms: number): Promise<void> {
  const body = (await text(answer)).replaceAll(/(?<=<(?:Initiated|LastModified)>)[^<]+/g, (date) =>
    new Date(Date.parse(date) - ms).toISOString(),
  );
  const headers = { ...answer.headers, 'content-length': String(Buffer.byteLength(body)) };
  delete headers['transfer-encoding'];
  outgoing.writeHead(answer.statusCode ?? 500, headers);
  outgoing.end(body);
}
