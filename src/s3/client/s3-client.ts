/**
 * The one S3 client of the process: keep-alive connections without a limit of their own (transfers and sessions are
 * bounded elsewhere, and a queue for sockets would let slow downloads hold up everybody), and timeouts for servers that have
 * gone silent. What carries files goes the short way (`direct`), everything else through the SDK.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Socket } from 'node:net';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { descriptorShortage, takesOperationsReserve } from '../../util/descriptors.ts';
import { type ConnectionLimits, DirectS3Client } from './direct-client.ts';
import { Settling } from './settling.ts';

export type S3ClientOptions = {
  /** An S3-compatible server's URL; Amazon S3 of the region where absent. */
  readonly endpoint?: string;
  /** By the AWS default chain where absent. */
  readonly region?: string;
  /** Puts the bucket into the path and not into the host name, as most servers other than Amazon's want it. */
  readonly forcePathStyle: boolean;
  /** By the AWS default chain where absent. */
  readonly credentials?: NonNullable<S3ClientConfig['credentials']>;
  /** A connection that takes longer to be made is given up. */
  readonly connectionTimeoutMs?: number;
  /** A connection on which nothing moved for so long in the middle of a request is given up. */
  readonly idleTimeoutMs?: number;
};

/** The SDK's client, and the short way beside it, which shares its configuration, its patience and its end. */
export class GatewayS3Client extends S3Client {
  readonly direct: DirectS3Client;
  readonly settling = new Settling();

  constructor(config: S3ClientConfig, limits: ConnectionLimits) {
    super(config);
    this.direct = new DirectS3Client(this, limits);
  }

  override destroy(): void {
    this.direct.close();
    super.destroy();
  }
}

const keepAliveMs = 15_000;

const ignore = (): void => undefined;
const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Makes the client; whoever made it calls `destroy()` when every transfer is over. */
export function createS3Client(options: S3ClientOptions): GatewayS3Client {
  const limits = {
    connectionTimeoutMs: options.connectionTimeoutMs ?? 10_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
  };
  const agentOptions = { keepAlive: true, keepAliveMsecs: keepAliveMs, maxFreeSockets: 64, noDelay: true };
  const config: S3ClientConfig = {
    forcePathStyle: options.forcePathStyle,
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.region !== undefined && { region: options.region }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
    // Slows every request down when S3 says SlowDown; transfers add their own, longer patience (retry.ts).
    retryMode: 'adaptive',
    maxAttempts: 3,
    // The SDK would add a checksum of its own in a trailer (aws-chunked) and read answers through a hash of its own.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // `Expect: 100-continue` costs a round trip for each part, and a connection, as the SDK uses no keep-alive with it.
    expectContinueHeader: false,
    // Failures are reported by whoever asked; without a logger the SDK would write some of them to the console.
    logger: silent,
    requestHandler: {
      httpAgent: leavingReserve(new HttpAgent(agentOptions)),
      // More sessions to resume than the default 100 hosts would ever need; TLS 1.2 and 1.3 alike.
      httpsAgent: leavingReserve(new HttpsAgent(agentOptions)),
      connectionTimeout: limits.connectionTimeoutMs,
      socketTimeout: limits.idleTimeoutMs,
    },
  };
  return new GatewayS3Client(config, limits);
}

/** The same agent, whose connections leave the last descriptors of the process alone. */
function leavingReserve<SomeAgent extends HttpAgent>(agent: SomeAgent): SomeAgent {
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (...connection) => {
    const socket = create(...connection);
    if (socket instanceof Socket) {
      socket.once('connect', () => {
        if (takesOperationsReserve(socket)) socket.destroy(descriptorShortage());
      });
    }
    return socket;
  };
  return agent;
}
