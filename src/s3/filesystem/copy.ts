/**
 * One object copied inside S3, with everything it carries: media type, metadata, tags, encryption, storage class, and the
 * time that FTP shows. The bytes never come through the gateway.
 */
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectTaggingCommand,
  PutObjectCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { attributesOfCopy, modifiedAtOf, mtimeMetadata, taggingHeader } from './object-attributes.ts';
import type { ObjectHead, ObjectAttributes } from '../client/object-headers.ts';
import { copyObjectDirectly, copySourceOf, headObject } from '../client/operations.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';

const mebibyte = 1024 ** 2;

export type CopyLimits = {
  /**
   * Larger objects are copied in parts. CopyObject takes up to 5 GB (Amazon S3 API Reference, CopyObject); parts in
   * parallel are faster long before that.
   */
  readonly singleCopyBytes: number;
  /** Smallest part of a copy in parts; grows where 10,000 of them would not do. */
  readonly partBytes: number;
  readonly partsInParallel: number;
};

export const copyLimits: CopyLimits = {
  singleCopyBytes: 1024 * mebibyte,
  partBytes: 128 * mebibyte,
  partsInParallel: 16,
};

const maxParts = 10_000;

export type CopyOptions = {
  readonly bucket: string;
  readonly from: string;
  /** May be `from` itself: the object is then rewritten with the attributes that changed. */
  readonly to: string;
  /** What HeadObject said of the source where the caller has asked already. */
  readonly source?: ObjectHead;
  /** The time that the copy is to show; that of the source by default. */
  readonly modifiedAt?: Date;
  readonly limits?: CopyLimits;
};

/** The exact versions copied from and made, so that a caller later deletes these and no others. */
export type Copied = { readonly sourceEtag: string; readonly copyEtag: string };

/**
 * Copies one object; resolves after S3 has confirmed it. Pinned to the version that HeadObject saw: a source that changes
 * under the copy is a failed condition, never a mixture. It takes no signal: a copy that is given up half-way may still
 * come into being, and nobody would know.
 */
export async function copyObject(client: GatewayS3Client, options: CopyOptions): Promise<Copied> {
  const { bucket, from, limits = copyLimits } = options;
  const source = options.source ?? (await headObject(client, { bucket, key: from }));
  const sizeBytes = source.ContentLength ?? 0;
  let copyEtag: string;
  if (sizeBytes === 0 && from.endsWith('/')) copyEtag = await putMarkerLike(client, options, source);
  else if (sizeBytes > limits.singleCopyBytes) copyEtag = await copyInParts(client, options, source, limits);
  else copyEtag = await copyInOneRequest(client, options, source);
  return { sourceEtag: source.ETag ?? '', copyEtag };
}

/** Directory markers are put anew: servers that keep objects as files (VersityGW) do not copy folders. */
async function putMarkerLike(
  client: GatewayS3Client,
  options: CopyOptions,
  source: ObjectHead,
): Promise<string> {
  const { ETag } = await client.send(
    new PutObjectCommand({
      Bucket: options.bucket,
      Key: options.to,
      Body: new Uint8Array(),
      ...copyAttributes(options, source),
      Tagging: await taggingOf(client, options, source),
    }),
  );
  return ETag ?? '';
}

async function copyInOneRequest(
  client: GatewayS3Client,
  options: CopyOptions,
  source: ObjectHead,
): Promise<string> {
  return await copyObjectDirectly(client, {
    bucket: options.bucket,
    key: options.to,
    source: { key: options.from, etag: source.ETag },
    attributes: copyAttributes(options, source),
  });
}

async function copyInParts(
  client: GatewayS3Client,
  options: CopyOptions,
  source: ObjectHead,
  limits: CopyLimits,
): Promise<string> {
  const target = { Bucket: options.bucket, Key: options.to };
  const tagging = await taggingOf(client, options, source);
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...target, ...copyAttributes(options, source), Tagging: tagging }),
  );
  try {
    const parts = await copyParts(client, { ...target, UploadId }, options, source, limits);
    const { ETag } = await client.send(
      new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts: parts } }),
    );
    return ETag ?? '';
  } catch (error) {
    // What was to be told is the first failure; an upload that stays is the lifecycle rule's.
    await client.send(new AbortMultipartUploadCommand({ ...target, UploadId })).catch(() => undefined);
    throw error;
  }
}

async function copyParts(
  client: GatewayS3Client,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string | undefined },
  { bucket, from }: CopyOptions,
  source: ObjectHead,
  limits: CopyLimits,
): Promise<CompletedPart[]> {
  const parts: CompletedPart[] = [];
  const ranges = partRanges(source.ContentLength ?? 0, limits.partBytes);
  await forEachConcurrent(ranges, limits.partsInParallel, async ({ partNumber, firstByte, lastByte }) => {
    const { CopyPartResult } = await client.send(
      new UploadPartCopyCommand({
        ...upload,
        PartNumber: partNumber,
        CopySource: copySourceOf(bucket, from),
        CopySourceRange: `bytes=${firstByte}-${lastByte}`,
        CopySourceIfMatch: source.ETag,
      }),
    );
    parts[partNumber - 1] = { ...CopyPartResult, PartNumber: partNumber };
  });
  return parts;
}

export type PartRange = {
  readonly partNumber: number;
  readonly firstByte: number;
  readonly lastByte: number;
};

/** Equal parts that cover an object: as small as allowed, and never more than 10,000 (Amazon S3 multipart upload limits). */
export function* partRanges(sizeBytes: number, smallestPartBytes: number): Generator<PartRange> {
  const fewest = Math.ceil(sizeBytes / maxParts / mebibyte) * mebibyte;
  const partBytes = Math.max(smallestPartBytes, fewest);
  for (let firstByte = 0, partNumber = 1; firstByte < sizeBytes; firstByte += partBytes, partNumber++) {
    yield { partNumber, firstByte, lastByte: Math.min(firstByte + partBytes, sizeBytes) - 1 };
  }
}

function copyAttributes(options: CopyOptions, source: ObjectHead): ObjectAttributes {
  const modifiedAt = options.modifiedAt ?? modifiedAtOf(source);
  // A time that is there already stays as it was written, to the last digit.
  const kept = options.modifiedAt === undefined && source.Metadata?.['mtime'] !== undefined;
  const metadata = kept ? source.Metadata : { ...source.Metadata, ...mtimeMetadata(modifiedAt) };
  return { ...attributesOfCopy(source), Metadata: metadata };
}

async function taggingOf(
  client: GatewayS3Client,
  { bucket, from }: CopyOptions,
  source: ObjectHead,
): Promise<string | undefined> {
  if (!source.TagCount) return undefined;
  const { TagSet = [] } = await client.send(new GetObjectTaggingCommand({ Bucket: bucket, Key: from }));
  return taggingHeader(TagSet.map(({ Key = '', Value = '' }) => [Key, Value] as const));
}
