/**
 * The parts of one upload in S3: begins or adopts the multipart upload, numbers the parts, keeps a bounded number of them in
 * flight, and in the end completes the upload, leaves it to be resumed, or aborts it. The first failure ends it all.
 */
import { addAbortListener } from 'node:events';
import { FilesystemError, type FilesystemErrorKind } from '../../filesystem/filesystem-error.ts';
import { forEachConcurrent } from '../../util/for-each-concurrent.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import type { UploadClaim } from '../active-uploads.ts';
import { inCurrentCall, StorageCall } from '../client/storage-call.ts';
import type { S3Storage } from '../s3-storage.ts';
import { type CopiedRange, MultipartUpload, type MultipartTarget } from './multipart-upload.ts';
import { gatewayTagPart, maxDataParts, ownerTagPart, resumableTagPart, type TagPart } from './tag-parts.ts';
import type { Part } from './part.ts';
import { UploadTakenOver, type ResumableUpload } from './resumable-upload.ts';
import { removeIfSuperseded } from './superseded-uploads.ts';

/** Enough for some 300 MB/s at S3's 85 to 90 MB/s per request (Amazon S3, "Performance design patterns"). */
export const maxPartsInFlight = 4;

/** How long parts in flight may still arrive after the client has disconnected, so that it need not send them again. */
const arrivalMs = 10_000;
/** How long a client waits at most until S3 knows that its upload can be resumed. */
const leaveMs = 3_000;

/** Failures after which the client can resume; the others are refusals by S3. */
const resumableKinds: ReadonlySet<FilesystemErrorKind> = new Set([
  'unavailable',
  'unconfirmed',
  'client-silent',
  // After the operator's correction.
  'misconfigured',
]);

export type PartUploaderOptions = {
  readonly target: MultipartTarget;
  /** An upload that broke earlier, to be resumed; a new one is begun where absent. */
  readonly resumable: ResumableUpload | undefined;
  /** Who may resume the upload if it breaks; undefined where it must not be resumed. */
  readonly resumeBy:
    | { readonly owner: string; readonly windowMs: number; readonly claim: UploadClaim | undefined }
    | undefined;
};

export class PartUploader {
  readonly #storage: S3Storage;
  readonly #options: PartUploaderOptions;
  readonly #inCall = inCurrentCall();
  readonly #inFlight = new Set<Promise<void>>();
  /** Aborted by the first failure, which is its reason. */
  readonly #failure = new AbortController();
  /** Ends the requests: with the first failure, or later where parts in flight are worth waiting for. */
  readonly #requests = new AbortController();
  #multipart: Promise<MultipartUpload> | undefined;
  #nextPartNumber: number;

  constructor(storage: S3Storage, options: PartUploaderOptions) {
    this.#storage = storage;
    this.#options = options;
    this.#nextPartNumber = (options.resumable?.parts.length ?? 0) + 1;
  }

  /** The number of the next part; stays at the last one. */
  get nextPartNumber(): number {
    return Math.min(this.#nextPartNumber, maxDataParts);
  }

  /** Whether a multipart upload was begun. */
  get isOpen(): boolean {
    return this.#multipart !== undefined;
  }

  get isFull(): boolean {
    return this.#inFlight.size >= maxPartsInFlight;
  }

  /** Aborts with the upload's first failure as its reason. */
  get signal(): AbortSignal {
    return this.#failure.signal;
  }

  get hasFailed(): boolean {
    return this.#failure.signal.aborted;
  }

  throwIfFailed(): void {
    this.#failure.signal.throwIfAborted();
  }

  /** Fails the upload; only the first failure counts. */
  fail(error: unknown): void {
    this.#failure.abort(error);
    if (!this.#isWorthKeeping) this.#cancelRequests();
  }

  /** `release` is called when S3 has confirmed the part, or the part has failed. */
  send(part: Part, release: () => void): void {
    const partNumber = this.#nextPartNumber++;
    this.#start((multipart, signal) => multipart.uploadPart(partNumber, part, signal), partNumber, release);
  }

  copy(range: CopiedRange): void {
    const partNumber = this.#nextPartNumber++;
    this.#start((multipart, signal) => multipart.copyPart(partNumber, range, signal), partNumber);
  }

  /** Begins or adopts the multipart upload, once. */
  open(): Promise<MultipartUpload> {
    if (this.#multipart) return this.#multipart;
    this.#multipart = this.#inCall(() => this.#beginOrAdopt());
    // An upload without its tag parts can be committed all the same; only the sweep and a resuming client do not find it.
    this.#track(this.#sendTagPart(() => gatewayTagPart));
    this.#track(this.#sendTagPart(() => this.#ownerTagPart));
    return this.#multipart;
  }

  /** Resolves when another part may start. Never rejects. */
  async room(): Promise<void> {
    while (this.isFull) await Promise.race(this.#inFlight);
  }

  /** Resolves when no request is in flight. Never rejects. */
  async settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  /** After a failure: waits for parts in flight that are worth keeping, for a limited time. Never rejects. */
  async settledAfterFailure(): Promise<void> {
    const timer = setTimeout(() => this.#cancelRequests(), arrivalMs);
    const listener = addAbortListener(this.#storage.client.settling.deadline, () => this.#cancelRequests());
    await this.settled();
    listener[Symbol.dispose]();
    clearTimeout(timer);
  }

  /** After a failure, with no request in flight: leaves the upload to be resumed, or aborts it. Never rejects. */
  async leaveOrAbort(): Promise<void> {
    const multipart = await this.#multipart?.catch(() => undefined);
    if (!multipart) return;
    await this.#inCall(() =>
      this.#isWorthKeeping && multipart.isResumable ? this.#leave(multipart) : multipart.abort(),
    );
  }

  async #beginOrAdopt(): Promise<MultipartUpload> {
    const { target, resumable } = this.#options;
    const { signal } = this.#requests;
    if (!resumable) return await MultipartUpload.create(this.#storage, target, signal);
    const multipart = MultipartUpload.adopt(this.#storage, target, resumable);
    // Before the first new part: a mixture of old and new parts could be assembled into a file that never existed.
    const stale = [...resumable.staleParts, resumableTagPart.partNumber];
    await forEachConcurrent(stale, maxPartsInFlight, (number) => multipart.voidPart(number, signal), signal);
    return multipart;
  }

  /**
   * Leaves the upload to be resumed, unless another task has begun a newer one. Each side writes its tag part first and then
   * looks, so that of two that coincide at least one sees the other's. If the tag part fails, the upload can be
   * resumed all the same; only its removal is left to the sweep.
   */
  async #leave(multipart: MultipartUpload): Promise<void> {
    const signal = AbortSignal.timeout(leaveMs);
    const { bucket, key } = this.#options.target;
    await multipart.uploadTagPart(resumableTagPart, signal).catch(() => undefined);
    this.#storage.keptUploads.add(multipart.uploadId, this.#options.resumeBy?.windowMs ?? 0);
    const sessionId = StorageCall.current?.sessionId;
    this.#storage.observe({
      event: 'upload-kept',
      ...(sessionId !== undefined && { sessionId }),
      bucket,
      key,
      uploadId: multipart.uploadId,
    });
    await removeIfSuperseded(this.#storage, bucket, { key, uploadId: multipart.uploadId }, signal);
  }

  get #mayBeResumed(): boolean {
    const { resumeBy } = this.#options;
    return resumeBy !== undefined && resumeBy.claim?.isSuperseded !== true;
  }

  /** Whether the client could resume after this failure: not where S3 has refused the upload. */
  get #isWorthKeeping(): boolean {
    const failure: unknown = this.#failure.signal.reason;
    const isRefused =
      failure instanceof FilesystemError &&
      !(failure instanceof UploadTakenOver) &&
      !resumableKinds.has(failure.kind);
    return this.#mayBeResumed && this.isOpen && !isRefused;
  }

  get #ownerTagPart(): TagPart | undefined {
    const { resumeBy, target } = this.#options;
    return resumeBy && this.#mayBeResumed
      ? ownerTagPart(resumeBy.owner, target.bucket, target.key)
      : undefined;
  }

  async #sendTagPart(choose: () => TagPart | undefined): Promise<void> {
    const multipart = await this.#opened();
    const tagPart = choose();
    if (tagPart) await this.#inCall(() => multipart.uploadTagPart(tagPart, this.#requests.signal));
  }

  #cancelRequests(): void {
    this.#requests.abort(this.#failure.signal.reason);
  }

  #start(
    send: (multipart: MultipartUpload, signal: AbortSignal) => Promise<void>,
    partNumber: number,
    release: () => void = () => undefined,
  ): void {
    const sending = async (): Promise<void> => {
      try {
        if (partNumber > maxDataParts) {
          throw new FilesystemError('storage-full', `more than ${maxDataParts} parts`);
        }
        await send(await this.#opened(), this.#requests.signal);
      } catch (error) {
        this.fail(error);
      } finally {
        release();
      }
    };
    this.#track(this.#inCall(sending));
  }

  // `open` continues after a cancellation, because the upload id that it brings is needed for the abort.
  #opened(): Promise<MultipartUpload> {
    return untilAborted(this.open(), this.#requests.signal);
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch(() => undefined)
      .then(() => {
        this.#inFlight.delete(tracked);
      });
    this.#inFlight.add(tracked);
  }
}
