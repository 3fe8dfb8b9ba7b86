/**
 * One multipart upload in S3: its parts, its completion and its abort. `upload.ts` decides which bytes become a part. Every request
 * is retried after transient failures, with the same bytes.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
  type CompletedPart,
  type CreateMultipartUploadCommandOutput,
} from '@aws-sdk/client-s3';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { combineCrc32, crc32ToBase64, emptyCrc32 } from '../../util/crc32.ts';
import { md5Of } from './checksum.ts';
import type { StoredObject } from '../../filesystem/filesystem.ts';
import type { RequestBody } from '../client/direct-client.ts';
import { copySourceOf, uploadPart, type BodyChecksum } from '../client/operations.ts';
import type { Part } from './part.ts';
import { commitUpload, type Condition, type Commit } from './commit.ts';
import { isNoSuchUpload } from '../client/errors.ts';
import { withRetries } from '../client/retry.ts';
import type { ByteRange } from './part-size.ts';
import type { TagPart } from './tag-parts.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { ObjectAttributes } from '../client/object-headers.ts';

export type MultipartTarget = {
  readonly bucket: string;
  readonly key: string;
  readonly attributes: ObjectAttributes;
  /**
   * `whole`: S3 verifies a CRC32 of every part and of the whole object. `parts`: an MD5 of every part, the whole left to
   * S3's own checksum. That is for uploads with copied ranges, whose CRC32 is unknown without reading them, and for servers
   * without whole-object checksums.
   */
  readonly integrity: 'whole' | 'parts';
};

/** A range of an existing object, pinned to one version of it. */
export type CopiedRange = ByteRange & {
  readonly etag: string;
  /** The object's length. For the whole object no range is sent: S3 refuses a range of an object of 5 MiB or less. */
  readonly sourceBytes: number;
};

/** A part that S3 has confirmed. */
export type UploadedPart = CompletedPart & { readonly sizeBytes: number; readonly crc32: number };

/** How long an abort is retried before the upload is left to the sweep and the bucket's lifecycle rule. */
const abortRetryTimeoutMs = 15_000;

/**
 * A part that was still in flight may survive an abort: "it might be necessary to abort a given multipart upload multiple times"
 * (Amazon S3 API Reference, AbortMultipartUpload). So the abort is repeated until S3 responds that there is no such upload.
 */
const maxAbortsAfterCancelledPart = 3;
const abortIntervalMs = 100;

export class MultipartUpload {
  readonly uploadId: string;
  readonly #storage: S3Storage;
  readonly #target: MultipartTarget;
  readonly #parts = new Map<number, UploadedPart>();
  #hasCancelledPart = false;

  private constructor(storage: S3Storage, target: MultipartTarget, uploadId: string) {
    this.#storage = storage;
    this.#target = target;
    this.uploadId = uploadId;
  }

  /**
   * Begins a multipart upload. Falls back to `parts` integrity where the server refuses, or does not name, a whole-object checksum.
   * The signal stops further attempts; a request in flight is awaited all the same, because S3 may carry out a cancelled
   * request, and an upload whose id is unknown cannot be aborted.
   */
  static async create(
    storage: S3Storage,
    target: MultipartTarget,
    signal: AbortSignal,
  ): Promise<MultipartUpload> {
    const { UploadId, ChecksumType } = await createWithChecksum(storage, target, signal);
    if (UploadId === undefined)
      throw new FilesystemError('unavailable', 'CreateMultipartUpload gave no upload id');
    const integrity = ChecksumType === 'FULL_OBJECT' ? target.integrity : 'parts';
    return new MultipartUpload(storage, { ...target, integrity }, UploadId);
  }

  /** Adopts an upload that was begun earlier, in this process or another, with parts that S3 has. */
  static adopt(
    storage: S3Storage,
    target: MultipartTarget,
    { uploadId, parts }: { readonly uploadId: string; readonly parts: readonly UploadedPart[] },
  ): MultipartUpload {
    const upload = new MultipartUpload(storage, target, uploadId);
    for (const part of parts) upload.#parts.set(part.PartNumber ?? 0, part);
    return upload;
  }

  /** Sends one part; it replaces an earlier part of the same number. Stops when the signal aborts. */
  async uploadPart(partNumber: number, part: Part, signal: AbortSignal): Promise<void> {
    const chunks = part.finish();
    const crc = crc32ToBase64(part.crc32);
    const integrity =
      this.#target.integrity === 'whole' ? { ChecksumCRC32: crc } : { ContentMD5: md5Of(chunks) };
    const { sizeBytes, crc32, sending } = part;
    const ETag = await withRetries(
      () => this.#sendBytes(partNumber, { chunks, sizeBytes, sending }, integrity, signal),
      { signal, operation: 'UploadPart', client: this.#storage.client },
    );
    this.#parts.set(partNumber, { PartNumber: partNumber, ETag, sizeBytes, crc32, ...integrity });
    part.isConfirmed = true;
  }

  /** Sends a tag part (`tag-parts.ts`) in a single attempt. */
  async uploadTagPart(tagPart: TagPart, signal: AbortSignal): Promise<void> {
    const { bytes, partNumber } = tagPart;
    const checksum =
      this.#target.integrity === 'whole'
        ? { ChecksumCRC32: crc32ToBase64(crc32(bytes)) }
        : { ContentMD5: md5Of([bytes]) };
    const body = { chunks: [bytes], sizeBytes: bytes.byteLength };
    await this.#sendBytes(partNumber, body, checksum, signal);
  }

  /** Replaces a part of an earlier attempt, so that it can never be mistaken for bytes after those that follow now. */
  async voidPart(partNumber: number, signal: AbortSignal): Promise<void> {
    const voided = { partNumber, bytes: Buffer.alloc(1) };
    await withRetries(() => this.uploadTagPart(voided, signal), {
      signal,
      operation: 'UploadPart',
      client: this.#storage.client,
    });
  }

  /** Whether S3 has the beginning, with a checksum for every part of it: enough for another session to resume. */
  get isResumable(): boolean {
    return this.#target.integrity === 'whole' && this.#parts.has(1);
  }

  /** Makes a part of bytes that S3 has already. @throws FilesystemError `changed` where the source has changed. */
  async copyPart(partNumber: number, range: CopiedRange, signal: AbortSignal): Promise<void> {
    const sizeBytes = range.lastByte - range.firstByte + 1;
    const { CopyPartResult } = await withRetries(
      () =>
        this.#storage.client.send(
          new UploadPartCopyCommand({
            ...this.#name,
            PartNumber: partNumber,
            CopySource: copySourceOf(this.#target.bucket, this.#target.key),
            CopySourceIfMatch: range.etag,
            ...(sizeBytes < range.sourceBytes && {
              CopySourceRange: `bytes=${range.firstByte}-${range.lastByte}`,
            }),
          }),
          { abortSignal: signal },
        ),
      { signal, operation: 'UploadPartCopy', client: this.#storage.client },
    );
    const ETag = CopyPartResult?.ETag;
    this.#parts.set(partNumber, { PartNumber: partNumber, ETag, sizeBytes, crc32: emptyCrc32 });
  }

  /**
   * Commits the object that consists of all parts sent (`commit.ts`).
   * @param id of an upload that this session has begun; undefined for a resumed one.
   */
  async complete(condition: Condition, id: string | undefined, signal: AbortSignal): Promise<StoredObject> {
    const parts = [...this.#parts.values()].sort(
      (one, other) => (one.PartNumber ?? 0) - (other.PartNumber ?? 0),
    );
    const { bucket, key, integrity } = this.#target;
    const crc = parts.reduce((whole, part) => combineCrc32(whole, part.crc32, part.sizeBytes), emptyCrc32);
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    const commit: Commit = {
      bucket,
      key,
      identity: id === undefined ? { sizeBytes, crc32: crc32ToBase64(crc) } : { id },
      condition,
      operation: 'CompleteMultipartUpload',
      send: (conditions, signal) =>
        this.#storage.client.send(
          new CompleteMultipartUploadCommand({
            ...this.#name,
            MultipartUpload: {
              Parts: parts.map(({ PartNumber, ETag, ChecksumCRC32 }) => ({
                PartNumber,
                ETag,
                ChecksumCRC32,
              })),
            },
            // S3 compares it with the assembled object (`x-amz-mp-object-size`).
            MpuObjectSize: sizeBytes,
            ...(integrity === 'whole' && { ChecksumType: 'FULL_OBJECT', ChecksumCRC32: crc32ToBase64(crc) }),
            ...conditions,
          }),
          { abortSignal: signal },
        ),
    };
    return await commitUpload(this.#storage, commit, signal);
  }

  /** Aborts the upload. No part may be in flight. Never rejects: an upload that cannot be aborted is reported with its id. */
  async abort(): Promise<void> {
    const { deadline } = this.#storage.client.settling;
    for (let left = this.#hasCancelledPart ? maxAbortsAfterCancelledPart : 1; left > 0; left--) {
      if ((await this.#abortOnce()) === 'over') return;
      if (left > 1) await delay(abortIntervalMs, undefined, { signal: deadline }).catch(() => undefined);
    }
  }

  /** Resolves to `over` where nothing is left to do: there is no such upload, or the failure was reported. */
  async #abortOnce(): Promise<'aborted' | 'over'> {
    const { client } = this.#storage;
    const { deadline } = client.settling;
    const command = new AbortMultipartUploadCommand(this.#name);
    try {
      await withRetries(() => client.send(command, { abortSignal: deadline }), {
        // The transfer's own signal has aborted already.
        signal: deadline,
        operation: 'AbortMultipartUpload',
        client,
        retryTimeoutMs: Math.min(abortRetryTimeoutMs, client.retryTimeoutMs),
      });
      return 'aborted';
    } catch (error) {
      if (isNoSuchUpload(error)) return 'over';
      const { bucket, key } = this.#target;
      this.#storage.reportRemains(error, 'AbortMultipartUpload', { bucket, key, uploadId: this.uploadId });
      return 'over';
    }
  }

  /** Resolves to the part's ETag. */
  async #sendBytes(
    partNumber: number,
    body: RequestBody,
    checksum: BodyChecksum,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { bucket, key } = this.#target;
    const request = { bucket, key, uploadId: this.uploadId, partNumber, body, checksum, signal };
    try {
      return await uploadPart(this.#storage.client, request);
    } finally {
      // Even if it arrived all the same: S3 may process the abort before the end of the part.
      if (signal.aborted) this.#hasCancelledPart = true;
    }
  }

  get #name(): { readonly Bucket: string; readonly Key: string; readonly UploadId: string } {
    return { Bucket: this.#target.bucket, Key: this.#target.key, UploadId: this.uploadId };
  }
}

async function createWithChecksum(
  storage: S3Storage,
  { bucket, key, attributes, integrity }: MultipartTarget,
  signal: AbortSignal,
): Promise<CreateMultipartUploadCommandOutput> {
  const { deadline } = storage.client.settling;
  const checksum = { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' } as const;
  const create = (extra: Partial<typeof checksum>): Promise<CreateMultipartUploadCommandOutput> =>
    withRetries(
      () =>
        storage.client.send(
          new CreateMultipartUploadCommand({ Bucket: bucket, Key: key, ...attributes, ...extra }),
          { abortSignal: deadline },
        ),
      { signal, operation: 'CreateMultipartUpload', client: storage.client },
    );
  try {
    if (integrity === 'parts') return await create({});
    return await createWithFallback(create, checksum);
  } catch (error) {
    // Cancelled by the end of the process: S3 may have begun an upload that only the bucket's lifecycle rule removes.
    if (deadline.aborted) {
      storage.reportUnconfirmed('CreateMultipartUpload', { bucket, key });
    }
    throw error;
  }
}

async function createWithFallback<Checksum extends object>(
  create: (extra: Checksum | object) => Promise<CreateMultipartUploadCommandOutput>,
  checksum: Checksum,
): Promise<CreateMultipartUploadCommandOutput> {
  try {
    return await create(checksum);
  } catch (error) {
    if (!isUnknownParameter(error)) throw error;
    return await create({});
  }
}

// Servers that do not support a header ignore it or respond with 400 or 501, each with its own error name.
function isUnknownParameter(error: unknown): boolean {
  if (error instanceof FilesystemError) return false;
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  return status === 400 || status === 501;
}
