/**
 * Sends hot-path S3 requests directly over undici, bypassing the SDK: get, put, part, head, list, copy. The SDK takes 0.7 ms of
 * CPU time for each, several times that of the request itself. Endpoint, credentials, retries and request rate are still those of the
 * SDK, as for all other requests. See docs/decisions/0016-direct-requests-to-s3.md.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { descriptorShortage, takesOperationsReserve } from '../../util/descriptors.ts';
import { type ConnectionLimits, HttpClient } from './http-client.ts';
import { type S3Response, ResponseHandler } from './response.ts';
import { type BucketEndpoint, bucketEndpointOf } from './endpoint.ts';
import { retryTypeOf } from './errors.ts';
import type { PendingRequest, RequestMonitor, RequestTarget } from './request-monitor.ts';
import { emptyPayloadHash, encodePath, encodeQuery, Signer, unsignedPayload } from './sigv4.ts';
import {
  attemptsWithoutResponse,
  isWithoutResponse,
  longBodyBytes,
  longOperations,
  type ResponseTimeouts,
  responseTimeoutsOf,
} from './response-timeouts.ts';
import { clockErrorName } from './storage-cause.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import { elementText, hasElement } from './xml.ts';

/** Bytes to send; a retry sends the same ones again. */
export type RequestBody = {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Updated by each attempt. */
  readonly sending?: BodySending;
};

/** What attempts to send a body have done with its chunks. */
export type BodySending = {
  attempts: number;
  /**
   * Whether the kernel, or TLS, has taken every chunk of 64 KiB or more in the last attempt, so that nothing reads from them any
   * longer: that many bytes fill a socket's buffer, and the HTTP client requests the next chunk when the buffer is empty. Always
   * false for a single chunk.
   */
  isTaken: boolean;
};

export type DirectRequest = {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  readonly bucket: string;
  /** Absent for requests to the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: RequestBody;
  readonly signal?: AbortSignal | undefined;
};

/** S3 closes connections after some 20 idle seconds; a request on a connection that is just being closed costs a retry. */
const keepAliveMs = 10_000;

/** S3 refuses requests whose time is off by 15 minutes (Amazon S3 API Reference, RequestTimeTooSkewed). The SDK's own threshold. */
const minSkewMs = 4 * 60_000;

/** A request with a shorter body is one write, of head and body. */
const maxOneWriteBytes = 64 * 1024;

/** The chunks of a shorter body are joined. */
const maxJoinedBytes = 256 * 1024;

export class DirectS3Client {
  readonly #client: S3Client;
  readonly #agent: Agent;
  readonly #http: HttpClient;
  readonly #monitor: RequestMonitor;
  readonly #timeouts: ResponseTimeouts;
  readonly #buckets = new Map<
    string,
    Promise<{ readonly address: BucketEndpoint; readonly signer: Signer }>
  >();
  #inFlight = 0;

  constructor(client: S3Client, limits: ConnectionLimits, monitor: RequestMonitor) {
    this.#client = client;
    this.#timeouts = responseTimeoutsOf(limits.idleTimeoutMs);
    this.#http = new HttpClient({ ...limits, idleTimeoutMs: this.#timeouts.shortMs });
    this.#monitor = monitor;
    this.#agent = new Agent({
      keepAliveTimeout: keepAliveMs,
      connect: connectorOf(limits),
      // One slow body would block the others on its connection.
      allowH2: false,
    });
  }

  /** Requests that are not over. */
  get inFlight(): number {
    return this.#inFlight + this.#http.inFlight;
  }

  /**
   * Gives a chunk of an object's body back when nothing reads from it any longer, so that its buffer is used again. Optional: what
   * is not given back is left to the garbage collector.
   */
  recycle(bytes: Uint8Array): void {
    this.#http.buffers.recycle(bytes);
  }

  /**
   * Sends a request, with retries. The caller must read the body of the response or destroy it.
   * @throws S3ServiceException where S3 refuses, the signal's reason, or the error of the connection.
   */
  send(request: DirectRequest): Promise<S3Response> {
    return this.#withRetryStrategy(request, () => this.#attempt(request));
  }

  /**
   * Sends a request whose response is XML, and resolves to that. Nothing else counts as success: S3 may respond 200 before it
   * knows the result (Amazon S3 API Reference, CopyObject: "a 200 OK response can contain either a success or an error"), and a
   * proxy may respond anything.
   * @param element the root of the XML of a success.
   * @throws as `send` does.
   */
  sendForResult(request: DirectRequest, element: string): Promise<string> {
    return this.#withRetryStrategy(request, async () => {
      const response = await this.#attempt(request);
      const xml = await response.text();
      if (hasElement(xml, element)) return xml;
      // An error after a 200 is an error inside S3.
      throw refusalOf(xml, 500, response.headers, false);
    });
  }

  async #withRetryStrategy<Result>(request: DirectRequest, attempt: () => Promise<Result>): Promise<Result> {
    const retries = await this.#client.config.retryStrategy();
    // Before 3.300 the SDK had another interface.
    if (!('acquireInitialRetryToken' in retries))
      throw new TypeError('a retry strategy of the SDK is needed');
    let token = await untilAborted(retries.acquireInitialRetryToken(''), request.signal);
    let withoutResponse = 0;
    for (;;) {
      request.signal?.throwIfAborted();
      try {
        const result = await attempt();
        retries.recordSuccess(token);
        this.#monitor.succeeded({ operation: operationOf(request), bucket: request.bucket });
        return result;
      } catch (error) {
        request.signal?.throwIfAborted();
        if (isWithoutResponse(error)) withoutResponse += 1;
        const isSilent =
          withoutResponse >=
          attemptsWithoutResponse(this.#timeoutOf(operationOf(request), request.body), this.#timeouts);
        const errorType = isSilent ? undefined : retryTypeOf(error);
        this.#monitor.failed(error, await this.#targetOf(request), errorType !== undefined);
        if (errorType === undefined) throw error;
        // Waits for the strategy's rate limit, and rejects where it allows no further retry.
        const refreshed = retries.refreshRetryTokenForRetry(token, { errorType }).catch(() => undefined);
        const next = await untilAborted(refreshed, request.signal);
        if (!next) throw error;
        token = next;
        this.#monitor.retried(error);
        await delay(token.getRetryDelay(), undefined, { signal: request.signal }).catch(() => undefined);
      }
    }
  }

  /** Ends every connection, requests under way with them. */
  close(): void {
    // Nothing depends on when the last socket is closed.
    this.#agent.destroy().catch(() => undefined);
    this.#http.close();
  }

  /** What the request asks for. Never rejects. */
  async #targetOf(request: DirectRequest): Promise<RequestTarget> {
    const found = await this.#buckets.get(request.bucket)?.catch(() => undefined);
    return { operation: operationOf(request), bucket: request.bucket, endpoint: found?.address.origin };
  }

  async #attempt(request: DirectRequest): Promise<S3Response> {
    const { address, signer } = await this.#bucket(request.bucket);
    const credentials = await this.#client.config.credentials();
    const path =
      request.key === undefined ? bucketPath(address) : address.pathPrefix + encodePath(request.key);
    const query = encodeQuery(request.query ?? {});
    const signedAt: SigningTime = {
      s3TimeMs: Date.now() + this.#client.config.systemClockOffset,
      monotonicMs: performance.now(),
    };
    const headers = signer.sign(
      {
        method: request.method,
        path,
        query,
        headers: definedHeaders(request.headers, address.host),
        payloadHash: payloadHashOf(request.body, address.isEncrypted),
      },
      credentials,
      signedAt.s3TimeMs,
    );
    // It may have aborted while endpoint and credentials were fetched; the handler only listens from now on.
    request.signal?.throwIfAborted();
    const target = { origin: address.origin, path: query === '' ? path : `${path}?${query}` };
    headers['user-agent'] = userAgent;
    const operation = operationOf(request);
    const pending = this.#monitor.begin(
      { operation, bucket: request.bucket, endpoint: address.origin },
      signedAt.monotonicMs,
    );
    let response: S3Response;
    try {
      response =
        operation === 'GetObject' || isOneWrite(request)
          ? await this.#sendAtOnce(request, target, headers)
          : await this.#dispatch(request, target, headers, pending);
    } catch (error) {
      this.#monitor.end(pending);
      throw error;
    }
    this.#monitor.responded(pending, signedAt.monotonicMs);
    response.watch(pending, this.#monitor);
    if (response.status >= 200 && response.status < 300) return response;
    const isOffTime = this.#correctClock(response.status, response.headers, signedAt);
    throw refusalOf(await response.text(), response.status, response.headers, isOffTime);
  }

  #sendAtOnce(
    { method, body, signal }: DirectRequest,
    target: { readonly origin: string; readonly path: string },
    headers: Record<string, string>,
  ): Promise<S3Response> {
    if (body?.sending) {
      body.sending.attempts += 1;
      body.sending.isTaken = true;
    }
    return this.#http.send({
      ...target,
      method: method === 'PUT' ? 'PUT' : 'GET',
      headers,
      body,
      signal,
    });
  }

  /** How long the request may get no byte. A slow client pauses its connection, and pauses do not count. */
  #timeoutOf(operation: string, body: RequestBody | undefined): number {
    if (longOperations.has(operation)) return this.#timeouts.longMs;
    return (body?.sizeBytes ?? 0) > longBodyBytes ? this.#timeouts.bodyMs : this.#timeouts.shortMs;
  }

  #dispatch(
    { method, body, signal }: DirectRequest,
    target: { readonly origin: string; readonly path: string },
    headers: Record<string, string>,
    pending: PendingRequest,
  ): Promise<S3Response> {
    const timeoutMs = this.#timeoutOf(pending.operation, body);
    this.#inFlight++;
    const handler = new ResponseHandler(signal, () => this.#inFlight--);
    this.#agent.dispatch(
      {
        ...target,
        method,
        headers: { ...headers, ...(body && { 'content-length': String(body.sizeBytes) }) },
        body: wireBodyOf(body, pending),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        // undici would close the connection after each HEAD, for servers that respond with a body.
        reset: false,
      },
      handler,
    );
    return handler.response;
  }

  #bucket(bucket: string): Promise<{ readonly address: BucketEndpoint; readonly signer: Signer }> {
    let found = this.#buckets.get(bucket);
    if (!found) {
      found = bucketEndpointOf(this.#client, bucket).then((address) => ({
        address,
        signer: new Signer(address.region),
      }));
      this.#buckets.set(bucket, found);
      // The failure is that of the current request; the next one tries again.
      found.catch(() => this.#buckets.delete(bucket));
    }
    return found;
  }

  /**
   * Whether S3 refused the request for its time; if so, the next request uses the time of S3. It compares with the time in this
   * request's signature: another refusal may have corrected the offset meanwhile, or the clock may have been set.
   */
  #correctClock(status: number, headers: S3Response['headers'], signedAt: SigningTime): boolean {
    // The response to a HEAD contains no reason. One with an Age comes from a cache, and its date is that of another response.
    if (status !== 403 || headers['age'] !== undefined) return false;
    const s3TimeMs = Date.parse(headers['date'] ?? '');
    const expectedMs = signedAt.s3TimeMs + performance.now() - signedAt.monotonicMs;
    const isOff = Math.abs(s3TimeMs - expectedMs) >= minSkewMs;
    if (isOff) this.#client.config.systemClockOffset = s3TimeMs - Date.now();
    return isOff;
  }
}

/** The time in a signature, and the monotonic time (`performance.now()`) at which it was made. */
type SigningTime = { readonly s3TimeMs: number; readonly monotonicMs: number };

function refusalOf(xml: string, status: number, headers: S3Response['headers'], isOffTime: boolean): Error {
  const name = isOffTime ? clockErrorName : elementText(xml, 'Code') || nameOfStatus(status);
  return new S3ServiceException({
    name,
    message: elementText(xml, 'Message') || name,
    $fault: status >= 500 ? 'server' : 'client',
    $metadata: {
      httpStatusCode: status,
      ...(headers['x-amz-request-id'] !== undefined && { requestId: headers['x-amz-request-id'] }),
      ...(headers['x-amz-id-2'] !== undefined && { extendedRequestId: headers['x-amz-id-2'] }),
    },
  });
}

/** Connects, but does not use the last descriptors of the process; the request is then retried as after any failure. */
function connectorOf({ connectionTimeoutMs }: ConnectionLimits): buildConnector.connector {
  const connect = buildConnector({ timeout: connectionTimeoutMs, noDelay: true, allowH2: false });
  return (options, callback) => {
    connect(options, (...outcome) => {
      // For a failed connection undici passes only the error, contrary to its types.
      const socket = outcome[1] as Socket | null | undefined;
      if (!socket || !takesOperationsReserve(socket)) {
        callback(...outcome);
        return;
      }
      socket.destroy();
      callback(descriptorShortage(), null);
    });
  };
}

/** Names the gateway in the bucket's access log. */
const userAgent = 'ftp-object-gateway';

function definedHeaders(headers: DirectRequest['headers'] = {}, host: string): Record<string, string> {
  const defined: Record<string, string> = { host };
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) defined[name] = value;
  }
  return defined;
}

/**
 * Over TLS the payload is not signed; S3 verifies its CRC. Without TLS, only the signature detects a payload that was changed on
 * the way.
 */
function payloadHashOf(body: RequestBody | undefined, isEncrypted: boolean): string {
  if (!body || body.sizeBytes === 0) return emptyPayloadHash;
  if (isEncrypted) return unsignedPayload;
  const sha256 = createHash('sha256');
  for (const bytes of body.chunks) sha256.update(bytes);
  return sha256.digest('hex');
}

function wireBodyOf(
  body: RequestBody | undefined,
  pending: PendingRequest,
): NonNullable<Dispatcher.DispatchOptions['body']> | null {
  if (!body) return null;
  const { chunks, sizeBytes, sending } = body;
  const isJoined = chunks.length > 1 && sizeBytes <= maxJoinedBytes;
  if (sending) {
    sending.attempts += 1;
    sending.isTaken = isJoined;
  }
  if (isJoined) return Buffer.concat(chunks, sizeBytes);
  if (chunks.length === 1 && chunks[0]) return chunks[0];
  // Documented for `dispatch` ("Dispatcher", body: Iterable), and missing from its types.
  return chunksOf(body, pending) as Iterable<Uint8Array> as Uint8Array;
}

// The HTTP client requests the next chunk when the socket has taken the one before.
function* chunksOf({ chunks, sending }: RequestBody, pending: PendingRequest): Generator<Uint8Array> {
  for (const chunk of chunks) {
    yield chunk;
    pending.waitingSinceMs = performance.now();
  }
  if (sending) sending.isTaken = true;
}

function isOneWrite({ method, body }: DirectRequest): boolean {
  return method === 'PUT' && body !== undefined && body.sizeBytes <= maxOneWriteBytes;
}

/** The operation as the Amazon S3 API Reference names it. */
function operationOf({ method, key, query, headers }: DirectRequest): string {
  if (method === 'HEAD') return 'HeadObject';
  if (method === 'GET') return key === undefined ? 'ListObjectsV2' : 'GetObject';
  if (query?.['uploadId'] !== undefined) return 'UploadPart';
  return headers?.['x-amz-copy-source'] === undefined ? 'PutObject' : 'CopyObject';
}

function bucketPath({ pathPrefix }: BucketEndpoint): string {
  return pathPrefix === '/' ? pathPrefix : pathPrefix.slice(0, -1);
}

// The response to a HEAD has no body that names its error; these are the SDK's names.
function nameOfStatus(status: number): string {
  if (status === 404) return 'NotFound';
  return status === 412 ? 'PreconditionFailed' : `HTTP ${status}`;
}
