/** Where the embedded S3 server keeps bytes: in memory, or in the files of one folder. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Immutable bytes, until they are removed. */
export type Body = {
  readonly sizeBytes: number;
  /** From the first byte up to, and not including, the end. A reader that has begun is not disturbed by a removal. */
  read(start: number, end: number): Readable;
  remove(): Promise<void>;
};

export type Bodies = {
  /** The name begins the file's, for people who look into the folder. */
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

/** A body that says under which name its folder has it. */
export type FileBody = Body & { readonly file: string };

export class FolderBodies implements Bodies {
  readonly #folder: string;
  #next = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the folder; files in it that `keep` does not want are removed. */
  static async open(folder: string, keep: ReadonlySet<string>): Promise<FolderBodies> {
    await mkdir(folder, { recursive: true });
    for (const file of await readdir(folder)) if (!keep.has(file)) await rm(join(folder, file));
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
    await writeFile(join(this.#folder, file), bytes);
    return this.body(file, bytes.byteLength);
  }

  async concatenate(name: string, bodies: readonly Body[]): Promise<Body> {
    const file = this.#fileOf(name);
    const readAll = async function* (): AsyncGenerator {
      for (const body of bodies) yield* body.read(0, body.sizeBytes);
    };
    await pipeline(readAll, createWriteStream(join(this.#folder, file)));
    return this.body(
      file,
      bodies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
  }

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
