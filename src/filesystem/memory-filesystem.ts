/**
 * A filesystem in memory, for tests of the FTP side and for benchmarks of it alone. It fulfils the contract of the S3 filesystem,
 * including the names that it refuses.
 */
/* eslint-disable @typescript-eslint/require-await -- nothing here waits, but every failure must be a rejection */
import { MemoryUpload } from './memory-upload.ts';
import type {
  CallOptions,
  ChecksumOptions,
  Download,
  DownloadOptions,
  Entry,
  Filesystem,
  ListOptions,
  Upload,
  UploadOptions,
} from './filesystem.ts';
import { digestOf } from './digest.ts';
import { exists, FilesystemError, isADirectory, isAFile, notFound } from './filesystem-error.ts';
import {
  checkedName,
  childOf,
  isWithin,
  nameOf,
  parentOf,
  type Pathname,
  resolvePathname,
} from './pathname.ts';

type File = { readonly type: 'file'; readonly content: Uint8Array; modifiedAt: Date };
type Directory = { readonly type: 'directory'; readonly nodes: Map<string, Node>; readonly modifiedAt: Date };
type Node = File | Directory;

const entriesPerPage = 1000;
const sliceBytes = 256 * 1024;

export class MemoryFilesystem implements Filesystem {
  readonly #root: Directory = newDirectory();

  /** For tests: stores a file, replacing any other; creates its parents. */
  putFile(pathname: string, content: string | Uint8Array, modifiedAt = new Date()): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    this.#put(fromRoot(pathname), { type: 'file', content: bytes, modifiedAt });
  }

  /** For tests: creates a directory and its parents. */
  putDirectory(pathname: string): void {
    this.#makeParents(childOf(fromRoot(pathname), 'any'));
  }

  /** For tests: a file's bytes; undefined if there is no such file. */
  readFile(pathname: string): Buffer | undefined {
    const node = this.#find(fromRoot(pathname));
    return node?.type === 'file' ? bufferOf(node.content) : undefined;
  }

  /** For tests: all pathnames in order of name, directories with a trailing slash. */
  pathnames(): string[] {
    return [...pathnamesBelow(this.#root, '/')].sort();
  }

  async stat(pathname: Pathname, { signal }: CallOptions): Promise<Entry> {
    signal.throwIfAborted();
    return entryOf(nameOf(pathname), this.#get(pathname));
  }

  async *list(
    directory: Pathname,
    { signal, isWanted = () => true }: ListOptions,
  ): AsyncGenerator<readonly Entry[]> {
    const entries = [...this.#getDirectory(directory).nodes]
      .filter(([name]) => isWanted(name))
      .map(([name, node]) => entryOf(name, node))
      .sort(byName);
    for (let start = 0; start < entries.length; start += entriesPerPage) {
      signal.throwIfAborted();
      yield entries.slice(start, start + entriesPerPage);
    }
  }

  async openDownload(pathname: Pathname, { offsetBytes, signal }: DownloadOptions): Promise<Download> {
    signal.throwIfAborted();
    const { content } = this.#getFile(pathname);
    if (offsetBytes > content.length) throw beyondTheEnd(pathname);
    return { sizeBytes: content.length, content: slices(content.subarray(offsetBytes), signal) };
  }

  async openUpload(pathname: Pathname, options: UploadOptions): Promise<Upload> {
    options.signal.throwIfAborted();
    if (pathname === '/') throw isADirectory(pathname);
    checkedName(pathname.slice(1));
    const existing = this.#fileToReplace(pathname, options.ifExists);
    const kept = keptBytes(pathname, existing, options.offset);
    return new MemoryUpload(kept, options.signal, (content) => {
      const current = this.#fileToReplace(pathname, options.ifExists);
      if (kept.length > 0 && current !== existing) {
        throw new FilesystemError('changed', `${pathname} changed while it was extended`);
      }
      this.#put(pathname, { type: 'file', content, modifiedAt: new Date() });
    });
  }

  async makeDirectory(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    checkedName(`${pathname.slice(1)}/`);
    if (this.#find(pathname)) throw exists(pathname);
    this.#put(pathname, newDirectory());
  }

  async removeDirectory(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    if (pathname === '/') throw new FilesystemError('permission-denied', 'the root cannot be removed');
    if (this.#getDirectory(pathname).nodes.size > 0) {
      throw new FilesystemError('not-empty', `${pathname} has entries`);
    }
    this.#remove(pathname);
  }

  async removeFile(pathname: Pathname, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    this.#getFile(pathname);
    this.#remove(pathname);
  }

  async rename(from: Pathname, to: Pathname, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    if (from === '/') throw new FilesystemError('permission-denied', 'the root cannot be renamed');
    const node = this.#get(from);
    if (from === to) return;
    checkTarget(node, this.#find(to), from, to);
    if (to === '/') throw isADirectory(to);
    checkedName(to.slice(1));
    this.#makeParents(to);
    this.#remove(from);
    this.#put(to, node);
  }

  async setModifiedAt(pathname: Pathname, modifiedAt: Date, { signal }: CallOptions): Promise<void> {
    signal.throwIfAborted();
    this.#getFile(pathname).modifiedAt = modifiedAt;
  }

  async checksum(pathname: Pathname, options: ChecksumOptions): Promise<string> {
    options.signal.throwIfAborted();
    const { content } = this.#getFile(pathname);
    const { startBytes = 0, endBytes = content.length } = options;
    if (startBytes > endBytes || endBytes > content.length) throw beyondTheEnd(pathname);
    return await digestOf(options.algorithm, [content.subarray(startBytes, endBytes)]);
  }

  #find(pathname: Pathname): Node | undefined {
    if (pathname === '/') return this.#root;
    // S3 looks names up as a file and as a directory, and refuses a name that is not allowed for either.
    checkedName(pathname.slice(1));
    let node: Node | undefined = this.#root;
    for (const name of pathname.slice(1).split('/')) {
      node = node?.type === 'directory' ? node.nodes.get(name) : undefined;
    }
    return node;
  }

  #get(pathname: Pathname): Node {
    const node = this.#find(pathname);
    if (!node) throw notFound(pathname);
    return node;
  }

  #getFile(pathname: Pathname): File {
    const node = this.#get(pathname);
    if (node.type === 'directory') throw isADirectory(pathname);
    return node;
  }

  #getDirectory(pathname: Pathname): Directory {
    const node = this.#get(pathname);
    if (node.type === 'file') throw isAFile(pathname);
    return node;
  }

  #fileToReplace(pathname: Pathname, ifExists: UploadOptions['ifExists']): File | undefined {
    const node = this.#find(pathname);
    if (node && ifExists === 'refuse') throw exists(pathname);
    if (node?.type === 'directory') throw isADirectory(pathname);
    return node;
  }

  #put(pathname: Pathname, node: Node): void {
    this.#makeParents(pathname).nodes.set(nameOf(pathname), node);
  }

  #remove(pathname: Pathname): void {
    this.#getDirectory(parentOf(pathname)).nodes.delete(nameOf(pathname));
  }

  #makeParents(pathname: Pathname): Directory {
    let directory = this.#root;
    for (const name of pathname.slice(1).split('/').slice(0, -1)) {
      const node = directory.nodes.get(name) ?? newDirectory();
      if (node.type === 'file') throw isAFile(name);
      directory.nodes.set(name, node);
      directory = node;
    }
    return directory;
  }
}

async function* slices(content: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < content.length; start += sliceBytes) {
    signal.throwIfAborted();
    yield content.subarray(start, start + sliceBytes);
  }
}

function keptBytes(pathname: Pathname, existing: File | undefined, offset: number | 'end'): Uint8Array {
  const content = existing?.content ?? new Uint8Array();
  if (offset === 'end') return content;
  if (offset > content.length) throw beyondTheEnd(pathname);
  return content.subarray(0, offset);
}

function checkTarget(node: Node, target: Node | undefined, from: Pathname, to: Pathname): void {
  if (node.type === 'directory' && isWithin(from, to)) {
    throw new FilesystemError('name-not-allowed', `${from} cannot move below itself`);
  }
  if (target?.type === 'directory' || (target && node.type === 'directory')) {
    throw exists(to);
  }
}

function* pathnamesBelow(directory: Directory, prefix: string): Generator<string> {
  for (const [name, node] of directory.nodes) {
    yield node.type === 'file' ? prefix + name : `${prefix}${name}/`;
    if (node.type === 'directory') yield* pathnamesBelow(node, `${prefix}${name}/`);
  }
}

function entryOf(name: string, node: Node): Entry {
  const sizeBytes = node.type === 'file' ? node.content.length : 0;
  return { name, type: node.type, sizeBytes, modifiedAt: node.modifiedAt };
}

function byName(a: Entry, b: Entry): number {
  return a.name < b.name ? -1 : 1;
}

function newDirectory(): Directory {
  return { type: 'directory', nodes: new Map(), modifiedAt: new Date() };
}

function beyondTheEnd(pathname: Pathname): FilesystemError {
  return new FilesystemError('invalid-offset', `${pathname} ends before the offset`);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fromRoot(pathname: string): Pathname {
  return resolvePathname('/' as Pathname, pathname);
}
