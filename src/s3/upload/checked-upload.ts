/** An upload whose place is still being looked at while its bytes already come. */
import type { Upload } from '../../filesystem/filesystem.ts';

/**
 * Publishes nothing before the check has passed; where it fails, the upload is aborted and the commit rejects with what the
 * check found.
 */
export class CheckedUpload implements Upload {
  readonly #upload: Upload;
  readonly #check: Promise<void>;
  readonly #onPublished: () => void;

  constructor(upload: Upload, check: Promise<void>, onPublished: () => void) {
    this.#upload = upload;
    this.#check = check;
    this.#onPublished = onPublished;
  }

  get keptBytes(): number {
    return this.#upload.keptBytes ?? 0;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    return this.#upload.write(bytes);
  }

  async commit(): Promise<void> {
    try {
      await this.#check;
    } catch (error) {
      await this.#upload.abort(error);
      throw error;
    }
    await this.#upload.commit();
    this.#onPublished();
  }

  async abort(reason: unknown): Promise<void> {
    await this.#upload.abort(reason);
  }
}
