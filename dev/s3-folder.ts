/** A bucket of the embedded S3 server that persists in a folder: bytes as files, everything else in one index. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileBody, FolderBodies, writeWhole } from './s3-bodies.ts';
import { Bucket, type StoredObject, type StoredPart, type StoredUpload } from './s3-bucket.ts';

export type BucketFolder = {
  readonly bucket: Bucket;
  /** Writes the index soon. */
  save(): void;
  /** Resolves when it is written. */
  saved(): Promise<void>;
};

/** A stored thing as the index holds it: its body is the name and size of a file. */
type Kept<Stored, Omitted extends keyof Stored = never> = Omit<Stored, 'body' | Omitted> & {
  readonly file: string;
  readonly sizeBytes: number;
};
type Index = {
  readonly objects: readonly (readonly [string, Kept<StoredObject>])[];
  readonly uploads: readonly (Omit<StoredUpload, 'parts'> & {
    readonly parts: readonly (readonly [number, Kept<StoredPart>])[];
  })[];
};

const indexName = '.index.json';

/** Opens the folder, or creates it. */
export async function openFolder(
  directory: string,
  name: string,
  minPartBytes: number,
): Promise<BucketFolder> {
  const folder = join(directory, name);
  const bodies = await FolderBodies.open(folder);
  const indexPath = join(directory, `${name}${indexName}`);
  const index = withoutMissing(await readIndex(indexPath), new Set(await readdir(folder)));
  const bucket = new Bucket(bodies, minPartBytes);
  const dated = <Dated extends Kept<{ body: unknown; lastModified: Date }>>({
    file,
    sizeBytes,
    ...stored
  }: Dated) => ({
    ...stored,
    body: bodies.body(file, sizeBytes),
    lastModified: new Date(stored.lastModified),
  });
  for (const [key, object] of index.objects) bucket.objects.set(key, dated(object));
  for (const { parts, initiated, ...upload } of index.uploads) {
    bucket.uploads.set(upload.uploadId, {
      ...upload,
      initiated: new Date(initiated),
      parts: new Map(parts.map(([number, part]) => [number, dated(part)])),
    });
  }
  let written = JSON.stringify(index);
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();
  const write = (): void => {
    const text = JSON.stringify(indexOf(bucket));
    if (text === written) return;
    written = text;
    writing = writing.then(() => writeWhole(indexPath, text)).catch(() => undefined);
  };
  return {
    bucket,
    save() {
      timer ??= setTimeout(() => {
        timer = undefined;
        write();
      }, saveDelayMs);
    },
    async saved() {
      clearTimeout(timer);
      write();
      await writing;
    },
  };
}

/** Batches many small changes into one write. */
const saveDelayMs = 200;

async function readIndex(path: string): Promise<Index> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Index;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { objects: [], uploads: [] };
    throw error;
  }
}

/** After a crash the index can be older than the files. */
function withoutMissing({ objects, uploads }: Index, files: ReadonlySet<string>): Index {
  return {
    objects: objects.filter(([, { file }]) => files.has(file)),
    uploads: uploads.filter(({ parts }) => parts.every(([, { file }]) => files.has(file))),
  };
}

function indexOf({ objects, uploads }: Bucket): Index {
  return {
    objects: [...objects].map(([key, object]) => [key, keptOf(object)]),
    uploads: [...uploads.values()].map(({ parts, ...upload }) => ({
      ...upload,
      parts: [...parts].map(([number, part]) => [number, keptOf(part)]),
    })),
  };
}

function keptOf<Stored extends { readonly body: unknown }>({ body, ...stored }: Stored) {
  const { file, sizeBytes } = body as FileBody;
  return { ...stored, file, sizeBytes };
}
