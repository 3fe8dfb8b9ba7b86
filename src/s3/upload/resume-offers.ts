/**
 * The resumable uploads that a session has advertised to its client. An upload is resumed only at an offset that was advertised, or
 * that can mean nothing else: an APPE to an existing file never resumes one by accident. Per session.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import { createHash } from 'node:crypto';
import {
  findResumableUpload,
  truncateTo,
  withoutLastPart,
  type ResumableUpload,
  type ResumePolicy,
} from './resumable-upload.ts';
import type { UploadClaim } from '../active-uploads.ts';
import { findObject } from '../client/operations.ts';
import { BoundedMap } from '../../util/bounded-map.ts';
import type { S3Storage } from '../s3-storage.ts';
import { supersedeUploads } from './superseded-uploads.ts';
import type { UploadOptions } from '../../filesystem/filesystem.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';

/** An object whose upload a session asks about. */
type ObjectName = { readonly bucket: string; readonly key: string };

/** What an upload needs to know for resuming; to be spread into its options. */
export type ResumeDecision = {
  readonly resumePolicy: ResumePolicy;
  readonly resumable?: ResumableUpload | undefined;
  /** Must be released when the upload is over, or was not opened. */
  readonly claim?: UploadClaim | undefined;
};

/** An advertised upload. An upload can have 10,000 parts, and a session many offers, so the parts themselves are not kept. */
type Offer = { readonly uploadId: string; readonly sizeBytes: number; readonly fingerprint: string };

/** Advertised uploads that a session remembers. */
const maxOffers = 1000;

export class ResumeOffers {
  readonly #storage: S3Storage;
  readonly #resumePolicy: ResumePolicy;
  readonly #advertised = new BoundedMap<string, Offer>(maxOffers);

  constructor(storage: S3Storage, resumePolicy: ResumePolicy) {
    this.#storage = storage;
    this.#resumePolicy = resumePolicy;
  }

  /** Looks for a resumable upload, remembers it as advertised, and resolves to its length in bytes. Undefined where there is none. */
  async advertise(object: ObjectName, signal: AbortSignal): Promise<number | undefined> {
    this.#advertised.delete(object.key);
    const newest = await this.#find(object, signal);
    const found = newest && withoutLastPart(newest);
    if (!found || (await this.#isOutOfDate(object, found, signal))) return undefined;
    const { uploadId, sizeBytes } = found;
    this.#advertised.set(object.key, { uploadId, sizeBytes, fingerprint: fingerprintOf(found) });
    return sizeBytes;
  }

  /**
   * Decides who may resume the new upload, and which upload it resumes itself. One that resumes nothing begins a new version: when
   * this resolves, no older upload of the key can be resumed, in any task.
   * @throws FilesystemError `invalid-offset` where the advertised upload cannot be resumed any more.
   */
  async forUpload(object: ObjectName, { offset, ifExists, signal }: UploadOptions): Promise<ResumeDecision> {
    const advertised = this.#advertised.get(object.key);
    this.#advertised.delete(object.key);
    const resumePolicy = this.#resumePolicy;
    if (ifExists === 'refuse' || offset === 0) return await this.#beginVersion(object, signal);
    if (advertised && (offset === 'end' || offset === advertised.sizeBytes)) {
      return this.#resume(object, await this.#confirmed(object, advertised, signal));
    }
    if (await this.#modifiedAt(object, signal)) return { resumePolicy };
    if (offset === 'end') return await this.#beginVersion(object, signal);
    // There is no object, so the offset can only mean an upload that broke.
    const found = await this.#find(object, signal);
    const resumable = found && truncateTo(found, offset);
    return resumable ? this.#resume(object, resumable) : { resumePolicy };
  }

  /**
   * Makes every upload of this key impossible to resume. Resolves to the number of those that could be resumed.
   * @throws FilesystemError where S3 does not confirm it.
   */
  async supersede({ bucket, key }: ObjectName, signal: AbortSignal): Promise<number> {
    this.#advertised.delete(key);
    return await supersedeUploads(this.#storage, { bucket, key, signal });
  }

  /** The same for every key that begins with the prefix. */
  async supersedeBelow(bucket: string, prefix: string, signal: AbortSignal): Promise<void> {
    await supersedeUploads(this.#storage, { bucket, prefix, signal });
  }

  async #beginVersion({ bucket, key }: ObjectName, signal: AbortSignal): Promise<ResumeDecision> {
    // Claimed before the request to S3, so that of two that begin at the same time the second supersedes the first.
    const claim = this.#storage.activeUploads.claim(bucket, key);
    try {
      await supersedeUploads(this.#storage, { bucket, key, signal, except: claim });
      return { resumePolicy: this.#resumePolicy, claim };
    } catch (error) {
      claim.release();
      throw error;
    }
  }

  #resume({ bucket, key }: ObjectName, resumable: ResumableUpload): ResumeDecision {
    const claim = this.#storage.activeUploads.claim(bucket, key);
    return { resumePolicy: this.#resumePolicy, resumable, claim };
  }

  /** The advertised upload in its current state: it may have been superseded, or resumed by another session. */
  async #confirmed(object: ObjectName, advertised: Offer, signal: AbortSignal): Promise<ResumableUpload> {
    const found = await this.#find(object, signal);
    const now = found && truncateTo(found, advertised.sizeBytes);
    if (now?.uploadId !== advertised.uploadId || fingerprintOf(now) !== advertised.fingerprint) {
      throw new FilesystemError('invalid-offset', 'the resumable upload has been superseded or resumed');
    }
    return now;
  }

  async #find({ bucket, key }: ObjectName, signal: AbortSignal): Promise<ResumableUpload | undefined> {
    try {
      return await findResumableUpload(this.#storage, {
        bucket,
        key,
        resumePolicy: this.#resumePolicy,
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      // A server without these operations, or a role without the permission: the client sends the whole file again.
      this.#storage.reportError(error, 'ListMultipartUploads', { bucket });
      return undefined;
    }
  }

  /**
   * Whether the object was written after the upload had begun: the client has sent the file again, and the object's length counts.
   * S3 gives both times in whole seconds; within the same second the object counts.
   */
  async #isOutOfDate(
    object: ObjectName,
    { initiatedAt }: ResumableUpload,
    signal: AbortSignal,
  ): Promise<boolean> {
    const modifiedAt = await this.#modifiedAt(object, signal);
    return modifiedAt !== undefined && wholeSeconds(modifiedAt) >= wholeSeconds(initiatedAt);
  }

  /** Undefined where there is no object. */
  async #modifiedAt({ bucket, key }: ObjectName, signal: AbortSignal): Promise<Date | undefined> {
    const head = await findObject(this.#storage.client, { bucket, key, signal });
    return head && (head.LastModified ?? new Date());
  }
}

/** Differs where a part was replaced. */
function fingerprintOf({ parts }: ResumableUpload): string {
  const hash = createHash('sha256');
  for (const { ETag } of parts) hash.update(`${ETag}\n`);
  return hash.digest('base64');
}

function wholeSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
