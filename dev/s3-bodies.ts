/** Where the embedded S3 server keeps bytes: in memory, or in the files of one folder. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Immutable bytes. */
export type Body = {
  readonly sizeBytes: number;
  /** From the first byte up to, and not including, the end. A removal does not disturb a reader that has begun. */
  read(start: number, end: number): Readable;
  remove(): Promise<void>;
};

export type Bodies = {
  /** The file's name begins with `name`, for people who look into the folder. */
  put(name: string, bytes: Buffer): Promise<Body>;
  concatenate(name: string, bodies: readonly Body[]): Promise<Body>;
};

export const memoryBodies: Bodies = {
  put: (_name, bytes) => Promise.resolve(memoryBody(bytes)),
  concatenate: async (_name, bodies) => {
    const chunks: Buffer[] = [];
    for (const body of bodies)
      for await (const chunk of body.read(0, body.sizeBytes)) chunks.push(chunk as Buffer);
    return memoryBody(Buffer.concat(chunks));
  },
};

function memoryBody(bytes: Buffer): Body {
  return {
    sizeBytes: bytes.byteLength,
    read: (start, end) =>
      Readable.from(start < end ? [bytes.subarray(start, end)] : [], { objectMode: false }),
    remove: () => Promise.resolve(),
  };
}

/** A body and the name of its file in the folder. */
export type FileBody = Body & { readonly file: string };

export class FolderBodies implements Bodies {
  readonly #folder: string;
  #next = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Opens the folder, or creates it. Files that the index does not name stay: they can be someone's own, and what a crash left
   * of the server's costs only space.
   */
  static async open(folder: string): Promise<FolderBodies> {
    await mkdir(folder, { recursive: true });
    return new FolderBodies(folder);
  }

  body(file: string, sizeBytes: number): FileBody {
    const path = join(this.#folder, file);
    return {
      file,
      sizeBytes,
      read: (start, end) =>
        start < end ? createReadStream(path, { start, end: end - 1 }) : Readable.from([]),
      remove: () => unlink(path).catch(() => undefined),
    };
  }

  async put(name: string, bytes: Buffer): Promise<Body> {
    const file = this.#fileOf(name);
    await writeFile(join(this.#folder, file), bytes, { flag: 'wx' });
    return this.body(file, bytes.byteLength);
  }

  async concatenate(name: string, bodies: readonly Body[]): Promise<Body> {
    const file = this.#fileOf(name);
    const readAll = async function* (): AsyncGenerator {
      for (const body of bodies) yield* body.read(0, body.sizeBytes);
    };
    await pipeline(readAll, createWriteStream(join(this.#folder, file), { flags: 'wx' }));
    return this.body(
      file,
      bodies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
  }

  /** A name that no file has: writing with `wx` fails rather than overwrite one. */
  #fileOf(name: string): string {
    const readable = encodeURIComponent(name.slice(-60)).slice(0, 180);
    return `${readable}.${Date.now().toString(36)}-${this.#next++}`;
  }
}

/** Replaces a file as a whole. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}
