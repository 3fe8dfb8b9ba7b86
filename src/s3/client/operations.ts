/** The frequent requests, sent directly: GetObject, PutObject, UploadPart, HeadObject, CopyObject. */
import type { S3Response } from './response.ts';
import type { RequestBody } from './direct-client.ts';
import {
  headersOfAttributes,
  type ObjectHead,
  objectHeadOf,
  type ObjectAttributes,
} from './object-headers.ts';
import type { GatewayS3Client } from './s3-client.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { isNotFound } from './errors.ts';
import { statusOf } from './storage-cause.ts';
import { withRetries } from './retry.ts';
import { encodePath } from './sigv4.ts';
import { elementText } from './xml.ts';
import { crc32ToBase64, emptyCrc32 } from '../../util/crc32.ts';

type ObjectName = { readonly bucket: string; readonly key: string };

export type GetObject = ObjectName & {
  readonly firstByte: number;
  /** The last byte, inclusive as in HTTP; a range that ends beyond the object is no error. */
  readonly lastByte: number;
  /** Any version where absent. */
  readonly etag?: string;
  readonly signal: AbortSignal;
};

/** @throws S3ServiceException named `InvalidRange` where the object has no byte of the range, `PreconditionFailed` where its ETag differs. */
export function getObject(client: GatewayS3Client, request: GetObject): Promise<S3Response> {
  const { bucket, key, firstByte, lastByte, etag, signal } = request;
  return client.direct.send({
    method: 'GET',
    bucket,
    key,
    headers: { range: `bytes=${firstByte}-${lastByte}`, 'if-match': etag },
    signal,
  });
}

export type HeadObject = ObjectName &
  (
    | { readonly retry?: false; readonly signal?: AbortSignal }
    | {
        readonly retry: true;
        readonly signal: AbortSignal;
        /** As in `withRetries`. */
        readonly refusedTimeoutMs?: number;
      }
  );

/**
 * Reads the attributes of an object. With `retry` transient failures are retried for as long as a transfer waits for S3.
 * @throws S3ServiceException named `NotFound` where there is no such object, or with another name for another refusal; with
 * `retry` a FilesystemError instead; the signal's reason.
 */
export function headObject(client: GatewayS3Client, request: HeadObject): Promise<ObjectHead> {
  if (request.retry !== true) return sendHead(client, request);
  const { signal, refusedTimeoutMs } = request;
  const refusedTimeout = refusedTimeoutMs === undefined ? {} : { refusedTimeoutMs };
  const options = { signal, operation: 'HeadObject', client, ...refusedTimeout };
  return withRetries(() => sendHead(client, request), options);
}

/** The same, but undefined where there is no such object. */
export async function findObject(
  client: GatewayS3Client,
  request: HeadObject,
): Promise<ObjectHead | undefined> {
  try {
    return await headObject(client, request);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function sendHead(
  client: GatewayS3Client,
  { bucket, key, signal }: ObjectName & { readonly signal?: AbortSignal },
): Promise<ObjectHead> {
  const headers = { 'x-amz-checksum-mode': 'ENABLED' };
  try {
    const response = await client.direct.send({ method: 'HEAD', bucket, key, headers, signal });
    return objectHeadOf(response.headers);
  } catch (error) {
    // The response to a HEAD has no body that could name the reason. Servers that store objects as files refuse such names with this status.
    if (statusOf(error) !== 400 || !hasOverlongSegment(key)) throw error;
    throw new FilesystemError('name-not-allowed', `HeadObject: a segment of over ${maxSegmentBytes} bytes`, {
      cause: error,
    });
  }
}

/** The longest name of a file on most file systems (NAME_MAX). */
const maxSegmentBytes = 255;

function hasOverlongSegment(key: string): boolean {
  return key.split('/').some((segment) => Buffer.byteLength(segment) > maxSegmentBytes);
}

/** Checksums that S3 compares with the body before it stores it; at least one is set. */
export type BodyChecksum = { readonly ChecksumCRC32?: string; readonly ContentMD5?: string };

export type PutObject = ObjectName & {
  readonly body: RequestBody;
  readonly attributes: ObjectAttributes;
  readonly checksum: BodyChecksum;
  readonly conditions: { readonly IfNoneMatch?: string; readonly IfMatch?: string };
  /** After an abort it is unknown whether S3 has stored the object or will store it. */
  readonly signal?: AbortSignal | undefined;
};

/** The object without bytes, as directory markers are. */
export const emptyObject = {
  body: { chunks: [], sizeBytes: 0 },
  checksum: { ChecksumCRC32: crc32ToBase64(emptyCrc32) },
} as const;

/** Resolves when S3 has stored the object, to its ETag and the CRC32 that S3 names for it. */
export async function putObject(
  client: GatewayS3Client,
  request: PutObject,
): Promise<Pick<ObjectHead, 'ChecksumCRC32' | 'ETag'> & { readonly VersionId: string | undefined }> {
  const { bucket, key, body, attributes, checksum, conditions, signal } = request;
  const headers = {
    ...headersOfAttributes(attributes),
    ...headersOfChecksum(checksum),
    'if-none-match': conditions.IfNoneMatch,
    'if-match': conditions.IfMatch,
  };
  const response = await client.direct.send({ method: 'PUT', bucket, key, headers, body, signal });
  return {
    ChecksumCRC32: response.headers['x-amz-checksum-crc32'],
    ETag: response.headers['etag'],
    VersionId: response.headers['x-amz-version-id'],
  };
}

export type UploadPart = ObjectName & {
  readonly uploadId: string;
  readonly partNumber: number;
  readonly body: RequestBody;
  readonly checksum: BodyChecksum;
  readonly signal: AbortSignal;
};

/** Resolves to the part's ETag when S3 has stored it. */
export async function uploadPart(client: GatewayS3Client, request: UploadPart): Promise<string | undefined> {
  const { bucket, key, uploadId, partNumber, body, checksum, signal } = request;
  const query = { partNumber: String(partNumber), uploadId };
  const headers = headersOfChecksum(checksum);
  const response = await client.direct.send({ method: 'PUT', bucket, key, query, headers, body, signal });
  return response.headers['etag'];
}

/** An object as `CopySource` and the header `x-amz-copy-source` name it: percent-encoded except for slashes. */
export function copySourceOf(bucket: string, key: string): string {
  return encodePath(`${bucket}/${key}`);
}

export type CopyObject = ObjectName & {
  /** In the same bucket. */
  readonly source: { readonly key: string; readonly etag: string | undefined };
  /** The attributes of the copy; its tags are those of the source. */
  readonly attributes: ObjectAttributes;
};

/** Resolves to the copy's ETag when S3 has made it. @throws S3ServiceException named `PreconditionFailed` for another version. */
export async function copyObjectDirectly(client: GatewayS3Client, request: CopyObject): Promise<string> {
  const { bucket, key, source, attributes } = request;
  const headers = {
    ...headersOfAttributes(attributes),
    'x-amz-copy-source': copySourceOf(bucket, source.key),
    'x-amz-copy-source-if-match': source.etag,
    // The attributes, which include the modification time, are sent again; S3 itself copies the tags, which were not read.
    'x-amz-metadata-directive': 'REPLACE',
    'x-amz-tagging-directive': 'COPY',
  };
  const put = { method: 'PUT', bucket, key, headers } as const;
  return elementText(await client.direct.sendForResult(put, 'CopyObjectResult'), 'ETag');
}

function headersOfChecksum({ ChecksumCRC32, ContentMD5 }: BodyChecksum): Record<string, string | undefined> {
  return { 'x-amz-checksum-crc32': ChecksumCRC32, 'content-md5': ContentMD5 };
}
