/**
 * The uploads that this process is writing: which of them are the newest of their name, and how to end one that a client has
 * come back to. Other processes are reached through S3 alone (`superseded-uploads.ts`).
 */
/** Ends an upload that is still open in this process, and resolves when it is over. */
type Interrupt = (reason: unknown) => Promise<void>;

/** One upload's right to be resumed if it breaks; lost when its name gets a newer upload or is deleted. */
export class UploadClaim {
  isSuperseded = false;
  readonly #release: (claim: UploadClaim) => void;

  constructor(release: (claim: UploadClaim) => void) {
    this.#release = release;
  }

  /** To be called when the upload is over. Idempotent. */
  release(): void {
    this.#release(this);
  }
}

export class ActiveUploads {
  readonly #claims = new Map<string, Set<UploadClaim>>();
  readonly #written = new Map<string, Interrupt>();

  /** Claims a name for a new upload, beside the claims of older ones. */
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

  /** From now on no upload of the name that runs here is kept when it breaks. */
  supersede(bucket: string, key: string, except?: UploadClaim): void {
    for (const claim of this.#claims.get(nameOf(bucket, key)) ?? []) {
      if (claim !== except) claim.isSuperseded = true;
    }
  }

  /** The same for every name that begins with the prefix. */
  supersedeBelow(bucket: string, prefix: string): void {
    for (const [name, claims] of this.#claims) {
      if (!name.startsWith(nameOf(bucket, prefix))) continue;
      for (const claim of claims) claim.isSuperseded = true;
    }
  }

  /** Until the returned function is called, a session that adopts the multipart upload ends it here first. */
  register(uploadId: string, interrupt: Interrupt): () => void {
    this.#written.set(uploadId, interrupt);
    return () => {
      if (this.#written.get(uploadId) === interrupt) this.#written.delete(uploadId);
    };
  }

  /** Whether this process is writing the multipart upload. */
  has(uploadId: string): boolean {
    return this.#written.has(uploadId);
  }

  /** Ends the session's own predecessor, which has not noticed yet that its client is gone. */
  async takeOver(uploadId: string): Promise<void> {
    await this.#written.get(uploadId)?.(new Error('the client came back and continues the upload'));
  }
}

// A bucket's name has no slash.
function nameOf(bucket: string, key: string): string {
  return `${bucket}/${key}`;
}
