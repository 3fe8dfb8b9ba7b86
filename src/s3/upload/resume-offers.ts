/**
 * What a session was told of its user's interrupted uploads. Only an offset that it was told, or that can mean nothing else,
 * lands in one: an APPE to a published file never does by chance. One of these belongs to one session.
 * See docs/decisions/0008-resume-interrupted-uploads.md.
 */
import {
  findResumableUpload,
  truncateTo,
  withoutLastPart,
  type ResumableUpload,
  type ResumePolicy,
} from './resumable-upload.ts';
import { liveUploadsOf } from '../active-uploads.ts';
import { findObjectAtOnce } from '../client/object-lookup.ts';
import { storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import { supersedeUploads } from './superseded-uploads.ts';
import type { S3UploadOptions } from './upload.ts';
import type { UploadOptions } from '../../filesystem/filesystem.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';

type ObjectName = { readonly bucket: string; readonly key: string };

/** Options of the upload to be opened; the claim is released when that is over, or was not opened. */
export type UploadRestart = Pick<S3UploadOptions, 'resumePolicy' | 'resumable' | 'claim'>;

const maxOffers = 1000;

export class ResumeOffers {
  readonly #storage: S3Storage;
  readonly #resumption: ResumePolicy;
  readonly #told = new Map<string, ResumableUpload>();

  constructor(storage: S3Storage, resumption: ResumePolicy) {
    this.#storage = storage;
    this.#resumption = resumption;
  }

  /** Looks for an interrupted upload and remembers that the session was told of it. Undefined where S3 cannot tell. */
  async advertise(object: ObjectName, signal: AbortSignal): Promise<number | undefined> {
    this.#told.delete(object.key);
    const newest = await this.#find(object, signal);
    const found = newest && withoutLastPart(newest);
    if (!found || (await this.#isOutOfDate(object, found, signal))) return undefined;
    const [oldest] = this.#told.keys();
    if (this.#told.size >= maxOffers && oldest !== undefined) this.#told.delete(oldest);
    this.#told.set(object.key, found);
    return found.sizeBytes;
  }

  /**
   * What an upload has to know: who may continue it, and which interrupted one it continues. One that continues nothing
   * begins a new version: when this resolves, no older upload of the name can be resumed, in any task.
   * @throws FilesystemError `invalid-offset` where what the session was told of is not to be continued any more.
   */
  async forUpload(object: ObjectName, { offset, ifExists, signal }: UploadOptions): Promise<UploadRestart> {
    const told = this.#told.get(object.key);
    this.#told.delete(object.key);
    const resumePolicy = this.#resumption;
    if (ifExists === 'refuse' || offset === 0) return await this.#beginVersion(object, signal);
    if (told && (offset === 'end' || offset === told.sizeBytes)) {
      return this.#continue(object, await this.#confirmed(object, told, signal));
    }
    if (await this.#publishedAt(object, signal)) return { resumePolicy };
    if (offset === 'end') return await this.#beginVersion(object, signal);
    // Nothing is published, so the offset can only mean an upload that broke.
    const found = await this.#find(object, signal);
    const interrupted = found && truncateTo(found, offset);
    return interrupted ? this.#continue(object, interrupted) : { resumePolicy };
  }

  /**
   * Ends the right to resume every upload of this name. Resolves to the number of those that could be resumed.
   * @throws FilesystemError where S3 does not confirm it.
   */
  async supersede({ bucket, key }: ObjectName, signal: AbortSignal): Promise<number> {
    this.#told.delete(key);
    return await supersedeUploads(this.#storage, { bucket, key, signal });
  }

  /** The same for every name that begins with the prefix. */
  async supersedeBelow(bucket: string, prefix: string, signal: AbortSignal): Promise<void> {
    await supersedeUploads(this.#storage, { bucket, prefix, signal });
  }

  async #beginVersion({ bucket, key }: ObjectName, signal: AbortSignal): Promise<UploadRestart> {
    const live = liveUploadsOf(this.#storage);
    // Claimed before S3 is asked, so that of two that begin at once the second one supersedes the first.
    const claim = live.claim(bucket, key);
    try {
      await supersedeUploads(this.#storage, { bucket, key, signal, except: claim });
      return { resumePolicy: this.#resumption, claim };
    } catch (error) {
      claim.release();
      throw error;
    }
  }

  #continue({ bucket, key }: ObjectName, interrupted: ResumableUpload): UploadRestart {
    const claim = liveUploadsOf(this.#storage).claim(bucket, key);
    return { resumePolicy: this.#resumption, resumable: interrupted, claim };
  }

  /** The upload that the session was told of, as it is now: it may have been superseded, or continued by another session. */
  async #confirmed(object: ObjectName, told: ResumableUpload, signal: AbortSignal): Promise<ResumableUpload> {
    const found = await this.#find(object, signal);
    const now = found && truncateTo(found, told.sizeBytes);
    const isSame =
      now?.uploadId === told.uploadId &&
      now.parts.every(({ ETag }, index) => ETag === told.parts[index]?.ETag);
    if (!isSame) {
      throw new FilesystemError('invalid-offset', 'the interrupted upload has been superseded or continued');
    }
    return now;
  }

  async #find({ bucket, key }: ObjectName, signal: AbortSignal): Promise<ResumableUpload | undefined> {
    try {
      return await findResumableUpload(this.#storage, {
        bucket,
        key,
        resumption: this.#resumption,
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      // A server without these operations, or a role that may not use them: the client begins again.
      const event = storageErrorEvent(error, 'ListMultipartUploads', bucket);
      if (event) this.#storage.observe(event);
      return undefined;
    }
  }

  /**
   * Whether a file was published after the upload had begun: the client has sent it anew, and the length that counts is the
   * file's. S3 tells both times in whole seconds; within one of them the published file is believed.
   */
  async #isOutOfDate(
    object: ObjectName,
    { initiatedAt }: ResumableUpload,
    signal: AbortSignal,
  ): Promise<boolean> {
    const publishedAt = await this.#publishedAt(object, signal);
    return publishedAt !== undefined && wholeSeconds(publishedAt) >= wholeSeconds(initiatedAt);
  }

  /** Undefined where there is no object. */
  async #publishedAt({ bucket, key }: ObjectName, signal: AbortSignal): Promise<Date | undefined> {
    const published = await findObjectAtOnce(this.#storage, { bucket, key, signal });
    return published && (published.LastModified ?? new Date());
  }
}

function wholeSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
