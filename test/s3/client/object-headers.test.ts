import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  attributesOfCopy,
  attributesOfMarker,
  attributesOfUpload,
} from '../../../src/s3/filesystem/object-attributes.ts';
import { headersOfAttributes, objectHeadOf } from '../../../src/s3/client/object-headers.ts';
import type { StorageOptions } from '../../../src/users/user.ts';

const sent = (headers: Record<string, string | undefined>) =>
  Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));

/** Amazon S3 API Reference, PutObject: request headers. */
const uploads: readonly [what: string, StorageOptions | undefined, headers: Record<string, string>][] = [
  ['a home without options', undefined, { 'content-type': 'text/csv' }],
  [
    'SSE-S3',
    { encryption: { algorithm: 'AES256' } },
    { 'content-type': 'text/csv', 'x-amz-server-side-encryption': 'AES256' },
  ],
  [
    "SSE-KMS with the account's own key",
    { encryption: { algorithm: 'aws:kms' } },
    {
      'content-type': 'text/csv',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-bucket-key-enabled': 'true',
    },
  ],
  [
    'SSE-KMS with a key, a storage class, a media type and tags',
    {
      encryption: { algorithm: 'aws:kms', keyId: 'alias/partners' },
      storageClass: 'STANDARD_IA',
      contentTypes: { csv: 'text/x-orders' },
      tags: { partner: 'a&b', 'cost center': '7=8' },
    },
    {
      'content-type': 'text/x-orders',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'alias/partners',
      'x-amz-server-side-encryption-bucket-key-enabled': 'true',
      'x-amz-storage-class': 'STANDARD_IA',
      'x-amz-tagging': 'partner=a%26b&cost%20center=7%3D8',
    },
  ],
];

describe("An object's headers", () => {
  for (const [what, options, headers] of uploads) {
    it(`The headers of an upload request what its home specifies: ${what}`, () => {
      assert.deepEqual(sent(headersOfAttributes(attributesOfUpload(options, 'orders.csv'))), headers);
    });
  }

  it('The headers of a directory marker request its encryption and tags, and the standard storage class', () => {
    const options = {
      encryption: { algorithm: 'aws:kms' },
      storageClass: 'GLACIER',
      tags: { a: 'b' },
    } as const;
    assert.deepEqual(sent(headersOfAttributes(attributesOfMarker(options))), {
      'content-type': 'application/x-directory',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-bucket-key-enabled': 'true',
      'x-amz-tagging': 'a=b',
    });
  });

  it('The headers of a copy keep the attributes of its source', () => {
    const source = {
      'cache-control': 'max-age=60',
      'content-disposition': 'attachment; filename="x"',
      'content-encoding': 'gzip',
      'content-language': 'de',
      'content-type': 'text/x-special',
      expires: 'Wed, 21 Oct 2026 07:28:00 GMT',
      'x-amz-meta-mtime': '981173106.5',
      'x-amz-meta-owner': 'partner 7',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'arn:aws:kms:eu-west-1:1:key/k',
      'x-amz-server-side-encryption-bucket-key-enabled': 'true',
      'x-amz-storage-class': 'STANDARD_IA',
      'x-amz-website-redirect-location': '/elsewhere',
    };
    const responseHeaders = { etag: '"e"', 'content-length': '5', 'x-amz-request-id': 'R' };
    const head = objectHeadOf({ ...source, ...responseHeaders });
    assert.deepEqual(sent(headersOfAttributes(attributesOfCopy(head))), source);
  });

  it('The headers of a response are parsed to the attributes of the object', () => {
    const head = objectHeadOf({
      'content-length': '48800000000000',
      etag: '"0a-2"',
      'last-modified': 'Wed, 21 Oct 2026 07:28:00 GMT',
      'x-amz-checksum-crc32': 'y/Q5Jg==',
      'x-amz-checksum-type': 'FULL_OBJECT',
      'x-amz-tagging-count': '3',
    });
    assert.equal(head.ContentLength, 48_800_000_000_000);
    assert.equal(head.ETag, '"0a-2"');
    assert.deepEqual(head.LastModified, new Date('2026-10-21T07:28:00Z'));
    assert.equal(head.ChecksumCRC32, 'y/Q5Jg==');
    assert.equal(head.ChecksumType, 'FULL_OBJECT');
    assert.equal(head.TagCount, 3);
    assert.deepEqual(head.Metadata, {});
    assert.equal(objectHeadOf({ 'last-modified': 'never' }).LastModified, undefined);
  });
});
