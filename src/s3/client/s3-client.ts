/**
 * The one S3 client of the process: keep-alive connections without a limit of their own (transfers and sessions are limited
 * elsewhere, and a queue for sockets would let slow downloads block all other requests), and timeouts for servers that stop
 * responding. Frequent requests are sent directly (`direct`), all others through the SDK.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Socket } from 'node:net';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { descriptorShortage, takesOperationsReserve } from '../../util/descriptors.ts';
import { DirectS3Client } from './direct-client.ts';
import type { ConnectionLimits } from './http-client.ts';
import { retryTypeOf } from './errors.ts';
import { RequestMonitor } from './request-monitor.ts';
import {
  attemptsWithoutResponse,
  isWithoutResponse,
  longOperations,
  type ResponseTimeouts,
  ResponseTimeout,
  responseTimeoutsOf,
} from './response-timeouts.ts';
import { Settling } from './settling.ts';

export type S3ClientOptions = {
  /** An S3-compatible server's URL; Amazon S3 of the region where absent. */
  readonly endpoint?: string | undefined;
  /** Defaults to the region of the AWS configuration (environment, shared config file). */
  readonly region?: string | undefined;
  /** Puts the bucket into the path and not into the host name, as most servers other than Amazon's require. */
  readonly forcePathStyle: boolean;
  /** Defaults to the AWS credential provider chain. */
  readonly credentials?: NonNullable<S3ClientConfig['credentials']> | undefined;
  /** Limit for making a connection; 10 s by default. */
  readonly connectionTimeoutMs?: number | undefined;
  /** The longest time without a byte during a request, 60 s by default; most requests have less (`response-timeouts.ts`). */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * How long a transfer retries a request that keeps failing (`retry.ts`). 60 s by default: a restart or a failover of S3, or of the
   * network in front of it, takes seconds; a minute is an outage.
   */
  readonly retryTimeoutMs?: number | undefined;
  /** After which time without a byte a request is reported as slow; 5 s by default. */
  readonly slowAfterMs?: number | undefined;
};

/** The SDK's client, and beside it the client for direct requests, which uses its configuration and retry strategy. */
export class GatewayS3Client extends S3Client {
  readonly direct: DirectS3Client;
  /** Requests that outlive their transfer; they need this client until they are done. */
  readonly settling = new Settling();
  /** Default of `withRetries` for the requests of transfers, in milliseconds. */
  readonly retryTimeoutMs: number;
  /** Watches the requests of both clients. */
  readonly monitor: RequestMonitor;

  constructor(
    config: S3ClientConfig,
    limits: ConnectionLimits,
    { retryTimeoutMs, slowAfterMs }: { readonly retryTimeoutMs: number; readonly slowAfterMs: number },
  ) {
    super(config);
    this.monitor = new RequestMonitor({ slowAfterMs });
    this.direct = new DirectS3Client(this, limits, this.monitor);
    this.retryTimeoutMs = retryTimeoutMs;
    const timeouts = responseTimeoutsOf(limits.idleTimeoutMs);
    limitResponseTimes(this, timeouts);
    watchRequests(this, this.monitor, timeouts);
  }

  override destroy(): void {
    this.monitor.close();
    this.direct.close();
    super.destroy();
  }
}

/** The interval of TCP keep-alive probes on idle connections. */
const tcpKeepAliveMs = 15_000;

const ignore = (): void => undefined;
const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Makes the client. The caller calls `destroy()` when every transfer is over. */
export function createS3Client(options: S3ClientOptions): GatewayS3Client {
  const limits = {
    connectionTimeoutMs: options.connectionTimeoutMs ?? 10_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
  };
  const agentOptions = { keepAlive: true, keepAliveMsecs: tcpKeepAliveMs, maxFreeSockets: 64, noDelay: true };
  const config: S3ClientConfig = {
    forcePathStyle: options.forcePathStyle,
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.region !== undefined && { region: options.region }),
    ...(options.credentials !== undefined && { credentials: options.credentials }),
    // Slows every request down when S3 says SlowDown; transfers retry for longer (retry.ts).
    retryMode: 'adaptive',
    maxAttempts: 3,
    // By default the SDK adds its own checksum in a trailer (aws-chunked) and hashes each response body.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // `Expect: 100-continue` costs a round trip for each part, and a connection, as the SDK uses no keep-alive with it.
    expectContinueHeader: false,
    // The caller of a request reports its failure; without a logger the SDK would write some of them to the console.
    logger: silent,
    requestHandler: {
      httpAgent: leavingReserve(new HttpAgent(agentOptions)),
      // The agent's default cache of 100 TLS sessions is enough, for TLS 1.2 and 1.3.
      httpsAgent: leavingReserve(new HttpsAgent(agentOptions)),
      connectionTimeout: limits.connectionTimeoutMs,
      socketTimeout: limits.idleTimeoutMs,
      throwOnRequestTimeout: true,
    },
  };
  const { retryTimeoutMs = 60_000, slowAfterMs = 5_000 } = options;
  return new GatewayS3Client(config, limits, { retryTimeoutMs, slowAfterMs });
}

/** Gives the SDK's short requests a timeout of their own; all others have that of the socket. */
function limitResponseTimes({ config }: S3Client, { shortMs }: ResponseTimeouts): void {
  const { requestHandler } = config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = (request, options) =>
    handle(request, { ...options, ...(!isLong(request as SdkHttpRequest) && { requestTimeout: shortMs }) });
}

/** CompleteMultipartUpload, CopyObject or UploadPartCopy. */
function isLong({ method, query, headers }: SdkHttpRequest): boolean {
  const completes = method === 'POST' && query?.['uploadId'] !== undefined;
  return completes || headers['x-amz-copy-source'] !== undefined;
}

type SdkHttpRequest = {
  readonly method: string;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | undefined>>;
};
type SdkContext = { readonly commandName?: string };
type SdkInput = { readonly Bucket?: string };
type SdkRequest = {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
};

/** Lets the monitor see each attempt of the requests that the SDK sends, and what fails before an attempt, as credentials do. */
function watchRequests(client: S3Client, monitor: RequestMonitor, timeouts: ResponseTimeouts): void {
  const operationOf = (context: SdkContext): string => context.commandName?.replace(/Command$/, '') ?? 'S3';
  client.middlewareStack.add(
    (next, context) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        const { Bucket: bucket } = args.input as SdkInput;
        monitor.failed(error, { operation: operationOf(context), bucket }, false);
        throw error;
      }
    },
    { step: 'initialize', priority: 'high', name: 'watchRequest' },
  );
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const { Bucket: bucket } = args.input as SdkInput;
      const request = args.request as SdkRequest;
      const { protocol, hostname, port } = request;
      const endpoint = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`;
      const target = { operation: operationOf(context), bucket, endpoint };
      const beganAtMs = performance.now();
      const pending = monitor.begin(target, beganAtMs);
      try {
        const result = await next(args);
        monitor.responded(pending, beganAtMs);
        monitor.succeeded(target);
        return result;
      } catch (caught) {
        const { attempt, max } = attemptOf(request.headers['amz-sdk-request']);
        const timeoutMs = longOperations.has(target.operation) ? timeouts.longMs : timeouts.shortMs;
        const isSilent = isWithoutResponse(caught) && attempt >= attemptsWithoutResponse(timeoutMs, timeouts);
        const error = isSilent ? new ResponseTimeout(`no response to ${target.operation}`) : caught;
        const isLast = isSilent || attempt >= max;
        const isRetried = retryTypeOf(error) !== undefined && !isLast;
        monitor.failed(error, target, isRetried);
        if (isRetried) monitor.retried(error);
        throw error;
      } finally {
        monitor.end(pending);
      }
    },
    // Inside the SDK's retries and its signing.
    { step: 'finalizeRequest', priority: 'low', name: 'watchAttempt' },
  );
}

/** The SDK numbers its attempts in this header: `attempt=3; max=3`. */
function attemptOf(header: string | undefined): { readonly attempt: number; readonly max: number } {
  const [, attempt = 1, max = 1] = /^attempt=(\d+); max=(\d+)$/.exec(header ?? '') ?? [];
  return { attempt: Number(attempt), max: Number(max) };
}

/** Changes the agent so that it closes new connections that would use descriptors reserved for the operations port. */
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
