/**
 * Resolves the endpoint of a bucket. The SDK implements all of S3's rules for it (regions, FIPS, dual stack, access points, bucket
 * in the host name or in the path), so it prepares one request for each bucket, which is never sent.
 */
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';

export type BucketEndpoint = {
  /** `https://bucket.s3.eu-west-1.amazonaws.com` */
  readonly origin: string;
  /** The value of the `host` header. */
  readonly host: string;
  readonly isEncrypted: boolean;
  /** The path before a key: `/`, or `/bucket/` where the bucket is in the path. */
  readonly pathPrefix: string;
  /** The region that requests are signed for. */
  readonly region: string;
};

type PreparedRequest = {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
};

type Prepared = { readonly request: PreparedRequest; readonly scheme: AuthScheme | undefined };

type AuthScheme = {
  readonly name?: string | undefined;
  readonly signingName?: string | undefined;
  readonly signingRegion?: string | undefined;
};

const anyKey = 'k';

/**
 * @throws FilesystemError `misconfigured` for buckets whose requests are signed differently (directory buckets,
 * Multi-Region Access Points); the SDK's error for a name that no bucket can have.
 */
export async function bucketEndpointOf(client: S3Client, bucket: string): Promise<BucketEndpoint> {
  const { request, scheme } = await prepare(client, bucket);
  if (scheme?.name !== 'sigv4' || scheme.signingName !== 's3') {
    throw new FilesystemError('misconfigured', `${bucket} is of a kind that the gateway does not support`);
  }
  const { protocol, hostname, port, path } = request;
  const host = port === undefined ? hostname : `${hostname}:${port}`;
  return {
    origin: `${protocol}//${host}`,
    host,
    isEncrypted: protocol === 'https:',
    pathPrefix: path.slice(0, -anyKey.length),
    region: scheme.signingRegion ?? (await client.config.region()),
  };
}

async function prepare(client: S3Client, bucket: string): Promise<Prepared> {
  let prepared: Prepared | undefined;
  const command = new HeadObjectCommand({ Bucket: bucket, Key: anyKey });
  command.middlewareStack.add(
    (_send, context) => (args) => {
      const [scheme] = (context.endpointV2?.properties?.['authSchemes'] ?? []) as AuthScheme[];
      prepared = { request: args.request as PreparedRequest, scheme };
      return Promise.resolve({ response: undefined, output: { $metadata: {} } });
    },
    { step: 'build', priority: 'high', name: 'doNotSend' },
  );
  await client.send(command);
  if (!prepared) throw new Error('the SDK prepared no request');
  return prepared;
}
