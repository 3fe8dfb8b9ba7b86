/**
 * Copies one object inside S3, with all its attributes: media type, metadata, tags, encryption, storage class, and the time that
 * FTP shows. The bytes never pass through the gateway.
 */
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectTaggingCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { attributesOfCopy, modifiedAtOf, mtimeMetadata, taggingHeader } from './object-attributes.ts';
import type { ObjectHead, ObjectAttributes } from '../client/object-headers.ts';
import {
  copyObjectDirectly,
  copySourceOf,
  emptyObject,
  headObject,
  putObject,
} from '../client/operations.ts';
import { type ByteRange, maxParts, splitEvenly } from '../upload/part-size.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';

const mebibyte = 1024 ** 2;

export type CopyLimits = {
  /**
   * Larger objects are copied in parts. CopyObject takes up to 5 GB (Amazon S3 API Reference, CopyObject); parts in
   * parallel are faster long before that.
   */
  readonly singleCopyBytes: number;
  /** Minimum size of a part; larger for objects that would otherwise need more than 10,000 parts. */
  readonly partBytes: number;
  readonly partsInParallel: number;
};

export const copyLimits: CopyLimits = {
  singleCopyBytes: 1024 * mebibyte,
  partBytes: 128 * mebibyte,
  partsInParallel: 16,
};

export type CopyOptions = {
  readonly bucket: string;
  readonly from: string;
  /** May be `from` itself: the object is then rewritten with the attributes that changed. */
  readonly to: string;
  /** The source's HeadObject where the caller has it already. */
  readonly source?: ObjectHead | undefined;
  /** The time of the copy; that of the source by default. */
  readonly modifiedAt?: Date | undefined;
  readonly limits?: CopyLimits | undefined;
};

/** The exact versions of source and copy, so that a caller later deletes these and no others. */
export type Copied = { readonly sourceEtag: string; readonly copyEtag: string };

/**
 * Copies one object; resolves after S3 has confirmed it. The copy is pinned to the version of the HeadObject: if the source
 * changes meanwhile, a condition fails and nothing is mixed. There is no signal: S3 may complete a copy whose request was
 * aborted, and its result would be unknown.
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

/** Puts a new directory marker: servers that keep objects as files (VersityGW) do not copy folders. */
async function putMarkerLike(
  client: GatewayS3Client,
  options: CopyOptions,
  source: ObjectHead,
): Promise<string> {
  const { ETag } = await putObject(client, {
    bucket: options.bucket,
    key: options.to,
    ...emptyObject,
    attributes: { ...copyAttributes(options, source), Tagging: await taggingOf(client, options, source) },
    conditions: {},
  });
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
    // The first failure is thrown. If the abort fails, the bucket's lifecycle rule removes the upload.
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
  const ranges = copyRanges(source.ContentLength ?? 0, limits.partBytes);
  let started = 0;
  await forEachConcurrent(ranges, limits.partsInParallel, async ({ firstByte, lastByte }) => {
    const index = started++;
    const { CopyPartResult } = await client.send(
      new UploadPartCopyCommand({
        ...upload,
        PartNumber: index + 1,
        CopySource: copySourceOf(bucket, from),
        CopySourceRange: `bytes=${firstByte}-${lastByte}`,
        CopySourceIfMatch: source.ETag,
      }),
    );
    parts[index] = { ...CopyPartResult, PartNumber: index + 1 };
  });
  return parts;
}

/** The parts of a copy: each at least `minBytes` long, except for a smaller object, and never more than S3 allows. */
export function copyRanges(sizeBytes: number, minBytes: number): Generator<ByteRange> {
  return splitEvenly(sizeBytes, Math.min(Math.max(1, Math.floor(sizeBytes / minBytes)), maxParts));
}

function copyAttributes(options: CopyOptions, source: ObjectHead): ObjectAttributes {
  const modifiedAt = options.modifiedAt ?? modifiedAtOf(source);
  // An mtime that the source has is copied as text: a number would lose digits.
  const hasTime = options.modifiedAt === undefined && source.Metadata?.['mtime'] !== undefined;
  const metadata = hasTime ? source.Metadata : { ...source.Metadata, ...mtimeMetadata(modifiedAt) };
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
