/** The requests that come by the thousand: GetObject, PutObject, UploadPart, HeadObject, CopyObject. */
import type { S3Response } from './response.ts';
import type { RequestBody } from './direct-client.ts';
import {
  headersOfAttributes,
  type ObjectHead,
  objectHeadOf,
  type ObjectAttributes,
} from './object-headers.ts';
import type { GatewayS3Client } from './s3-client.ts';
import { encodePath } from './sigv4.ts';
import { fieldOf } from './xml.ts';

type ObjectName = { readonly bucket: string; readonly key: string };

export type GetObject = ObjectName & {
  readonly firstByte: number;
  /** The last one wanted, inclusive as in HTTP; what is missing at the end of the object is no error. */
  readonly lastByte: number;
  /** Any version where absent. */
  readonly etag?: string;
  readonly signal: AbortSignal;
};

/** @throws S3ServiceException named `InvalidRange` where the object has no byte of the range, `PreconditionFailed`. */
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

/** @throws S3ServiceException named `NotFound` where there is no such object. */
export async function headObject(
  client: GatewayS3Client,
  { bucket, key, signal }: ObjectName & { readonly signal?: AbortSignal },
): Promise<ObjectHead> {
  const headers = { 'x-amz-checksum-mode': 'ENABLED' };
  const answer = await client.direct.send({ method: 'HEAD', bucket, key, headers, signal });
  return objectHeadOf(answer.headers);
}

/** What S3 compares the body with before it takes it; at least one of them. */
export type BodyChecksum = { readonly ChecksumCRC32?: string; readonly ContentMD5?: string };

export type PutObject = ObjectName & {
  readonly body: RequestBody;
  readonly attributes: ObjectAttributes;
  readonly checksum: BodyChecksum;
  readonly conditions: { readonly IfNoneMatch?: string; readonly IfMatch?: string };
  /** Leaves open whether S3 has the object, or will have it. */
  readonly signal: AbortSignal;
};

/**
 * Resolves when S3 has the object, to the CRC32 that S3 names for it.
 */
export async function putObject(
  client: GatewayS3Client,
  request: PutObject,
): Promise<Pick<ObjectHead, 'ChecksumCRC32'>> {
  const { bucket, key, body, attributes, checksum, conditions, signal } = request;
  const headers = {
    ...headersOfAttributes(attributes),
    ...headersOfChecksum(checksum),
    'if-none-match': conditions.IfNoneMatch,
    'if-match': conditions.IfMatch,
  };
  const answer = await client.direct.send({ method: 'PUT', bucket, key, headers, body, signal });
  return { ChecksumCRC32: answer.headers['x-amz-checksum-crc32'] };
}

export type UploadPart = ObjectName & {
  readonly uploadId: string;
  readonly partNumber: number;
  readonly body: RequestBody;
  readonly checksum: BodyChecksum;
  readonly signal: AbortSignal;
};

/** Resolves to the part's ETag when S3 has it. */
export async function uploadPart(client: GatewayS3Client, request: UploadPart): Promise<string | undefined> {
  const { bucket, key, uploadId, partNumber, body, checksum, signal } = request;
  const query = { partNumber: String(partNumber), uploadId };
  const headers = headersOfChecksum(checksum);
  const answer = await client.direct.send({ method: 'PUT', bucket, key, query, headers, body, signal });
  return answer.headers['etag'];
}

/** As `CopySource` and the header `x-amz-copy-source` name an object: percent-encoded but for the slashes. */
export function copySourceOf(bucket: string, key: string): string {
  return encodePath(`${bucket}/${key}`);
}

export type CopyObject = ObjectName & {
  /** In the same bucket. */
  readonly source: { readonly key: string; readonly etag: string | undefined };
  /** Of the copy; its tags are those of the source. */
  readonly attributes: ObjectAttributes;
};

/** Resolves to the copy's ETag when S3 has it. @throws S3ServiceException named `PreconditionFailed` for another version. */
export async function copyObjectDirectly(client: GatewayS3Client, request: CopyObject): Promise<string> {
  const { bucket, key, source, attributes } = request;
  const headers = {
    ...headersOfAttributes(attributes),
    'x-amz-copy-source': copySourceOf(bucket, source.key),
    'x-amz-copy-source-if-match': source.etag,
    // The attributes are sent again, with the time in them; tags, which were not read, are left to S3.
    'x-amz-metadata-directive': 'REPLACE',
    'x-amz-tagging-directive': 'COPY',
  };
  const put = { method: 'PUT', bucket, key, headers } as const;
  return fieldOf(await client.direct.sendForResult(put, 'CopyObjectResult'), 'ETag');
}

function headersOfChecksum({ ChecksumCRC32, ContentMD5 }: BodyChecksum): Record<string, string | undefined> {
  return { 'x-amz-checksum-crc32': ChecksumCRC32, 'content-md5': ContentMD5 };
}
