/**
 * A file on its way from a data connection into S3. What fits into one part is a single PutObject at the commit; more
 * becomes a multipart upload while it comes in. Either way S3 shows nothing of it before the commit, and what was there
 * before stays until then. See docs/lifecycle.md for every way it can end.
 */
import { randomUUID } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { FilesystemError } from '../filesystem/filesystem-error.ts';
import type { Upload } from '../filesystem/filesystem.ts';
import { learnFromAnswer, objectChecksum } from './checksum-support.ts';
import { copiedRanges, findKeptBytes, isCopyable, readBack, type KeptBytes } from './kept-bytes.ts';
import { MultipartUpload } from './multipart-upload.ts';
import type { ObjectAttributes } from './object-attributes.ts';
import { bodyOf } from './part-body.ts';
import { earliestPartBytes, mostParts, partSizeBytes, type PartSizeOptions } from './part-size.ts';
import { inPieces, largestPieceBytes, Part } from './part.ts';
import { PartsInFlight } from './parts-in-flight.ts';
import { publish, uploadMarkName, type Condition } from './publication.ts';
import { storageErrorEvent } from './s3-error.ts';
import type { S3Storage } from './storage.ts';
import type { UploadMemory } from './transfer-memory.ts';

export type S3UploadOptions = {
  readonly bucket: string;
  readonly key: string;
  /** 0 replaces the object, n keeps its first n bytes, `'end'` keeps all of it (a missing object is begun). */
  readonly offset: number | 'end';
  readonly ifExists: 'replace' | 'refuse';
  /** Bytes the client announced, a hint for the part size. */
  readonly announcedBytes?: number;
  /** Of the new object; those of an object that it replaces or continues are not kept. */
  readonly attributes?: ObjectAttributes;
  readonly signal: AbortSignal;
};

/**
 * Opens an upload.
 * @throws FilesystemError `exists` where the name is taken and must not be replaced, `invalid-offset` beyond the end, or
 * what S3 answered. An upload into a new name, or one that replaces, costs no request before its first part.
 */
export async function openS3Upload(storage: S3Storage, options: S3UploadOptions): Promise<Upload> {
  if (options.ifExists === 'refuse' && (await findKeptBytes(storage, { ...options, offset: 'end' }))) {
    throw new FilesystemError('exists', 'the name is taken');
  }
  const kept = await findKeptBytes(storage, options);
  const upload = new S3Upload(storage, options, kept);
  if (kept) await upload.begin(kept);
  return upload;
}

class S3Upload implements Upload {
  readonly #storage: S3Storage;
  readonly #options: S3UploadOptions;
  readonly #condition: Condition;
  readonly #mark = randomUUID();
  readonly #memory: UploadMemory;
  readonly #inFlight = new PartsInFlight((error) => this.#fail(error));
  /** Aborted by the first failure, or when the transfer is; its reason is what the upload failed of. */
  readonly #ended = new AbortController();
  #part = new Part();
  #partNumber = 1;
  #sizeBytes = 0;
  #multipart: Promise<MultipartUpload> | undefined;
  #integrity: 'whole' | 'parts' = 'whole';
  /** A write that waits for memory or for parts in flight. */
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(storage: S3Storage, options: S3UploadOptions, kept: KeptBytes | undefined) {
    this.#storage = storage;
    this.#options = options;
    this.#condition = kept
      ? { require: 'version', etag: kept.etag }
      : { require: options.ifExists === 'refuse' ? 'absence' : 'nothing' };
    this.#memory = storage.memory.openUpload(this.#claimBytes);
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  /** Puts the bytes to keep in front: S3 copies them while the client's bytes come in, or a short head is read back. */
  async begin(kept: KeptBytes): Promise<void> {
    try {
      if (isCopyable(kept)) {
        this.#integrity = 'parts';
        for (const range of copiedRanges(kept)) {
          const partNumber = this.#takePartNumber();
          this.#send(async (multipart, signal) => await multipart.copyPart(partNumber, range, signal));
          await this.#inFlight.room();
        }
        this.#sizeBytes = kept.sizeBytes;
        // A name that cannot be copied is told before the client sends anything.
        await this.#multipartUpload();
      } else {
        await this.write(
          await readBack(this.#storage, { ...this.#options, signal: this.#ended.signal }, kept),
        );
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
    const pieces = [...inPieces(bytes)];
    const taken = this.#writing
      ? 0
      : pieces.findIndex((piece) => this.#inFlight.isFull || !this.#take(piece));
    if (taken === -1 && !this.#inFlight.isFull) return undefined;
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
    if (!this.#multipart) {
      await this.#putObject();
      return;
    }
    if (this.#part.sizeBytes > 0) this.#sendPart();
    await this.#inFlight.settled();
    this.#throwIfFailed();
    const multipart = await this.#multipart;
    await multipart.complete(this.#condition, this.#mark, this.#ended.signal);
  }

  async #putObject(): Promise<void> {
    const { client } = this.#storage;
    const { bucket, key } = this.#options;
    const part = this.#part;
    const pieces = part.finish();
    const send = async (condition: { readonly IfNoneMatch?: string; readonly IfMatch?: string }) => {
      const answer = await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          ...this.#attributes,
          Body: bodyOf(pieces, part.sizeBytes),
          ContentLength: part.sizeBytes,
          ...objectChecksum(client, part),
          ...condition,
        }),
      );
      learnFromAnswer(client, answer);
    };
    const publication = { bucket, key, mark: this.#mark, condition: this.#condition, send } as const;
    await publish(this.#storage, { ...publication, operation: 'PutObject' }, this.#ended.signal);
  }

  /** Whether the piece could be had at once. */
  #take(piece: Uint8Array): boolean {
    const neededBytes = this.#part.memoryFor(piece);
    if (neededBytes > 0 && !this.#memory.tryHold(neededBytes)) return false;
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
      await this.#inFlight.room();
      this.#throwIfFailed();
      if (this.#take(piece)) continue;
      // Memory is short: what is large enough to be a part goes now, and its memory comes back the sooner.
      if (this.#part.sizeBytes >= earliestPartBytes(this.#partSizeOptions)) this.#sendPart();
      await this.#memory.hold(this.#part.memoryFor(piece), this.#ended.signal);
      this.#append(piece);
    }
    await this.#inFlight.room();
    this.#throwIfFailed();
  }

  #sendPart(): void {
    const part = this.#part;
    const partNumber = this.#takePartNumber();
    this.#part = new Part();
    this.#send(
      async (multipart, signal) => await multipart.sendPart(partNumber, part, signal),
      this.#memory.send(this.#claimBytes),
    );
  }

  #send(
    send: (multipart: MultipartUpload, signal: AbortSignal) => Promise<void>,
    release: () => void = () => undefined,
  ): void {
    this.#inFlight.start(async () => {
      await send(await this.#multipartUpload(), this.#ended.signal);
    }, release);
  }

  #multipartUpload(): Promise<MultipartUpload> {
    const { bucket, key } = this.#options;
    this.#multipart ??= MultipartUpload.create(
      this.#storage,
      { bucket, key, attributes: this.#attributes, integrity: this.#integrity },
      this.#ended.signal,
    );
    return this.#multipart;
  }

  #takePartNumber(): number {
    if (this.#partNumber > mostParts) {
      this.#fail(new FilesystemError('storage-full', `more than ${mostParts} parts`));
    }
    return this.#partNumber++;
  }

  get #partSizeOptions(): PartSizeOptions {
    const announcedBytesLeft = Math.max(0, (this.#options.announcedBytes ?? 0) - this.#sizeBytes);
    const partNumber = Math.min(this.#partNumber, mostParts);
    return { partNumber, budgetBytes: this.#storage.memory.budgetBytes, announcedBytesLeft };
  }

  /** What the next part must be able to hold: the least it is sent with, and what may come in one piece beyond that. */
  get #claimBytes(): number {
    return earliestPartBytes(this.#partSizeOptions) + 2 * largestPieceBytes;
  }

  get #attributes(): ObjectAttributes {
    const { attributes } = this.#options;
    return { ...attributes, Metadata: { ...attributes?.Metadata, [uploadMarkName]: this.#mark } };
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#options.signal.reason);
  };

  #fail(error: unknown): void {
    this.#ended.abort(error);
  }

  #throwIfFailed(): void {
    this.#ended.signal.throwIfAborted();
  }

  async #rejected(): Promise<void> {
    this.#throwIfFailed();
    await Promise.reject(new FilesystemError('unavailable', 'the upload is over'));
  }

  /** Nothing is in flight afterwards, and nothing is left in S3. Never rejects. */
  async #discard(reason: unknown): Promise<void> {
    this.#fail(reason);
    await this.#writing;
    await this.#inFlight.settled();
    this.#close();
    const multipart = await this.#multipart?.catch(() => undefined);
    await multipart?.abort();
  }

  /** Whoever opened the upload reports what fails until then; this is for what fails later. */
  #report(failure: unknown): void {
    if (!(failure instanceof FilesystemError)) return;
    const event = storageErrorEvent(failure.cause, 'upload', this.#options.bucket);
    if (event) this.#storage.observe(event);
  }

  #close(): void {
    this.#memory.close();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }
}
