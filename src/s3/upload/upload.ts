/**
 * A file on its way from a data connection into S3. What fits into one part is a single PutObject at the commit; more
 * becomes a multipart upload while it comes in. Either way S3 shows nothing of it before the commit, and what was there
 * before stays until then. See docs/lifecycle.md for every way it can end.
 */
import { randomUUID } from 'node:crypto';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { Upload } from '../../filesystem/filesystem.ts';
import { noteChecksumSupport, objectChecksum } from './checksum.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import type { ResumableUpload, ResumePolicy } from './resumable-upload.ts';
import {
  copyRanges,
  findExistingPrefix,
  isCopyable,
  downloadPrefix,
  type ExistingPrefix,
} from './existing-prefix.ts';
import { liveUploadsOf, type UploadClaim } from '../active-uploads.ts';
import { MultipartUpload } from './multipart-upload.ts';
import { putObject } from '../client/operations.ts';
import { minPartBytesAt, partBytesOf, partSizeBytes, type PartSizeOptions } from './part-size.ts';
import { inChunks, maxChunkBytes, Part } from './part.ts';
import { maxPartsInFlight, PartUploader } from './part-uploader.ts';
import { commitUpload, uploadIdMetadata, type Condition, type Commit } from './commit.ts';
import { storageErrorEvent } from '../client/errors.ts';
import type { S3Storage } from '../s3-storage.ts';
import { removeIfSuperseded } from './superseded-uploads.ts';
import { interruptedMark, ownerTagPart } from './owner-parts.ts';
import type { UploadMemory } from '../transfer-memory.ts';
import type { ObjectAttributes } from '../client/object-headers.ts';

export type S3UploadOptions = {
  readonly bucket: string;
  readonly key: string;
  /** 0 replaces the object, n keeps its first n bytes, `'end'` keeps all of it (a missing object is begun). */
  readonly offset: number | 'end';
  readonly ifExists: 'replace' | 'refuse';
  /** Bytes the client announced, a hint for the part size. */
  readonly announcedBytes?: number | undefined;
  /** Of the new object; those of an object that it replaces or continues are not kept. */
  readonly attributes?: ObjectAttributes;
  /** Who may continue the upload if it breaks; where absent, nothing of a broken upload is kept. */
  readonly resumePolicy?: ResumePolicy;
  /** The broken upload that this one continues; the offset is then its size. */
  readonly resumable?: ResumableUpload;
  /** Of an upload that may be continued if it breaks; released when the upload is over. */
  readonly claim?: UploadClaim;
  readonly signal: AbortSignal;
};

/**
 * Opens an upload.
 * @throws FilesystemError `exists` where the name is taken and must not be replaced, `invalid-offset` beyond the end, or
 * what S3 answered. An upload into a new name, or one that replaces, costs no request before its first part.
 */
export async function openS3Upload(storage: S3Storage, options: S3UploadOptions): Promise<Upload> {
  if (options.resumable) {
    await liveUploadsOf(storage).takeOver(options.resumable.uploadId);
    return new S3Upload(storage, options, undefined);
  }
  if (options.ifExists === 'refuse' && (await findExistingPrefix(storage, { ...options, offset: 'end' }))) {
    throw new FilesystemError('exists', 'the name is taken');
  }
  const kept = await findExistingPrefix(storage, options);
  const upload = new S3Upload(storage, options, kept);
  if (kept) await upload.begin(kept);
  return upload;
}

/** How long parts in flight may still arrive after the client is gone, so that it need not send them again. */
const arrivalMs = 10_000;
/** How long a client waits at most for the end of its broken upload to be noted in S3. */
const keepMs = 3_000;

class S3Upload implements Upload {
  readonly keptBytes: number;
  readonly #storage: S3Storage;
  readonly #options: S3UploadOptions;
  readonly #kept: ExistingPrefix | undefined;
  readonly #mark = randomUUID();
  readonly #memory: UploadMemory;
  readonly #sender: PartUploader;
  /** Aborted by the first failure, or when the transfer is; its reason is what the upload failed of. */
  readonly #ended = new AbortController();
  #part = new Part();
  #sizeBytes: number;
  /** A write that waits for memory or for parts in flight. */
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #unregister: (() => void) | undefined;
  #isClosed = false;

  constructor(storage: S3Storage, options: S3UploadOptions, kept: ExistingPrefix | undefined) {
    const { bucket, key, resumable: interrupted, resumePolicy: resumption, signal } = options;
    this.#storage = storage;
    this.#options = options;
    this.#kept = kept;
    this.#sizeBytes = interrupted?.sizeBytes ?? 0;
    this.keptBytes = interrupted?.sizeBytes ?? kept?.sizeBytes ?? 0;
    this.#sender = new PartUploader({
      open: (requestSignal) => this.#openMultipart(requestSignal),
      firstPartNumber: (interrupted?.parts.length ?? 0) + 1,
      ownerMark: () =>
        resumption && this.#mayBeKept ? ownerTagPart(resumption.owner, bucket, key) : undefined,
      onFailure: (error) => this.#fail(error),
    });
    this.#memory = storage.memory.openUpload(this.#claimBytes);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
    // It exists, so it is completed or kept even if nothing more comes.
    if (interrupted) this.#sender.open().catch((error: unknown) => this.#fail(error));
  }

  /** Puts the bytes to keep in front: S3 copies them while the client's bytes come in, or a short head is read back. */
  async begin(kept: ExistingPrefix): Promise<void> {
    try {
      if (isCopyable(this.#storage, kept)) {
        for (const range of copyRanges(kept)) {
          this.#sender.copy(range);
          await this.#sender.room();
        }
        this.#sizeBytes = kept.sizeBytes;
        // Whatever forbids the upload is told before the client sends anything.
        await this.#sender.open();
      } else {
        const source = { ...this.#options, signal: this.#ended.signal };
        await this.write(await downloadPrefix(this.#storage, source, kept));
      }
      this.#throwIfFailed();
    } catch (error) {
      this.#closing = this.#discard(error);
      await this.#closing;
      throw error;
    }
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#closing !== undefined || this.#ended.signal.aborted) return this.#rejected();
    const pieces = [...inChunks(bytes)];
    const taken = this.#writing ? 0 : pieces.findIndex((piece) => this.#sender.isFull || !this.#take(piece));
    if (taken === -1 && !this.#sender.isFull) return undefined;
    const writing = this.#writeSlowly(taken === -1 ? [] : pieces.slice(taken), this.#writing);
    const settled = writing
      .catch(() => undefined)
      .finally(() => {
        if (this.#writing === settled) this.#writing = undefined;
      });
    this.#writing = settled;
    return writing;
  }

  async commit(): Promise<void> {
    if (this.#closing) throw new FilesystemError('unavailable', 'the upload is over');
    const publishing = this.#publish();
    this.#closing = publishing.then(
      () => this.#close(),
      (error: unknown) => {
        this.#report(error);
        return this.#discard(error);
      },
    );
    await this.#closing;
    await publishing;
  }

  async abort(reason: unknown): Promise<void> {
    this.#fail(reason);
    if (this.#closing === undefined) {
      this.#report(this.#ended.signal.reason);
      this.#closing = this.#discard(reason);
    }
    await this.#closing;
  }

  async #publish(): Promise<void> {
    await this.#writing;
    this.#throwIfFailed();
    if (!this.#sender.multipart) {
      await this.#putObject();
      return;
    }
    if (this.#part.sizeBytes > 0) this.#sendPart();
    await this.#sender.settled();
    this.#throwIfFailed();
    const multipart = await this.#sender.multipart;
    const mark = this.#options.resumable ? undefined : this.#mark;
    await multipart.complete(this.#condition, mark, this.#ended.signal);
  }

  async #putObject(): Promise<void> {
    const { client } = this.#storage;
    const { bucket, key } = this.#options;
    const part = this.#part;
    const pieces = part.finish();
    const publication: Commit = {
      bucket,
      key,
      identity: { mark: this.#mark },
      condition: this.#condition,
      operation: 'PutObject',
      send: async (conditions, signal) => {
        const answer = await putObject(client, {
          bucket,
          key,
          body: { pieces, sizeBytes: part.sizeBytes },
          attributes: this.#attributes,
          checksum: objectChecksum(client, part),
          conditions,
          signal,
        });
        noteChecksumSupport(client, answer);
      },
    };
    await commitUpload(this.#storage, publication, this.#ended.signal);
  }

  /** Whether the piece could be had at once. */
  #take(piece: Uint8Array): boolean {
    const neededBytes = this.#part.memoryFor(piece);
    if (neededBytes > 0 && !this.#memory.tryReserve(neededBytes)) return false;
    this.#append(piece);
    return true;
  }

  #append(piece: Uint8Array): void {
    this.#part.append(piece);
    this.#sizeBytes += piece.byteLength;
    if (this.#part.sizeBytes >= partSizeBytes(this.#partSizeOptions)) this.#sendPart();
  }

  async #writeSlowly(pieces: readonly Uint8Array[], before: Promise<void> | undefined): Promise<void> {
    await before;
    for (const piece of pieces) {
      await this.#sender.room();
      this.#throwIfFailed();
      if (this.#take(piece)) continue;
      // Memory is short: what is large enough to be a part goes now, and its memory comes back the sooner.
      if (this.#part.sizeBytes >= minPartBytesAt(this.#partSizeOptions)) this.#sendPart();
      await this.#memory.reserve(this.#part.memoryFor(piece), this.#ended.signal);
      this.#append(piece);
    }
    await this.#sender.room();
    this.#throwIfFailed();
  }

  #sendPart(): void {
    const part = this.#part;
    this.#part = new Part();
    this.#sender.send(part, this.#memory.send(this.#claimBytes));
  }

  async #openMultipart(signal: AbortSignal): Promise<MultipartUpload> {
    const { bucket, key, resumable: interrupted } = this.#options;
    const integrity = this.#kept && isCopyable(this.#storage, this.#kept) ? 'parts' : 'whole';
    const target = { bucket, key, attributes: this.#attributes, integrity } as const;
    const multipart = interrupted
      ? MultipartUpload.adopt(this.#storage, target, interrupted)
      : await MultipartUpload.create(this.#storage, target, signal);
    if (!this.#isClosed) {
      const live = liveUploadsOf(this.#storage);
      this.#unregister = live.register(multipart.uploadId, (reason) => this.abort(reason));
    }
    // Before the first new part: mixed with parts of then, those of now would make up a file that never was.
    const stale = interrupted ? [...interrupted.staleParts, interruptedMark.partNumber] : [];
    await forEachConcurrent(stale, maxPartsInFlight, (number) => multipart.voidPart(number, signal), signal);
    return multipart;
  }

  get #condition(): Condition {
    if (this.#kept) return { require: 'version', etag: this.#kept.etag };
    return { require: this.#options.ifExists === 'refuse' ? 'absence' : 'nothing' };
  }

  get #partSizeOptions(): PartSizeOptions {
    const announcedBytesLeft = Math.max(0, (this.#options.announcedBytes ?? 0) - this.#sizeBytes);
    const { budgetBytes } = this.#storage.memory;
    const partBytes = partBytesOf(this.#storage);
    return { partNumber: this.#sender.nextPartNumber, budgetBytes, announcedBytesLeft, partBytes };
  }

  /** What the next part must be able to hold: the least it is sent with, and what may come in one piece beyond that. */
  get #claimBytes(): number {
    return minPartBytesAt(this.#partSizeOptions) + 2 * maxChunkBytes;
  }

  get #attributes(): ObjectAttributes {
    const { attributes } = this.#options;
    return { ...attributes, Metadata: { ...attributes?.Metadata, [uploadIdMetadata]: this.#mark } };
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#options.signal.reason);
  };

  #fail(error: unknown): void {
    this.#ended.abort(error);
    if (!this.#isWorthKeeping) this.#sender.cancel(this.#ended.signal.reason);
  }

  #throwIfFailed(): void {
    this.#ended.signal.throwIfAborted();
  }

  async #rejected(): Promise<void> {
    this.#throwIfFailed();
    await Promise.reject(new FilesystemError('unavailable', 'the upload is over'));
  }

  /**
   * Bytes of an older object, and the demand that there be none, belong to this attempt alone; and nobody may go on with
   * a version when a newer one was begun.
   */
  get #mayBeKept(): boolean {
    const { resumePolicy: resumption, ifExists, claim } = this.#options;
    if (claim?.isSuperseded === true) return false;
    return resumption !== undefined && resumption.windowMs > 0 && ifExists === 'replace' && !this.#kept;
  }

  /** Whether the client could go on where this upload broke: not where S3 has refused it. */
  get #isWorthKeeping(): boolean {
    const failure: unknown = this.#ended.signal.reason;
    const isRefused =
      failure instanceof FilesystemError && !['unavailable', 'unconfirmed'].includes(failure.kind);
    return this.#mayBeKept && this.#sender.multipart !== undefined && !isRefused;
  }

  /** Discards it, or at least begins to: where S3 is slow the client need not wait for that. Never rejects. */
  async #discard(reason: unknown): Promise<void> {
    await this.#storage.client.settling.settle(this.#discardWhole(reason));
  }

  /** Nothing is in flight afterwards, and nothing is left in S3 but what may be continued. Never rejects. */
  async #discardWhole(reason: unknown): Promise<void> {
    this.#fail(reason);
    await this.#writing;
    const { deadline } = this.#storage.client.settling;
    const cancel = (): void => this.#sender.cancel(this.#ended.signal.reason);
    const timer = setTimeout(cancel, arrivalMs);
    deadline.addEventListener('abort', cancel, { once: true });
    if (deadline.aborted) cancel();
    await this.#sender.settled();
    deadline.removeEventListener('abort', cancel);
    clearTimeout(timer);
    this.#close();
    const multipart = await this.#sender.multipart?.catch(() => undefined);
    if (!multipart) return;
    if (this.#isWorthKeeping && multipart.isResumable) await this.#keep(multipart);
    else await multipart.abort();
  }

  /**
   * Leaves the upload to be continued, unless a newer one was begun in another task. Each side writes first and looks
   * then, so that of two that meet here at least one sees what the other wrote. Without the mark, should it fail, the
   * upload is continued all the same; only its removal is left to the sweep.
   */
  async #keep(multipart: MultipartUpload): Promise<void> {
    const signal = AbortSignal.timeout(keepMs);
    const { bucket, key } = this.#options;
    const { uploadId } = multipart;
    await multipart.uploadTagPart(interruptedMark, signal).catch(() => undefined);
    await removeIfSuperseded(this.#storage, bucket, { key, uploadId }, signal);
  }

  /** Whoever opened the upload reports what fails until then; this is for what fails later. */
  #report(failure: unknown): void {
    if (!(failure instanceof FilesystemError)) return;
    const event = storageErrorEvent(failure.cause, 'upload', this.#options.bucket);
    if (event) this.#storage.observe(event);
  }

  #close(): void {
    this.#isClosed = true;
    this.#unregister?.();
    this.#options.claim?.release();
    this.#memory.close();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }
}
