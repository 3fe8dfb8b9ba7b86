/**
 * The uploads that this process is writing: which of them are the newest of their key, and how to end one whose client has
 * reconnected to resume it. Uploads of other processes are reached only through S3 (`superseded-uploads.ts`).
 */
import { setTimeout } from 'node:timers/promises';
import { untilAborted } from '../util/until-aborted.ts';

/** An upload that a session of this process writes. */
export type ActiveUpload = {
  /** Whether it waits for its client, works (waits for S3 or memory, or is being committed), or has failed and is ending. */
  readonly activity: 'receiving' | 'working' | 'ending';
  /** Bytes that the client has sent so far. */
  readonly receivedBytes: number;
  /** `performance.now()` when the last of them came, or at the beginning. */
  readonly lastReceivedAtMs: number;
  /** Ends it, if it has not ended yet, and resolves when it is over: what can be resumed is in S3 then. Never rejects. */
  interrupt(reason: unknown): Promise<void>;
};

/** How long a client may send nothing before another session of its user can resume its upload, in milliseconds. */
export type SilenceLimits = {
  /** Of an upload in this process. A client that has just lost its connection waits that long for the reply to SIZE. */
  readonly here: number;
  /** Of an upload in another process, of which only the time of its last part is known. */
  readonly elsewhere: number;
};

const defaultSilenceMs: SilenceLimits = { here: 15_000, elsewhere: 30_000 };

/** How often an upload is looked at while it is not known whether its client is still there. */
const checkMs = 100;

/** One upload's right to be resumed if it breaks; lost when its key gets a newer upload or is deleted. */
export class UploadClaim {
  isSuperseded = false;
  readonly #release: (claim: UploadClaim) => void;

  constructor(release: (claim: UploadClaim) => void) {
    this.#release = release;
  }

  /** Call it when the upload is over. Idempotent. */
  release(): void {
    this.#release(this);
  }
}

export class ActiveUploads {
  readonly #claims = new Map<string, Set<UploadClaim>>();
  readonly #uploads = new Map<string, ActiveUpload>();
  readonly silenceMs: SilenceLimits;

  constructor(silenceMs = defaultSilenceMs) {
    this.silenceMs = silenceMs;
  }

  /** Claims a key for a new upload, beside the claims of older ones. */
  claim(bucket: string, key: string): UploadClaim {
    const name = nameOf(bucket, key);
    const claims = this.#claims.get(name) ?? new Set();
    this.#claims.set(name, claims);
    const claim = new UploadClaim((released) => {
      claims.delete(released);
      if (claims.size === 0 && this.#claims.get(name) === claims) this.#claims.delete(name);
    });
    claims.add(claim);
    return claim;
  }

  /** From now on no upload of the key in this process can be resumed if it breaks, except that of the given claim. */
  supersede(bucket: string, key: string, except?: UploadClaim): void {
    for (const claim of this.#claims.get(nameOf(bucket, key)) ?? []) {
      if (claim !== except) claim.isSuperseded = true;
    }
  }

  /** The same for every key that begins with the prefix. */
  supersedeBelow(bucket: string, prefix: string): void {
    for (const [name, claims] of this.#claims) {
      if (!name.startsWith(nameOf(bucket, prefix))) continue;
      for (const claim of claims) claim.isSuperseded = true;
    }
  }

  /** Until the returned function is called, the upload counts as being written. */
  register(uploadId: string, upload: ActiveUpload): () => void {
    this.#uploads.set(uploadId, upload);
    return () => {
      if (this.#uploads.get(uploadId) === upload) this.#uploads.delete(uploadId);
    };
  }

  /** Whether this process is writing the multipart upload. */
  has(uploadId: string): boolean {
    return this.#uploads.has(uploadId);
  }

  /**
   * Whether another session may resume an upload of this process: nothing writes it any more, or its client has been silent for so
   * long that it must have lost its connection. Waits until one or the other is certain: for the rest of the silence, for the next
   * bytes, or for the end of an upload that is ending. Rejects with the signal's reason.
   */
  async isAbandoned(uploadId: string, signal: AbortSignal): Promise<boolean> {
    const upload = this.#uploads.get(uploadId);
    if (!upload) return true;
    const { receivedBytes } = upload;
    while (this.#uploads.get(uploadId) === upload) {
      if (upload.activity === 'ending') {
        await untilAborted(upload.interrupt(undefined), signal);
        return true;
      }
      if (upload.activity === 'working' || upload.receivedBytes !== receivedBytes) return false;
      if (performance.now() - upload.lastReceivedAtMs >= this.silenceMs.here) return true;
      await setTimeout(Math.min(checkMs, this.silenceMs.here), undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
    return true;
  }

  /** Ends the writing of an upload by an earlier session, which has not noticed that its client disconnected. */
  async takeOver(uploadId: string, reason: unknown): Promise<void> {
    await this.#uploads.get(uploadId)?.interrupt(reason);
  }
}

// A bucket's name has no slash.
function nameOf(bucket: string, key: string): string {
  return `${bucket}/${key}`;
}
