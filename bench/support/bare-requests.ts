/**
 * The floor of small files: the bare requests for their objects, with nothing between this process and S3. Keep-alive
 * connections, and addresses that were signed before the clock runs.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { SignatureV4 } from '@smithy/signature-v4';
import type { S3Target } from './peer.ts';
import { s3ClientOf } from './s3-server.ts';
import { smallFileBytes, timeFiles, type SmallFigures, type SmallWorkload } from './transfers.ts';

const body = Buffer.alloc(smallFileBytes, 'small file ');
const signatureSeconds = 3600;

/** PutObject for STOR and GetObject for RETR, in one process, with connections that persist across workloads. */
export class BareRequests {
  readonly #target: S3Target;
  readonly #agent: Agent;
  readonly #signer: SignatureV4;

  private constructor(target: S3Target, ca: Buffer, signer: SignatureV4) {
    this.#target = target;
    this.#agent = new Agent({ keepAlive: true, ca });
    this.#signer = signer;
  }

  static async to(target: S3Target): Promise<BareRequests> {
    const { config } = await s3ClientOf(target);
    const { sha256, credentials } = config;
    const scope = { service: 's3', region: target.region, uriEscapePath: false };
    return new BareRequests(
      target,
      await readFile(target.caFile),
      new SignatureV4({ ...scope, credentials, sha256 }),
    );
  }

  /** As many concurrent requests as the workload has sessions. CPU time is that of this process. */
  async move({ direction, prefix, sessions, files }: SmallWorkload): Promise<SmallFigures> {
    const method = direction === 'STOR' ? 'PUT' : 'GET';
    const paths = await Promise.all(
      Array.from({ length: files }, (_, index) => this.#sign(method, `/bare/${prefix}-${index}.bin`)),
    );
    return await timeFiles(process.pid, files, Array(sessions).fill(undefined), async (_, index) => {
      const receivedBytes = await this.#send(method, paths[index] ?? '');
      if (method === 'GET' && receivedBytes !== smallFileBytes)
        throw new Error(`an object came with ${receivedBytes} bytes`);
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #sign(method: string, key: string): Promise<string> {
    const { protocol, hostname, port, host } = new URL(this.#target.endpoint);
    const { path, query = {} } = await this.#signer.presign(
      {
        method,
        protocol,
        hostname,
        port: Number(port),
        path: `/${this.#target.bucket}${key}`,
        headers: { host, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
      },
      { expiresIn: signatureSeconds },
    );
    const parameters = Object.entries(query).map(
      ([name, value]) => `${name}=${encodeURIComponent(String(value))}`,
    );
    return `${path}?${parameters.join('&')}`;
  }

  /** Resolves to the number of bytes in the response body. */
  #send(method: string, path: string): Promise<number> {
    const { hostname, port } = new URL(this.#target.endpoint);
    return new Promise((resolve, reject) => {
      const sent = request(
        { agent: this.#agent, hostname, port, method, path },
        (response: IncomingMessage) => {
          let receivedBytes = 0;
          response.on('data', (bytes: Buffer) => (receivedBytes += bytes.length));
          response.once('end', () => {
            if (response.statusCode === 200) resolve(receivedBytes);
            else reject(new Error(`${method} returned ${response.statusCode ?? 'nothing'}`));
          });
          response.once('error', reject);
        },
      );
      sent.once('error', reject);
      if (method === 'GET') sent.end();
      else sent.setHeader('content-length', body.length).end(body);
    });
  }
}
