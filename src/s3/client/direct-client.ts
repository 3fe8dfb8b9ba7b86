/**
 * The short way to S3 for the requests that come by the thousand: get, put, part, head, list, copy. The SDK takes 0.7 ms of
 * CPU time for each of them, several times what the request itself takes, so they go to the HTTP client directly. Where a
 * request goes, with whose credentials, how often it is tried and how fast, is the SDK's to say, as for all other requests.
 * See docs/decisions/0016-short-way-to-s3.md.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { descriptorShortage, takesOperationsReserve } from '../../util/descriptors.ts';
import { type S3Response, ResponseHandler } from './response.ts';
import { type BucketEndpoint, bucketEndpointOf } from './endpoint.ts';
import { clockErrorName, retryTypeOf } from './errors.ts';
import { emptyPayloadHash, encodePath, encodeQuery, Signer, unsignedPayload } from './sigv4.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import { elementText, hasElement } from './xml.ts';

/** Bytes to send; the same ones are sent again where a request has to be repeated. */
export type RequestBody = {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Told of the last attempt to send several chunks. */
  readonly sending?: BodySending;
};

/**
 * Whether the kernel, or TLS, has taken every piece of 64 KiB and more, so that nothing reads from them any longer: so many
 * bytes fill a socket's buffer, and the HTTP client goes on when it is empty.
 */
export type BodySending = { isTaken: boolean };

export type DirectRequest = {
  readonly method: 'GET' | 'HEAD' | 'PUT';
  readonly bucket: string;
  /** Absent where the request is for the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: RequestBody;
  readonly signal?: AbortSignal | undefined;
};

export type ConnectionLimits = {
  readonly connectionTimeoutMs: number;
  /** How long nothing may move in the middle of a request. */
  readonly idleTimeoutMs: number;
};

/** S3 closes connections that were idle for some 20 seconds; one that is closed while a request sets out costs a retry. */
const keepAliveMs = 10_000;

/** S3 refuses requests that are 15 minutes off (Amazon S3 API Reference, RequestTimeTooSkewed); as the SDK notices it. */
const minSkewMs = 4 * 60_000;

/** Shorter bodies are joined: one write for head and body. */
const maxHashedBytes = 256 * 1024;

export class DirectS3Client {
  readonly #client: S3Client;
  readonly #agent: Agent;
  readonly #buckets = new Map<
    string,
    Promise<{ readonly address: BucketEndpoint; readonly signer: Signer }>
  >();
  #underWay = 0;

  constructor(client: S3Client, limits: ConnectionLimits) {
    this.#client = client;
    this.#agent = new Agent({
      keepAliveTimeout: keepAliveMs,
      // A file of a slow client waits with its connection paused, and pauses do not count.
      headersTimeout: limits.idleTimeoutMs,
      bodyTimeout: limits.idleTimeoutMs,
      connect: connectorOf(limits),
      // One slow body would hold up the others on its connection.
      allowH2: false,
    });
  }

  /** Requests that are not over. */
  get underWay(): number {
    return this.#underWay;
  }

  /**
   * Sends a request, and again where S3 did not take it. The body of the response is to be taken, or destroyed.
   * @throws S3ServiceException where S3 refuses, the signal's reason, or what broke the connection.
   */
  send(request: DirectRequest): Promise<S3Response> {
    return this.#repeatedly(request, () => this.#attempt(request));
  }

  /**
   * Sends a request whose response is XML, and resolves to that. Nothing else is taken for a success: S3 may response 200 before
   * it knows what will come of it (Amazon S3 API Reference, CopyObject: "a 200 OK response can contain either a success or
   * an error"), and what stands in between may response anything.
   * @param element the root of the XML that tells of a success.
   * @throws as `send` does.
   */
  sendForResult(request: DirectRequest, element: string): Promise<string> {
    return this.#repeatedly(request, async () => {
      const response = await this.#attempt(request);
      const xml = await response.text();
      if (hasElement(xml, element)) return xml;
      // What fails behind a 200 has failed inside S3.
      throw refusalOf(xml, 500, response.headers, false);
    });
  }

  async #repeatedly<Result>(request: DirectRequest, attempt: () => Promise<Result>): Promise<Result> {
    const retries = await this.#client.config.retryStrategy();
    // The other kind is what the SDK had before its version 3.300.
    if (!('acquireInitialRetryToken' in retries))
      throw new TypeError('a retry strategy of the SDK is needed');
    let token = await untilAborted(retries.acquireInitialRetryToken(''), request.signal);
    for (;;) {
      request.signal?.throwIfAborted();
      try {
        const result = await attempt();
        retries.recordSuccess(token);
        return result;
      } catch (error) {
        request.signal?.throwIfAborted();
        const errorType = retryTypeOf(error);
        if (errorType === undefined) throw error;
        // It waits as long as it sees fit, and rejects where it has seen enough.
        const refreshed = retries.refreshRetryTokenForRetry(token, { errorType }).catch(() => undefined);
        const next = await untilAborted(refreshed, request.signal);
        if (!next) throw error;
        token = next;
        await delay(token.getRetryDelay(), undefined, { signal: request.signal }).catch(() => undefined);
      }
    }
  }

  /** Ends every connection, requests under way with them. */
  close(): void {
    // Nothing depends on when the last socket is gone.
    this.#agent.destroy().catch(() => undefined);
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
        headers: { ...definedHeaders(request.headers), host: address.host },
        payloadHash: payloadHashOf(request.body, address.isEncrypted),
      },
      credentials,
      signedAt.s3TimeMs,
    );
    // While the address and the credentials were fetched; an handler hears only of what comes.
    request.signal?.throwIfAborted();
    this.#underWay++;
    const handler = new ResponseHandler(request.signal, () => this.#underWay--);
    this.#agent.dispatch(
      {
        origin: address.origin,
        method: request.method,
        path: query === '' ? path : `${path}?${query}`,
        headers: {
          ...headers,
          'user-agent': userAgent,
          ...(request.body && { 'content-length': String(request.body.sizeBytes) }),
        },
        body: wireBodyOf(request.body),
        // undici would close the connection after each HEAD, for servers that response it with a body.
        reset: false,
      },
      handler,
    );
    const response = await handler.response;
    if (response.status >= 200 && response.status < 300) return response;
    const isOffTime = this.#correctClock(response.status, response.headers, signedAt);
    throw refusalOf(await response.text(), response.status, response.headers, isOffTime);
  }

  #bucket(bucket: string): Promise<{ readonly address: BucketEndpoint; readonly signer: Signer }> {
    let found = this.#buckets.get(bucket);
    if (!found) {
      found = bucketEndpointOf(this.#client, bucket).then((address) => ({
        address,
        signer: new Signer(address.region),
      }));
      this.#buckets.set(bucket, found);
      // Whoever awaits it hears of it; the next one asks anew.
      found.catch(() => this.#buckets.delete(bucket));
    }
    return found;
  }

  /**
   * Whether S3 refused the time that the request was signed with; the next request then has that of S3. What counts is the
   * time this request was signed with: by now another refusal may have corrected the offset, or the clock been set.
   */
  #correctClock(status: number, headers: S3Response['headers'], signedAt: SigningTime): boolean {
    // The response to a HEAD does not say why. With an Age it comes from a cache, and its date is that of another response.
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

/** Connects, but leaves the last descriptors of the process alone; the request is then repeated as after any fault. */
function connectorOf({ connectionTimeoutMs }: ConnectionLimits): buildConnector.connector {
  const connect = buildConnector({ timeout: connectionTimeoutMs, noDelay: true, allowH2: false });
  return (options, callback) => {
    connect(options, (...outcome) => {
      // Of a connection that failed undici passes the error alone, whatever its types say.
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

function definedHeaders(headers: DirectRequest['headers'] = {}): Record<string, string> {
  const defined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) defined[name] = value;
  return defined;
}

/**
 * Over TLS the signature leaves the payload out; a CRC that S3 verifies goes with it. In clear, nothing else would notice
 * that somebody changed it on the way.
 */
function payloadHashOf(body: RequestBody | undefined, isEncrypted: boolean): string {
  if (!body || body.sizeBytes === 0) return emptyPayloadHash;
  if (isEncrypted) return unsignedPayload;
  const sha256 = createHash('sha256');
  for (const bytes of body.chunks) sha256.update(bytes);
  return sha256.digest('hex');
}

function wireBodyOf(body: RequestBody | undefined): NonNullable<Dispatcher.DispatchOptions['body']> | null {
  if (!body) return null;
  if (body.chunks.length === 1 && body.chunks[0]) return body.chunks[0];
  if (body.sizeBytes <= maxHashedBytes) return Buffer.concat(body.chunks, body.sizeBytes);
  // Documented for `dispatch` ("Dispatcher", body: Iterable), and missing from its types.
  return chunksOf(body) as Iterable<Uint8Array> as Uint8Array;
}

// The HTTP client asks for the next piece when the socket has taken the one before.
function* chunksOf({ chunks, sending }: RequestBody): Generator<Uint8Array> {
  if (sending) sending.isTaken = false;
  yield* chunks;
  if (sending) sending.isTaken = true;
}

function bucketPath({ pathPrefix }: BucketEndpoint): string {
  return pathPrefix === '/' ? pathPrefix : pathPrefix.slice(0, -1);
}

// The response to a HEAD has no body to name its error in; these are the names that the SDK gives them.
function nameOfStatus(status: number): string {
  if (status === 404) return 'NotFound';
  return status === 412 ? 'PreconditionFailed' : `HTTP ${status}`;
}
