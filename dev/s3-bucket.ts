/**
 * One bucket of the embedded S3 server: its objects and its multipart uploads, with the rules that S3 keeps (Amazon S3 API
 * Reference). Every change is one assignment to a map, so readers see a whole version or another.
 */
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { combineCrc32, crc32FromBase64, crc32ToBase64, emptyCrc32 } from '../src/util/crc32.ts';
import type { Bodies, Body } from './s3-bodies.ts';

/** An error response, with the error code of S3. */
export class S3Error extends Error {
  readonly status: number;

  constructor(status: number, code: string) {
    super(code);
    this.name = code;
    this.status = status;
  }
}

export type Headers = Readonly<Record<string, string>>;

export type StoredObject = {
  readonly body: Body;
  readonly etag: string;
  readonly lastModified: Date;
  /** Headers that a response repeats: metadata, content type and the like. */
  readonly headers: Headers;
  readonly tags: string;
};

export type StoredPart = {
  readonly body: Body;
  /** In hexadecimal. */
  readonly md5: string;
  readonly crc32: number;
  readonly hasChecksum: boolean;
  readonly lastModified: Date;
};

export type StoredUpload = {
  readonly key: string;
  readonly uploadId: string;
  readonly initiated: Date;
  readonly headers: Headers;
  readonly tags: string;
  /** Whether the object gets a CRC32 of all its bytes (`ChecksumType` FULL_OBJECT). */
  readonly isWhole: boolean;
  readonly parts: Map<number, StoredPart>;
};

export type WriteConditions = {
  readonly ifNoneMatch: string | undefined;
  readonly ifMatch: string | undefined;
};
/** The checksums of a body that the request named. */
export type Checks = { readonly crc32: string | undefined; readonly md5: string | undefined };

export type Listing = {
  readonly prefix: string;
  readonly delimiter: string;
  /** The key or common prefix that ended the page before. */
  readonly after: string;
  readonly maxEntries: number;
};

export type Page = {
  readonly objects: readonly (readonly [key: string, object: StoredObject])[];
  readonly commonPrefixes: readonly string[];
  readonly nextAfter?: string;
};

export class Bucket {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, StoredUpload>();
  readonly #bodies: Bodies;
  /** Smallest size of every part but the last. */
  readonly #minPartBytes: number;
  readonly #nowMs: () => number;
  #sortedKeys: string[] | undefined;

  constructor(bodies: Bodies, minPartBytes: number, nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
    this.#bodies = bodies;
    this.#minPartBytes = minPartBytes;
  }

  #now(): Date {
    return new Date(this.#nowMs());
  }

  get(key: string): StoredObject {
    const object = this.objects.get(key);
    if (!object) throw new S3Error(404, 'NoSuchKey');
    return object;
  }

  async put(
    key: string,
    bytes: Buffer,
    about: { readonly headers: Headers; readonly tags: string },
    conditions: WriteConditions,
    checks: Checks,
  ): Promise<StoredObject> {
    check(bytes, checks);
    const body = await this.#bodies.put(key, bytes);
    const etag = `"${md5Of(bytes)}"`;
    const crc = checks.crc32 === undefined ? {} : checksumHeaders(crc32(bytes));
    return await this.#publish(
      key,
      { ...about, body, etag, headers: { ...about.headers, ...crc } },
      conditions,
    );
  }

  async copy(
    source: StoredObject,
    to: string,
    about: { readonly headers?: Headers; readonly tags?: string },
    conditions: WriteConditions,
  ): Promise<StoredObject> {
    const body = await this.#bodies.concatenate(to, [source.body]);
    const headers = { ...checksumsOf(source.headers), ...(about.headers ?? source.headers) };
    return await this.#publish(
      to,
      { body, etag: source.etag, headers, tags: about.tags ?? source.tags },
      conditions,
    );
  }

  async delete(key: string, ifMatch?: string): Promise<void> {
    const object = this.objects.get(key);
    if (!object) return;
    if (ifMatch !== undefined && ifMatch !== object.etag) throw new S3Error(412, 'PreconditionFailed');
    this.objects.delete(key);
    this.#sortedKeys = undefined;
    await object.body.remove();
  }

  createUpload(key: string, headers: Headers, tags: string, isWhole: boolean): StoredUpload {
    const uploadId = randomBytes(16).toString('hex');
    const upload = { key, uploadId, initiated: this.#now(), headers, tags, isWhole, parts: new Map() };
    this.uploads.set(uploadId, upload);
    return upload;
  }

  upload(key: string, uploadId: string): StoredUpload {
    const upload = this.uploads.get(uploadId);
    if (upload?.key !== key) throw new S3Error(404, 'NoSuchUpload');
    return upload;
  }

  async putPart(
    upload: StoredUpload,
    partNumber: number,
    bytes: Buffer,
    checks: Checks,
  ): Promise<StoredPart> {
    if (!(partNumber >= 1 && partNumber <= 10_000)) throw new S3Error(400, 'InvalidArgument');
    check(bytes, checks);
    const body = await this.#bodies.put(`${upload.key}.part${partNumber}`, bytes);
    const part = {
      body,
      md5: md5Of(bytes),
      crc32: crc32(bytes),
      hasChecksum: checks.crc32 !== undefined,
      lastModified: this.#now(),
    };
    if (this.uploads.get(upload.uploadId) !== upload) {
      await body.remove();
      throw new S3Error(404, 'NoSuchUpload');
    }
    const replaced = upload.parts.get(partNumber);
    upload.parts.set(partNumber, part);
    await replaced?.body.remove();
    return part;
  }

  async complete(
    upload: StoredUpload,
    listed: readonly { readonly partNumber: number; readonly etag: string }[],
    conditions: WriteConditions,
    whole: { readonly crc32: string | undefined; readonly sizeBytes: string | undefined },
  ): Promise<StoredObject> {
    if (listed.length === 0) throw new S3Error(400, 'MalformedXML');
    const parts = listed.map(({ partNumber, etag }, index) => {
      const part = upload.parts.get(partNumber);
      if (!part || part.md5 !== etag.replaceAll('"', '')) throw new S3Error(400, 'InvalidPart');
      if (partNumber <= (listed[index - 1]?.partNumber ?? 0)) throw new S3Error(400, 'InvalidPartOrder');
      const isLast = index === listed.length - 1;
      if (!isLast && part.body.sizeBytes < this.#minPartBytes) throw new S3Error(400, 'EntityTooSmall');
      return part;
    });
    const crc = parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.body.sizeBytes), emptyCrc32);
    const sizeBytes = parts.reduce((sum, part) => sum + part.body.sizeBytes, 0);
    if (whole.crc32 !== undefined && crc32FromBase64(whole.crc32) !== crc)
      throw new S3Error(400, 'BadDigest');
    if (whole.sizeBytes !== undefined && Number(whole.sizeBytes) !== sizeBytes) {
      throw new S3Error(400, 'InvalidRequest');
    }
    const md5 = md5Of(Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex'))));
    const body = await this.#bodies.concatenate(
      upload.key,
      parts.map((part) => part.body),
    );
    if (!this.uploads.has(upload.uploadId)) throw new S3Error(404, 'NoSuchUpload');
    const headers = { ...upload.headers, ...(upload.isWhole && checksumHeaders(crc)) };
    const about = { body, etag: `"${md5}-${parts.length}"`, headers, tags: upload.tags };
    const object = await this.#publish(upload.key, about, conditions);
    await this.abort(upload);
    return object;
  }

  async abort(upload: StoredUpload): Promise<void> {
    this.uploads.delete(upload.uploadId);
    for (const { body } of upload.parts.values()) await body.remove();
  }

  /** A page of the keys, in the order of S3. */
  list({ prefix, delimiter, after, maxEntries }: Listing): Page {
    const keys = (this.#sortedKeys ??= [...this.objects.keys()].sort(compareKeys));
    const objects: (readonly [string, StoredObject])[] = [];
    const commonPrefixes: string[] = [];
    let last = after;
    for (const key of keysFrom(keys, prefix, last)) {
      if (!key.startsWith(prefix)) break;
      const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      const entry = end === -1 ? key : key.slice(0, end + delimiter.length);
      if (entry === last || (last !== '' && compareKeys(entry, last) <= 0)) continue;
      if (objects.length + commonPrefixes.length >= maxEntries) {
        return { objects, commonPrefixes, nextAfter: last };
      }
      last = entry;
      if (end === -1) objects.push([key, this.get(key)]);
      else commonPrefixes.push(entry);
    }
    return { objects, commonPrefixes };
  }

  async #publish(
    key: string,
    about: Omit<StoredObject, 'lastModified'>,
    { ifNoneMatch, ifMatch }: WriteConditions,
  ): Promise<StoredObject> {
    const replaced = this.objects.get(key);
    const isMet = (ifNoneMatch !== '*' || !replaced) && (ifMatch === undefined || replaced?.etag === ifMatch);
    if (!isMet) {
      await about.body.remove();
      throw ifMatch !== undefined && !replaced
        ? new S3Error(404, 'NoSuchKey')
        : new S3Error(412, 'PreconditionFailed');
    }
    const object = { ...about, lastModified: this.#now() };
    this.objects.set(key, object);
    if (!replaced) this.#sortedKeys = undefined;
    await replaced?.body.remove();
    return object;
  }
}

function check(bytes: Buffer, { crc32: expected, md5 }: Checks): void {
  const isIntact =
    (expected === undefined || crc32FromBase64(expected) === crc32(bytes)) &&
    (md5 === undefined || createHash('md5').update(bytes).digest('base64') === md5);
  if (!isIntact) throw new S3Error(400, 'BadDigest');
}

function checksumHeaders(crc: number): Headers {
  return { 'x-amz-checksum-crc32': crc32ToBase64(crc), 'x-amz-checksum-type': 'FULL_OBJECT' };
}

function checksumsOf(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-amz-checksum-')));
}

function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** The keys from the first that is not before the prefix, nor before `after`. */
function* keysFrom(keys: readonly string[], prefix: string, after: string): Generator<string> {
  const bound = after !== '' && compareKeys(after, prefix) > 0 ? after : prefix;
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(keys[middle] ?? '', bound) < 0) low = middle + 1;
    else high = middle;
  }
  for (let index = low; index < keys.length; index++) yield keys[index] ?? '';
}

/** S3 orders keys by their UTF-8 bytes; only surrogates make that another order than that of strings. */
function compareKeys(one: string, other: string): number {
  if (/[\ud800-\udfff]/.test(one + other)) return Buffer.compare(Buffer.from(one), Buffer.from(other));
  return one < other ? -1 : one > other ? 1 : 0;
}
