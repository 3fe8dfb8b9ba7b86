/**
 * A file on its way from a data connection to S3. A file that fits into one part is a single PutObject at the commit; a longer one
 * becomes a multipart upload while it arrives. In both cases S3 shows nothing of it before the commit, and the previous object
 * remains until then. docs/lifecycle.md lists every way it can end.
 */
import { randomUUID } from 'node:crypto';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import type { ReceiveBuffer, StoredObject, Upload } from '../../filesystem/filesystem.ts';
import type { ActiveUpload, UploadClaim } from '../active-uploads.ts';
import type { ObjectAttributes } from '../client/object-headers.ts';
import { inCurrentCall } from '../client/storage-call.ts';
import { partBufferBytes } from '../part-buffers.ts';
import type { S3Storage } from '../s3-storage.ts';
import type { UploadClient } from '../silent-uploads.ts';
import type { UploadMemory } from '../transfer-memory.ts';
import { uploadIdMetadata, type Condition } from './commit.ts';
import {
  downloadPrefix,
  findExistingPrefix,
  isCopyable,
  prefixRanges,
  type ExistingPrefix,
} from './existing-prefix.ts';
import {
  minPartBytes,
  minPartBytesAt,
  partBytesOf,
  partSizeBytes,
  type PartSizeOptions,
} from './part-size.ts';
import { PartUploader } from './part-uploader.ts';
import { LentBuffer } from './lent-buffer.ts';
import { inChunks, Part } from './part.ts';
import { commitSinglePut } from './single-put.ts';
import { UploadTakenOver, type ResumableUpload, type ResumePolicy } from './resumable-upload.ts';

export type S3UploadOptions = {
  readonly bucket: string;
  readonly key: string;
  /** 0 replaces the object, n keeps its first n bytes, `'end'` appends to it (or creates it). */
  readonly offset: number | 'end';
  readonly ifExists: 'replace' | 'refuse';
  /** The length that the client announced, a hint for the part size. */
  readonly announcedBytes?: number | undefined;
  /** Of the new object; those of an object that it replaces or appends to are not kept. */
  readonly attributes?: ObjectAttributes | undefined;
  /** Must resolve before anything is committed. If it rejects, the upload is aborted and the commit rejects with its reason. */
  readonly precondition?: Promise<void> | undefined;
  /** Who may resume the upload if it breaks; nothing of a broken upload is kept where absent. */
  readonly resumePolicy?: ResumePolicy | undefined;
  /** The broken upload that this one resumes; the offset is then its size. */
  readonly resumable?: ResumableUpload | undefined;
  /** Of an upload that may be resumed if it breaks; released when the upload is over. */
  readonly claim?: UploadClaim | undefined;
  /** Whose share of the transfer memory it uses. */
  readonly user?: string | undefined;
  readonly signal: AbortSignal;
};

/**
 * Opens an upload. One that begins with no bytes of an existing object costs no request before its first part; with `refuse` the
 * commit alone decides whether the key is free.
 * @throws FilesystemError `invalid-offset` beyond the end, or what S3 responded.
 */
export async function openS3Upload(storage: S3Storage, options: S3UploadOptions): Promise<Upload> {
  if (options.resumable) {
    const { uploadId } = options.resumable;
    // Its client may have sent bytes again since the upload was found.
    if (!(await storage.activeUploads.isAbandoned(uploadId, options.signal))) {
      throw new FilesystemError('invalid-offset', 'another session is writing the upload');
    }
    await storage.activeUploads.takeOver(uploadId, new UploadTakenOver());
    return new S3Upload(storage, options, undefined);
  }
  const prefix = await findExistingPrefix(storage, options);
  const upload = new S3Upload(storage, options, prefix);
  if (prefix) await upload.begin(prefix);
  return upload;
}

/**
 * As the contract's `Upload` it receives bytes. The transfer memory sees it as an `UploadClient`, and takes memory back from clients
 * that have fallen silent; other sessions of its user, which may resume it, see it as an `ActiveUpload`.
 */
class S3Upload implements Upload, UploadClient, ActiveUpload {
  readonly keptBytes: number;
  stored: StoredObject | undefined;
  readonly #storage: S3Storage;
  readonly #options: S3UploadOptions;
  readonly #prefix: ExistingPrefix | undefined;
  readonly #inCall = inCurrentCall();
  readonly #id = randomUUID();
  readonly #attributes: ObjectAttributes;
  readonly #memory: UploadMemory;
  readonly #uploader: PartUploader;
  /** `open` accepts bytes; `prepared` accepts no more, and is sending the last ones or has; `committing` and `discarding` last until `#end` resolves; `closed` holds nothing any more. */
  #state: 'open' | 'prepared' | 'committing' | 'discarding' | 'closed' = 'open';
  #preparing: Promise<void> | undefined;
  #end: Promise<void> | undefined;
  #part = new Part();
  /** The buffer that is lent, and will be the next bytes of the part. Its memory is reserved. */
  #lent: LentBuffer | undefined;
  /** Bytes of the upload without those in the lent buffer. */
  #sizeBytes: number;
  #lastReceivedAtMs = performance.now();
  /** A write that waits for memory or for parts in flight. */
  #writing: Promise<void> | undefined;
  /** Chunks of such writes that are not appended yet. */
  #queuedChunks = 0;
  #unregister: (() => void) | undefined;

  constructor(storage: S3Storage, options: S3UploadOptions, prefix: ExistingPrefix | undefined) {
    const { bucket, key, resumable, resumePolicy, claim, user = '', signal } = options;
    this.#storage = storage;
    this.#options = options;
    this.#prefix = prefix;
    const { attributes } = options;
    this.#attributes = { ...attributes, Metadata: { ...attributes?.Metadata, [uploadIdMetadata]: this.#id } };
    this.#sizeBytes = resumable?.sizeBytes ?? 0;
    this.keptBytes = resumable?.sizeBytes ?? prefix?.sizeBytes ?? 0;
    // Bytes of an older object, and the condition that there be none, belong to this attempt alone.
    const mayBeResumed =
      resumePolicy !== undefined && resumePolicy.windowMs > 0 && options.ifExists === 'replace' && !prefix;
    this.#uploader = new PartUploader(storage, {
      target: {
        bucket,
        key,
        attributes: this.#attributes,
        integrity: prefix && isCopyable(storage, prefix) ? 'parts' : 'whole',
      },
      resumable,
      resumeBy: mayBeResumed ? { ...resumePolicy, claim } : undefined,
    });
    this.#memory = storage.memory.openUpload({ user, claimBytes: this.#claimBytes, client: this });
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#uploader.fail(signal.reason);
    if (resumable) {
      this.#register(resumable.uploadId);
      // The upload exists in S3, so it is completed or left to be resumed even if no byte follows.
      this.#uploader.open().catch((error: unknown) => this.#uploader.fail(error));
    }
  }

  readonly #onAbort = (): void => this.#uploader.fail(this.#options.signal.reason);

  get receivedBytes(): number {
    return this.#sizeBytes + (this.#lent?.usedBytes ?? 0);
  }

  get lastReceivedAtMs(): number {
    return this.#lent?.lastReceivedAtMs ?? this.#lastReceivedAtMs;
  }

  get isAwaited(): boolean {
    return this.#state === 'open' && !this.#writing && !this.#uploader.hasFailed && !this.#uploader.isFull;
  }

  get activity(): ActiveUpload['activity'] {
    if (this.#state === 'discarding' || this.#state === 'closed' || this.#uploader.hasFailed) return 'ending';
    return this.isAwaited ? 'receiving' : 'working';
  }

  get failed(): AbortSignal {
    return this.#uploader.signal;
  }

  /** Makes the existing bytes the beginning of the upload: S3 copies them while the client's bytes arrive, or a short prefix is downloaded. */
  async begin(prefix: ExistingPrefix): Promise<void> {
    try {
      if (isCopyable(this.#storage, prefix)) {
        for (const range of prefixRanges(prefix)) {
          this.#openMultipart();
          this.#uploader.copy(range);
          await this.#uploader.room();
        }
        this.#sizeBytes = prefix.sizeBytes;
        // So that a refusal is thrown before the client sends anything.
        await this.#uploader.open();
      } else {
        const source = { ...this.#options, signal: this.#uploader.signal };
        await this.write(await downloadPrefix(this.#storage, source, prefix));
      }
      this.#uploader.throwIfFailed();
    } catch (error) {
      this.#end = this.#discard(error);
      await this.#end;
      throw error;
    }
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    this.#lastReceivedAtMs = performance.now();
    if (this.#state !== 'open' || this.#uploader.hasFailed) return this.#rejected();
    const chunks = [...inChunks(bytes)];
    const taken = this.#writing
      ? 0
      : chunks.findIndex((chunk) => this.#uploader.isFull || !this.#tryAppend(chunk));
    if (taken === -1 && !this.#uploader.isFull) return undefined;
    return this.#wait(taken === -1 ? [] : chunks.slice(taken));
  }

  takeBuffer(): ReceiveBuffer | undefined {
    if (this.#state !== 'open' || this.#uploader.hasFailed || this.#queuedChunks > 0) return undefined;
    // A buffer must be a small fraction of a part, or the part would become much larger than it should.
    if (partSizeBytes(this.#partSizeOptions) < minPartBytes) return undefined;
    const bytes = this.#memory.tryTakeBuffer();
    this.#lent = bytes && new LentBuffer(bytes, this.#lastReceivedAtMs);
    return this.#lent;
  }

  writeBuffer(): Promise<void> | undefined {
    const lent = this.#lent;
    this.#lent = undefined;
    if (lent) this.#lastReceivedAtMs = lent.lastReceivedAtMs;
    if (this.#state !== 'open' || this.#uploader.hasFailed || !lent) return this.#rejected();
    if (lent.usedBytes === 0) {
      // As memory that holds nothing it would keep the part from ever being large enough to be sent.
      this.#memory.release(lent.bytes.length);
      this.#storage.memory.giveBackBuffer(lent.bytes);
      return undefined;
    }
    this.#releaseUnused(this.#part.appendBuffer(lent.bytes, lent.usedBytes));
    this.#appended(lent.usedBytes);
    return this.#uploader.isFull ? this.#wait([]) : undefined;
  }

  #wait(chunks: readonly Uint8Array[]): Promise<void> {
    this.#queuedChunks += chunks.length;
    const writing = this.#writeWaiting(chunks, this.#writing);
    const settled = writing
      .catch(() => undefined)
      .finally(() => {
        if (this.#writing === settled) this.#writing = undefined;
      });
    this.#writing = settled;
    return writing;
  }

  async prepare(): Promise<void> {
    if (!this.#isRunning) throw new FilesystemError('unavailable', 'the upload is over');
    this.#state = 'prepared';
    this.#preparing ??= this.#prepare();
    await this.#preparing;
  }

  async commit(): Promise<void> {
    if (!this.#isRunning) throw new FilesystemError('unavailable', 'the upload is over');
    this.#state = 'committing';
    const committing = this.#inCall(() => this.#commit());
    this.#end = committing.then(
      () => this.#close(),
      (error: unknown) => {
        this.#report(error);
        return this.#discard(error);
      },
    );
    await this.#end;
    await committing;
    this.#storage.directoryCache.add(this.#options.bucket, this.#options.key);
  }

  async abort(reason: unknown): Promise<void> {
    this.#uploader.fail(reason);
    if (this.#isRunning) {
      this.#report(this.#uploader.signal.reason);
      this.#end = this.#discard(reason);
    }
    await this.#end;
  }

  interrupt(reason: unknown): Promise<void> {
    return this.abort(reason);
  }

  sendEarly(): void {
    const options = this.#partSizeOptions;
    const next = { ...options, partNumber: options.partNumber + 1 };
    // A lent buffer keeps its memory. That is safe if the next part needs no more than this one.
    if (this.#lent && minPartBytesAt(next) > minPartBytesAt(options)) return;
    if (this.#part.sizeBytes >= minPartBytesAt(options)) this.#sendPart();
  }

  endSilent(silentMs: number): void {
    const seconds = Math.round(silentMs / 1000);
    const message = `next to no bytes for ${seconds} s while other uploads waited for memory`;
    this.#uploader.fail(new FilesystemError('client-silent', message));
  }

  /**
   * Sends the last part of a multipart upload and waits until S3 has confirmed all of them. A single PutObject publishes with the
   * bytes, so nothing of it can be sent before the commit.
   */
  async #prepare(): Promise<void> {
    const { signal } = this.#uploader;
    try {
      const { precondition } = this.#options;
      if (precondition) await untilAborted(precondition, signal);
      await this.#writing;
      this.#uploader.throwIfFailed();
      if (!this.#uploader.isOpen) return;
      if (this.#part.sizeBytes > 0) this.#sendPart();
      // Parts in flight may be worth waiting for after a failure, so that they can be resumed, but only the discard does that.
      await untilAborted(this.#uploader.settled(), signal);
      this.#uploader.throwIfFailed();
    } catch (error) {
      this.#uploader.fail(error);
      throw error;
    }
  }

  async #commit(): Promise<void> {
    this.#preparing ??= this.#prepare();
    await this.#preparing;
    this.#uploader.throwIfFailed();
    if (!this.#uploader.isOpen) {
      const { bucket, key } = this.#options;
      const [part, id, attributes, condition] = [this.#part, this.#id, this.#attributes, this.#condition];
      const put = { bucket, key, part, id, attributes, condition };
      this.stored = await commitSinglePut(this.#storage, put, this.#uploader.signal);
      return;
    }
    const multipart = await this.#uploader.open();
    // An upload that an earlier session began has the id of that session.
    const id = this.#options.resumable ? undefined : this.#id;
    this.stored = await multipart.complete(this.#condition, id, this.#uploader.signal);
  }

  /** Appends the chunk if its memory is available now. */
  #tryAppend(chunk: Uint8Array): boolean {
    const neededBytes = this.#part.memoryFor(chunk);
    if (neededBytes > 0 && !this.#memory.tryReserve(neededBytes)) return false;
    this.#append(chunk);
    return true;
  }

  #append(chunk: Uint8Array): void {
    this.#releaseUnused(this.#part.append(chunk));
    this.#appended(chunk.byteLength);
  }

  #releaseUnused(unusedBytes: number): void {
    if (unusedBytes > 0) this.#memory.release(unusedBytes);
  }

  #appended(sizeBytes: number): void {
    this.#sizeBytes += sizeBytes;
    if (this.#part.sizeBytes >= partSizeBytes(this.#partSizeOptions)) this.#sendPart();
  }

  async #writeWaiting(chunks: readonly Uint8Array[], before: Promise<void> | undefined): Promise<void> {
    await before;
    for (const chunk of chunks) {
      await this.#uploader.room();
      this.#uploader.throwIfFailed();
      if (this.#tryAppend(chunk)) {
        this.#queuedChunks -= 1;
        continue;
      }
      // Memory is short: a part that is large enough is sent now, so that its memory is released sooner.
      if (this.#part.sizeBytes >= minPartBytesAt(this.#partSizeOptions)) this.#sendPart();
      await this.#memory.reserve(this.#part.memoryFor(chunk), this.#uploader.signal);
      this.#append(chunk);
      this.#queuedChunks -= 1;
    }
    await this.#uploader.room();
    this.#uploader.throwIfFailed();
  }

  #sendPart(): void {
    const part = this.#part;
    this.#part = new Part();
    this.#openMultipart();
    const release = this.#memory.send(this.#claimBytes, this.#lent?.bytes.length);
    this.#uploader.send(part, () => {
      release();
      this.#free(part);
    });
  }

  /** Call it after the memory of the part was released. */
  #free(part: Part): void {
    part.free((buffer) => this.#storage.memory.giveBackBuffer(buffer));
  }

  /** With the first part: begins the multipart upload, and registers it as soon as its id is known. */
  #openMultipart(): void {
    if (this.#uploader.isOpen) return;
    this.#uploader.open().then(
      ({ uploadId }) => this.#register(uploadId),
      () => undefined,
    );
  }

  #register(uploadId: string): void {
    if (this.#state === 'closed') return;
    this.#storage.keptUploads.delete(uploadId);
    this.#unregister = this.#storage.activeUploads.register(uploadId, this);
  }

  /** Neither committed nor aborted yet. */
  get #isRunning(): boolean {
    return this.#state === 'open' || this.#state === 'prepared';
  }

  get #condition(): Condition {
    if (this.#prefix) return { require: 'version', etag: this.#prefix.etag };
    return { require: this.#options.ifExists === 'refuse' ? 'absence' : 'nothing' };
  }

  get #partSizeOptions(): PartSizeOptions {
    const announcedBytesLeft = Math.max(0, (this.#options.announcedBytes ?? 0) - this.#sizeBytes);
    const { budgetBytes } = this.#storage.memory;
    const partBytes = partBytesOf(this.#storage);
    return { partNumber: this.#uploader.nextPartNumber, budgetBytes, announcedBytesLeft, partBytes };
  }

  /** What the next part must be able to hold: the minimum it is sent with, and what one write may add to that. */
  get #claimBytes(): number {
    return minPartBytesAt(this.#partSizeOptions) + 2 * partBufferBytes;
  }

  async #rejected(): Promise<void> {
    this.#uploader.throwIfFailed();
    await Promise.reject(new FilesystemError('unavailable', 'the upload accepts no more bytes'));
  }

  /** Discards the upload, or at least starts to: the client does not wait for a slow S3. Never rejects. */
  async #discard(reason: unknown): Promise<void> {
    this.#state = 'discarding';
    await this.#storage.client.settling.settle(this.#discardCompletely(reason));
  }

  /** Afterwards nothing is in flight, and S3 holds nothing except what may be resumed. Never rejects. */
  async #discardCompletely(reason: unknown): Promise<void> {
    this.#uploader.fail(reason);
    await this.#writing;
    // Its bytes are never sent. Others may be waiting for their memory, and parts in flight can take a while.
    this.#part = new Part();
    this.#memory.close();
    await this.#uploader.settledAfterFailure();
    this.#release();
    await this.#uploader.leaveOrAbort();
    this.#unregister?.();
  }

  /** For failures after the upload was opened; until then the caller reports them. */
  #report(failure: unknown): void {
    if (!(failure instanceof FilesystemError)) return;
    this.#inCall(() => this.#storage.reportError(failure, 'upload', { bucket: this.#options.bucket }));
  }

  #close(): void {
    this.#release();
    this.#unregister?.();
  }

  #release(): void {
    this.#state = 'closed';
    this.#options.claim?.release();
    this.#memory.close();
    this.#free(this.#part);
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }
}
