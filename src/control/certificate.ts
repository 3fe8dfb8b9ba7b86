/** The certificate in files, read again when they change, so that a renewed one serves the next session. */
import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Observe } from '../operations/event.ts';
import type { Certificate, CertificateHolder } from './tls-context.ts';

export type CertificateFiles = { readonly certificatePath: string; readonly keyPath: string };

/** Renewal writes two files, one after the other, or replaces them by links: the dust settles first. */
const settleMs = 200;

export class CertificateFromFiles implements CertificateHolder {
  readonly #files: CertificateFiles;
  readonly #observe: Observe;
  readonly #watchers: readonly FSWatcher[];
  #current: Certificate;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(files: CertificateFiles, current: Certificate, observe: Observe) {
    this.#files = files;
    this.#current = current;
    this.#observe = observe;
    // Folders, because a file that is replaced takes its watcher with it.
    const folders = new Set([dirname(files.certificatePath), dirname(files.keyPath)]);
    this.#watchers = [...folders].map((folder) => this.#watch(folder));
  }

  /** Reads the files and watches them. Rejects with a message that names what is wrong with which. */
  static async open(files: CertificateFiles, observe: Observe): Promise<CertificateFromFiles> {
    const certificate = new CertificateFromFiles(files, await readCertificate(files), observe);
    observe({ event: 'certificate-loaded', source: files.certificatePath });
    return certificate;
  }

  get current(): Certificate {
    return this.#current;
  }

  /** Reads the files now. On failure the certificate in force stays, and the failure is observed. */
  async reload(): Promise<void> {
    try {
      const renewed = await readCertificate(this.#files);
      if (this.#isClosed || isSame(renewed, this.#current)) return;
      this.#current = renewed;
      this.#observe({ event: 'certificate-loaded', source: this.#files.certificatePath });
    } catch (error) {
      if (this.#isClosed) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.#observe({ event: 'document-unusable', document: 'certificate', reason });
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
  }

  #watch(folder: string): FSWatcher {
    const watcher = watch(folder, { persistent: false }, () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.reload(), settleMs).unref();
    });
    watcher.on('error', (error) => this.#observe({ event: 'unexpected-error', error }));
    return watcher;
  }
}

/** Reads and checks both files. */
export async function readCertificate({ certificatePath, keyPath }: CertificateFiles): Promise<Certificate> {
  const [chain, key] = await Promise.all([readFile(certificatePath), readFile(keyPath)]);
  checkCertificate({ chain, key }, `${certificatePath} and ${keyPath}`);
  return { chain, key };
}

/** Throws an error that names `source` where the certificate cannot be used with the key. */
export function checkCertificate({ chain, key }: Certificate, source: string): void {
  try {
    createSecureContext({ cert: chain, key });
  } catch (error) {
    throw new Error(`The certificate and the key of ${source} cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function isSame(one: Certificate, other: Certificate): boolean {
  return `${String(one.chain)}${String(one.key)}` === `${String(other.chain)}${String(other.key)}`;
}
