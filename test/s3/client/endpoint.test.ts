import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bucketEndpointOf } from '../../../src/s3/client/endpoint.ts';
import { createS3Client, type S3ClientOptions } from '../../../src/s3/client/s3-client.ts';

const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' };

/** Endpoints of Amazon S3: AWS General Reference, "Amazon Simple Storage Service endpoints and quotas". */
const addresses: readonly {
  readonly what: string;
  readonly bucket: string;
  readonly options: Partial<S3ClientOptions>;
  readonly origin: string;
  readonly pathPrefix: string;
  readonly region: string;
}[] = [
  {
    what: 'a bucket of Amazon S3',
    bucket: 'partners',
    options: { region: 'eu-west-1' },
    origin: 'https://partners.s3.eu-west-1.amazonaws.com',
    pathPrefix: '/',
    region: 'eu-west-1',
  },
  {
    what: 'a bucket in China',
    bucket: 'partners',
    options: { region: 'cn-north-1' },
    origin: 'https://partners.s3.cn-north-1.amazonaws.com.cn',
    pathPrefix: '/',
    region: 'cn-north-1',
  },
  {
    what: 'a bucket whose dots no certificate of S3 covers',
    bucket: 'files.example.com',
    options: { region: 'us-east-2' },
    origin: 'https://s3.us-east-2.amazonaws.com',
    pathPrefix: '/files.example.com/',
    region: 'us-east-2',
  },
  {
    what: 'an access point',
    bucket: 'arn:aws:s3:us-west-2:123456789012:accesspoint/files',
    options: { region: 'us-west-2' },
    origin: 'https://files-123456789012.s3-accesspoint.us-west-2.amazonaws.com',
    pathPrefix: '/',
    region: 'us-west-2',
  },
  {
    what: 'another server',
    bucket: 'partners',
    options: { endpoint: 'http://127.0.0.1:9000', forcePathStyle: true },
    origin: 'http://127.0.0.1:9000',
    pathPrefix: '/partners/',
    region: 'us-east-1',
  },
  {
    what: 'another server below a path',
    bucket: 'partners',
    options: { endpoint: 'https://storage.example.com/s3', forcePathStyle: true },
    origin: 'https://storage.example.com',
    pathPrefix: '/s3/partners/',
    region: 'us-east-1',
  },
];

describe('The address of a bucket', () => {
  for (const { what, bucket, options, ...expected } of addresses) {
    it(`The endpoint of ${what} is ${expected.origin}${expected.pathPrefix}`, async () => {
      const client = createS3Client({ region: 'us-east-1', forcePathStyle: false, credentials, ...options });
      const { origin, pathPrefix, region, host, isEncrypted } = await bucketEndpointOf(client, bucket);
      assert.deepEqual({ origin, pathPrefix, region }, expected);
      assert.equal(host, new URL(origin).host);
      assert.equal(isEncrypted, origin.startsWith('https:'));
      client.destroy();
    });
  }

  for (const [what, bucket] of [
    ['a directory bucket', 'partners--use1-az4--x-s3'],
    ['a Multi-Region Access Point', 'arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap'],
  ] as const) {
    it(`The endpoint of ${what} is refused, because its requests need another signature`, async () => {
      const client = createS3Client({ region: 'us-east-1', forcePathStyle: false, credentials });
      await assert.rejects(bucketEndpointOf(client, bucket), {
        kind: 'misconfigured',
        message: /of a kind that the gateway does not support/,
      });
      client.destroy();
    });
  }
});
