/** The S3 operations that the gateway, its tests and `npm start` need (Amazon S3 API Reference). */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { crc32ToBase64 } from '../src/util/crc32.ts';
import { type Bucket, type Headers, S3Error, type StoredObject } from './s3-bucket.ts';
import { element, textsOf, urlEncoded, xmlDocument } from './s3-xml.ts';

/** A request to the embedded server, read completely. */
export type S3Call = {
  readonly method: string;
  readonly bucket: Bucket;
  bucketNamed(name: string): Bucket | undefined;
  /** Empty for requests to the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly header: (name: string) => string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
};

export type S3Response = {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body?: Buffer | Readable;
};

/** Carries out the operation that the request asks for. @throws S3Error as S3 would respond. */
export async function respond(call: S3Call): Promise<S3Response> {
  const { method, key, query } = call;
  if (key === '') {
    if (method === 'GET' && query.has('uploads')) return listUploads(call);
    if (method === 'GET' && query.get('list-type') === '2') return listObjects(call);
    if (method === 'POST' && query.has('delete')) return await deleteObjects(call);
    if (method === 'HEAD') return empty(200);
  } else if (query.has('uploadId')) {
    if (method === 'GET') return listParts(call);
    if (method === 'PUT') return await putPart(call);
    if (method === 'POST') return await complete(call);
    if (method === 'DELETE') {
      await call.bucket.abort(uploadOf(call));
      return empty(204);
    }
  } else if (query.has('tagging')) {
    if (method === 'GET') return tagging(call);
  } else {
    if (method === 'POST' && query.has('uploads')) return create(call);
    if (method === 'GET' || method === 'HEAD') return get(call);
    if (method === 'PUT' && call.header('x-amz-copy-source') !== undefined) return await copy(call);
    if (method === 'PUT') return await put(call);
    if (method === 'DELETE') {
      await call.bucket.delete(key, call.header('if-match'));
      return empty(204);
    }
  }
  throw new S3Error(501, 'NotImplemented');
}

const empty = (status: number, headers: Record<string, string> = {}): S3Response => ({ status, headers });

function xml(root: string, content: readonly string[], headers: Record<string, string> = {}): S3Response {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml', ...headers },
    body: xmlDocument(element(root, content)),
  };
}

function get(call: S3Call): S3Response {
  const object = call.bucket.get(call.key);
  const ifMatch = call.header('if-match');
  if (ifMatch !== undefined && ifMatch !== object.etag) throw new S3Error(412, 'PreconditionFailed');
  const { sizeBytes } = object.body;
  const range = rangeOf(call.header('range'), sizeBytes);
  const { start, end } = range ?? { start: 0, end: sizeBytes };
  const showsChecksum = call.header('x-amz-checksum-mode') === 'ENABLED' && !range;
  const headers: Record<string, string> = {
    ...Object.fromEntries(
      Object.entries(object.headers).filter(([name]) => showsChecksum || !name.startsWith('x-amz-checksum-')),
    ),
    etag: object.etag,
    'last-modified': object.lastModified.toUTCString(),
    'accept-ranges': 'bytes',
    'content-length': String(end - start),
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }),
    ...(object.tags !== '' && { 'x-amz-tagging-count': String(new URLSearchParams(object.tags).size) }),
  };
  if (call.method === 'HEAD') return { status: 200, headers };
  return { status: range ? 206 : 200, headers, body: object.body.read(start, end) };
}

/** The end is not included. */
function rangeOf(header: string | undefined, sizeBytes: number): { start: number; end: number } | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || first + last === '') return undefined;
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= sizeBytes) throw new S3Error(416, 'InvalidRange');
  return { start, end };
}

async function put(call: S3Call): Promise<S3Response> {
  if (Buffer.byteLength(call.key) > 1024) throw new S3Error(400, 'KeyTooLongError');
  const about = { headers: attributesOf(call), tags: call.header('x-amz-tagging') ?? '' };
  const { etag, headers } = await call.bucket.put(
    call.key,
    call.bytes,
    about,
    conditionsOf(call),
    checksOf(call),
  );
  const crc = headers['x-amz-checksum-crc32'];
  return empty(200, { etag, ...(crc !== undefined && { 'x-amz-checksum-crc32': crc }) });
}

async function copy(call: S3Call): Promise<S3Response> {
  const source = sourceOf(call);
  const replaces = call.header('x-amz-metadata-directive') === 'REPLACE';
  const replacesTags = call.header('x-amz-tagging-directive') === 'REPLACE';
  const copied = await call.bucket.copy(
    source,
    call.key,
    {
      ...(replaces && { headers: attributesOf(call) }),
      ...(replacesTags && { tags: call.header('x-amz-tagging') ?? '' }),
    },
    conditionsOf(call),
  );
  return xml('CopyObjectResult', [
    element('LastModified', copied.lastModified.toISOString()),
    element('ETag', copied.etag),
  ]);
}

function sourceOf(call: S3Call): StoredObject {
  const source = decodeURIComponent(call.header('x-amz-copy-source') ?? '').replace(/^\//, '');
  const slash = source.indexOf('/');
  const object = call.bucketNamed(source.slice(0, slash))?.get(source.slice(slash + 1));
  if (!object) throw new S3Error(404, 'NoSuchBucket');
  const ifMatch = call.header('x-amz-copy-source-if-match');
  if (ifMatch !== undefined && ifMatch !== object.etag) throw new S3Error(412, 'PreconditionFailed');
  return object;
}

async function deleteObjects(call: S3Call): Promise<S3Response> {
  const refused: string[] = [];
  for (const [, object = ''] of call.bytes.toString().matchAll(/<Object>(.*?)<\/Object>/gs)) {
    const [key = ''] = textsOf(object, 'Key');
    const [ifMatch] = textsOf(object, 'ETag');
    try {
      await call.bucket.delete(key, ifMatch);
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      refused.push(element('Error', [element('Key', key), element('Code', error.name)]));
    }
  }
  return xml('DeleteResult', refused);
}

function tagging(call: S3Call): S3Response {
  const tags = [...new URLSearchParams(call.bucket.get(call.key).tags)].map(([name, value]) =>
    element('Tag', [element('Key', name), element('Value', value)]),
  );
  return xml('Tagging', [element('TagSet', tags)]);
}

function create(call: S3Call): S3Response {
  const type = call.header('x-amz-checksum-type');
  const isWhole = type === 'FULL_OBJECT' && call.header('x-amz-checksum-algorithm') === 'CRC32';
  const { uploadId } = call.bucket.createUpload(
    call.key,
    attributesOf(call),
    call.header('x-amz-tagging') ?? '',
    isWhole,
  );
  const headers: Record<string, string> = isWhole
    ? { 'x-amz-checksum-type': 'FULL_OBJECT', 'x-amz-checksum-algorithm': 'CRC32' }
    : {};
  return xml('InitiateMultipartUploadResult', [element('UploadId', uploadId)], headers);
}

async function putPart(call: S3Call): Promise<S3Response> {
  const upload = uploadOf(call);
  const partNumber = Number(call.query.get('partNumber'));
  if (call.header('x-amz-copy-source') === undefined) {
    const part = await call.bucket.putPart(upload, partNumber, call.bytes, checksOf(call));
    return empty(200, { etag: `"${part.md5}"` });
  }
  const { body } = sourceOf(call);
  const range = rangeOf(call.header('x-amz-copy-source-range'), body.sizeBytes);
  const { start, end } = range ?? { start: 0, end: body.sizeBytes };
  const chunks = [];
  for await (const chunk of body.read(start, end)) chunks.push(chunk as Buffer);
  const none = { crc32: undefined, md5: undefined };
  const part = await call.bucket.putPart(upload, partNumber, Buffer.concat(chunks), none);
  return xml('CopyPartResult', [element('ETag', `"${part.md5}"`)]);
}

async function complete(call: S3Call): Promise<S3Response> {
  const text = call.bytes.toString();
  const etags = textsOf(text, 'ETag');
  const parts = textsOf(text, 'PartNumber').map((partNumber, index) => ({
    partNumber: Number(partNumber),
    etag: etags[index] ?? '',
  }));
  const whole = {
    crc32: call.header('x-amz-checksum-crc32'),
    sizeBytes: call.header('x-amz-mp-object-size'),
  };
  const { etag } = await call.bucket.complete(uploadOf(call), parts, conditionsOf(call), whole);
  return xml('CompleteMultipartUploadResult', [element('Key', call.key), element('ETag', etag)]);
}

function uploadOf(call: S3Call) {
  return call.bucket.upload(call.key, call.query.get('uploadId') ?? '');
}

function listParts(call: S3Call): S3Response {
  const { parts } = uploadOf(call);
  const after = Number(call.query.get('part-number-marker') ?? 0);
  const maxEntries = Math.min(Number(call.query.get('max-parts') ?? 1000), 1000);
  const later = [...parts].filter(([number]) => number > after).sort(([one], [other]) => one - other);
  const page = later.slice(0, maxEntries);
  return xml('ListPartsResult', [
    element('IsTruncated', String(later.length > page.length)),
    element('NextPartNumberMarker', String(page.at(-1)?.[0] ?? 0)),
    ...page.map(([number, part]) =>
      element('Part', [
        element('PartNumber', String(number)),
        element('LastModified', part.lastModified.toISOString()),
        element('ETag', `"${part.md5}"`),
        element('Size', String(part.body.sizeBytes)),
        ...(part.hasChecksum ? [element('ChecksumCRC32', crc32ToBase64(part.crc32))] : []),
      ]),
    ),
  ]);
}

function listUploads(call: S3Call): S3Response {
  const prefix = call.query.get('prefix') ?? '';
  const [afterKey, afterId] = [call.query.get('key-marker') ?? '', call.query.get('upload-id-marker') ?? ''];
  const maxEntries = Math.min(Number(call.query.get('max-uploads') ?? 1000), 1000);
  const all = [...call.bucket.uploads.values()]
    .filter(({ key }) => key.startsWith(prefix))
    .sort(
      (one, other) =>
        Buffer.compare(Buffer.from(one.key), Buffer.from(other.key)) ||
        one.initiated.getTime() - other.initiated.getTime(),
    );
  const marker = all.findIndex(({ key, uploadId }) => key === afterKey && uploadId === afterId);
  const page = all.slice(marker + 1, marker + 1 + maxEntries);
  const last = page.at(-1);
  const encode = keyEncoding(call);
  return xml('ListMultipartUploadsResult', [
    element('IsTruncated', String(marker + 1 + page.length < all.length)),
    element('NextKeyMarker', encode(last?.key ?? '')),
    element('NextUploadIdMarker', last?.uploadId ?? ''),
    ...page.map(({ key, uploadId, initiated }) =>
      element('Upload', [
        element('Key', encode(key)),
        element('UploadId', uploadId),
        element('Initiated', initiated.toISOString()),
      ]),
    ),
  ]);
}

function listObjects(call: S3Call): S3Response {
  const { query } = call;
  const token = query.get('continuation-token');
  const { objects, commonPrefixes, nextAfter } = call.bucket.list({
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    after: token === null ? (query.get('start-after') ?? '') : Buffer.from(token, 'hex').toString(),
    maxEntries: Math.min(Number(query.get('max-keys') ?? 1000), 1000),
  });
  const encode = keyEncoding(call);
  return xml('ListBucketResult', [
    element('KeyCount', String(objects.length + commonPrefixes.length)),
    element('IsTruncated', String(nextAfter !== undefined)),
    ...(nextAfter === undefined
      ? []
      : [element('NextContinuationToken', Buffer.from(nextAfter).toString('hex'))]),
    ...(query.get('encoding-type') === 'url' ? [element('EncodingType', 'url')] : []),
    ...objects.map(([key, { lastModified, etag, body }]) =>
      element('Contents', [
        element('Key', encode(key)),
        element('LastModified', lastModified.toISOString()),
        element('ETag', etag),
        element('Size', String(body.sizeBytes)),
        element('StorageClass', 'STANDARD'),
      ]),
    ),
    ...commonPrefixes.map((prefix) => element('CommonPrefixes', [element('Prefix', encode(prefix))])),
  ]);
}

function keyEncoding({ query }: S3Call): (key: string) => string {
  return query.get('encoding-type') === 'url' ? urlEncoded : (key) => key;
}

const attributeNames = [
  'cache-control',
  'content-disposition',
  'content-language',
  'content-type',
  'expires',
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
];

function attributesOf({ headers, header }: S3Call): Headers {
  const attributes: Record<string, string> = {};
  for (const name of [
    ...attributeNames,
    ...Object.keys(headers).filter((name) => name.startsWith('x-amz-meta-')),
  ]) {
    const value = header(name);
    if (value !== undefined) attributes[name] = value;
  }
  const encoding = header('content-encoding')?.replace(/,? ?aws-chunked/, '');
  if (encoding) attributes['content-encoding'] = encoding;
  return { 'content-type': 'binary/octet-stream', ...attributes };
}

function conditionsOf({ header }: S3Call) {
  return { ifNoneMatch: header('if-none-match'), ifMatch: header('if-match') };
}

function checksOf({ header }: S3Call) {
  return { crc32: header('x-amz-checksum-crc32'), md5: header('content-md5') };
}
