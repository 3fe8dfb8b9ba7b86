/**
 * Sends the parts of one upload: begins the multipart upload with the first of them, numbers them, and keeps a bounded
 * number in flight. Nothing is in flight after `settled`.
 */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { CopiedRange, MultipartUpload } from './multipart-upload.ts';
import type { Part } from './part.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import { gatewayTagPart, maxDataParts, type TagPart } from './owner-parts.ts';

/** Enough for some 300 MB/s at S3's 85 to 90 MB/s a request (Amazon S3, "Performance design patterns"). */
export const maxPartsInFlight = 4;

export type PartUploaderOptions = {
  /**
   * Begins the multipart upload, or hands out one that was begun before. Called once, for the first part. The signal stops
   * further attempts; a request under way must be waited for, as S3 may carry it out.
   */
  open(signal: AbortSignal): Promise<MultipartUpload>;
  readonly firstPartNumber: number;
  /** Says whose upload it is, beside the gateway's own mark; asked when the multipart upload has been begun. */
  ownerMark(): TagPart | undefined;
  /** Called for every part that failed, before its memory is given back. */
  onFailure(error: unknown): void;
};

export class PartUploader {
  readonly #options: PartUploaderOptions;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #requests = new AbortController();
  #multipart: Promise<MultipartUpload> | undefined;
  #nextPartNumber: number;

  constructor(options: PartUploaderOptions) {
    this.#options = options;
    this.#nextPartNumber = options.firstPartNumber;
  }

  /** The number of the next part; stays at the last one. */
  get nextPartNumber(): number {
    return Math.min(this.#nextPartNumber, maxDataParts);
  }

  /** Undefined as long as no part was sent. Not cancelled with the parts: it is what the upload is aborted by. */
  get multipart(): Promise<MultipartUpload> | undefined {
    return this.#multipart;
  }

  get isFull(): boolean {
    return this.#inFlight.size >= maxPartsInFlight;
  }

  /** `release` is called when the part has arrived, or has failed. */
  send(part: Part, release: () => void): void {
    const partNumber = this.#nextPartNumber++;
    this.#start((multipart, signal) => multipart.uploadPart(partNumber, part, signal), partNumber, release);
  }

  copy(range: CopiedRange): void {
    const partNumber = this.#nextPartNumber++;
    this.#start((multipart, signal) => multipart.copyPart(partNumber, range, signal), partNumber);
  }

  /** Begins the multipart upload if no part has yet. */
  open(): Promise<MultipartUpload> {
    if (this.#multipart) return this.#multipart;
    this.#multipart = this.#options.open(this.#requests.signal);
    for (const markOf of [() => gatewayTagPart, () => this.#options.ownerMark()]) {
      // An upload without its mark is as good; only what it leaves behind after a crash is not found.
      this.#track(this.#opened().then((multipart) => this.#sendMark(multipart, markOf())));
    }
    return this.#multipart;
  }

  /** Resolves when one more may start. Never rejects. */
  async room(): Promise<void> {
    while (this.isFull) await Promise.race(this.#inFlight);
  }

  /** Ends every request under way. */
  cancel(reason: unknown): void {
    this.#requests.abort(reason);
  }

  /** Resolves when nothing is in flight. Never rejects. */
  async settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  async #sendMark(multipart: MultipartUpload, mark: TagPart | undefined): Promise<void> {
    if (mark) await multipart.uploadTagPart(mark, this.#requests.signal);
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
        this.#options.onFailure(error);
      } finally {
        release();
      }
    };
    this.#track(sending());
  }

  // `open` goes on after a cancellation, because the id that it brings is needed to abort the upload.
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
