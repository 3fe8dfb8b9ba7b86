/**
 * The uploads that this process is writing: which of them are the newest of their key, and how to end one whose client has
 * reconnected to resume it. Uploads of other processes are reached only through S3 (`superseded-uploads.ts`).
 */

/** Ends an upload that is still open in this process, and resolves when it is over. */
type Interrupt = (reason: unknown) => Promise<void>;

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
  readonly #interrupts = new Map<string, Interrupt>();

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

  /** Until the returned function is called, `takeOver` interrupts this upload. */
  register(uploadId: string, interrupt: Interrupt): () => void {
    this.#interrupts.set(uploadId, interrupt);
    return () => {
      if (this.#interrupts.get(uploadId) === interrupt) this.#interrupts.delete(uploadId);
    };
  }

  /** Whether this process is writing the multipart upload. */
  has(uploadId: string): boolean {
    return this.#interrupts.has(uploadId);
  }

  /** Ends the previous session's writing of this upload, where that session has not noticed that its client disconnected. */
  async takeOver(uploadId: string): Promise<void> {
    await this.#interrupts.get(uploadId)?.(new Error('the client reconnected and resumes the upload'));
  }
}

// A bucket's name has no slash.
function nameOf(bucket: string, key: string): string {
  return `${bucket}/${key}`;
}
