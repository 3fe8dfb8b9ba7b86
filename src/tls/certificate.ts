/** The certificate in files, read again when they change, so that a renewed one applies to the next session. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createSecureContext } from 'node:tls';
import { isOutOfDescriptors } from '../util/descriptors.ts';
import { readableReason } from '../util/watched-document.ts';
import type { Observe } from '../observability/event.ts';
import { certificateFacts } from './certificate-facts.ts';
import type { Certificate, CertificateHolder } from './context.ts';

export type CertificateFiles = { readonly certificatePath: string; readonly keyPath: string };

export type RenewalTimes = {
  /** From the first change to the read: a renewal writes two files, or replaces links to them, one after the other. */
  readonly settleMs: number;
  /** How long certificate and key may fail to match before it is an error and not an unfinished renewal. */
  readonly renewalMs: number;
};

const defaultRenewalTimes: RenewalTimes = { settleMs: 200, renewalMs: 2_000 };
/** Until the next read while the process has no free file descriptor; no event reports that one is free again. */
const shortageMs = 5_000;

export class CertificateFromFiles implements CertificateHolder {
  readonly #files: CertificateFiles;
  readonly #observe: Observe;
  readonly #times: RenewalTimes;
  readonly #watchers: readonly FSWatcher[];
  #current: Certificate;
  #timer: NodeJS.Timeout | undefined;
  /** `performance.now()` at the first failed read since the last successful one. */
  #failingSinceMs: number | undefined;
  #reportedReason: string | undefined;
  #isClosed = false;

  private constructor(files: CertificateFiles, current: Certificate, observe: Observe, times: RenewalTimes) {
    this.#files = files;
    this.#times = times;
    this.#current = current;
    this.#observe = observe;
    // Folders, because the watcher of a file is lost when the file is replaced.
    const folders = new Set([dirname(files.certificatePath), dirname(files.keyPath)]);
    this.#watchers = [...folders].map((folder) => this.#watch(folder));
  }

  /** Reads the files and watches them. Rejects with an error that names the file and the problem. */
  static async open(
    files: CertificateFiles,
    observe: Observe,
    times = defaultRenewalTimes,
  ): Promise<CertificateFromFiles> {
    const certificate = new CertificateFromFiles(files, await readCertificate(files), observe, times);
    observe({
      event: 'certificate-loaded',
      source: files.certificatePath,
      ...certificateFacts(certificate.current.chain),
    });
    return certificate;
  }

  get current(): Certificate {
    return this.#current;
  }

  /** Reads the files now. On failure the current certificate stays, and the failure is observed. */
  async reload(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      this.#report(error);
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
  }

  // Not filtered by name: in Kubernetes volumes the files are links, and only a link to their folder changes.
  #watch(folder: string): FSWatcher {
    const watcher = watch(folder, { persistent: false }, () => this.#readIn(this.#times.settleMs));
    watcher.on('error', (error) => this.#observe({ event: 'unexpected-error', error }));
    return watcher;
  }

  // Later events do not postpone the read: in a folder with a log file they never stop.
  #readIn(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#readChange();
    }, delayMs).unref();
  }

  async #readChange(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      if (isShortage(error)) {
        this.#readIn(shortageMs);
        return;
      }
      this.#failingSinceMs ??= performance.now();
      if (performance.now() - this.#failingSinceMs < this.#times.renewalMs)
        this.#readIn(this.#times.settleMs);
      else this.#report(error);
    }
  }

  async #load(): Promise<void> {
    const renewed = await readFiles(this.#files);
    if (this.#isClosed) return;
    const isRepaired = this.#reportedReason !== undefined;
    if (isRepaired || !isSame(renewed, this.#current)) {
      checkCertificate(renewed, sourceOf(this.#files));
      this.#current = renewed;
      const { certificatePath: source } = this.#files;
      this.#observe({ event: 'certificate-loaded', source, ...certificateFacts(renewed.chain) });
    }
    this.#failingSinceMs = undefined;
    this.#reportedReason = undefined;
  }

  /** Reports each reason once until the next success: other files in the folder may change all the time. */
  #report(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#isClosed || isShortage(error) || reason === this.#reportedReason) return;
    this.#reportedReason = reason;
    this.#observe({ event: 'config-reload-failed', config: 'certificate', reason });
  }
}

/** Reads and checks both files. */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const certificate = await readFiles(files);
  checkCertificate(certificate, sourceOf(files));
  return certificate;
}

async function readFiles({ certificatePath, keyPath }: CertificateFiles): Promise<Certificate> {
  const [chain, key] = await Promise.all([readNamed(certificatePath), readNamed(keyPath)]);
  return { chain, key };
}

async function readNamed(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    // The cause tells a lack of descriptors from a missing file.
    throw new Error(`TLS_CERTIFICATE: the file ${path} cannot be read: ${readableReason(error as Error)}`, {
      cause: error,
    });
  }
}

function sourceOf({ certificatePath, keyPath }: CertificateFiles): string {
  return `TLS_CERTIFICATE (${certificatePath} and ${keyPath})`;
}

/** Throws an error that names `source` where the certificate cannot be used with the key. */
export function checkCertificate({ chain, key }: Certificate, source: string): void {
  let matches: boolean;
  try {
    matches = new X509Certificate(chain).checkPrivateKey(createPrivateKey(key));
    if (matches) createSecureContext({ cert: chain, key });
  } catch (error) {
    throw new Error(`The certificate and the key of ${source} cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!matches) {
    throw new Error(
      `The certificate and the key of ${source} do not match: the key belongs to another certificate.`,
    );
  }
}

/** The error itself, or that behind the one that names the file. */
function isShortage(error: unknown): boolean {
  return isOutOfDescriptors(error) || (error instanceof Error && isOutOfDescriptors(error.cause));
}

function isSame(one: Certificate, other: Certificate): boolean {
  return `${String(one.chain)}${String(one.key)}` === `${String(other.chain)}${String(other.key)}`;
}
