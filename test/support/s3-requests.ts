/** Sees every request that a client of the gateway makes to S3, whichever way it goes. */
import type { DirectRequest } from '../../src/s3/client/direct-client.ts';
import type { GatewayS3Client } from '../../src/s3/client/s3-client.ts';

/** One request in S3's terms: `CopyObject` of the key `home/a/b`; the key is empty where the bucket is asked. */
export type S3Request = { readonly command: string; readonly key: string };

/** Calls back before each request, repetitions of a failed one not counted; the callback may wait, and may fail it. */
export function interceptRequests(
  client: GatewayS3Client,
  intercept: (request: S3Request) => Promise<void> | void,
): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const { Key = '' } = args.input as { Key?: string };
      // The one that only resolves the endpoint of a bucket is never sent.
      if (context.commandName !== 'HeadObjectCommand') {
        await intercept({ command: (context.commandName ?? '').replace('Command', ''), key: Key });
      }
      return await next(args);
    },
    { step: 'initialize', name: 'intercept' },
  );
  const { direct } = client;
  const send = direct.send.bind(direct);
  direct.send = async (request) => {
    await intercept({ command: commandOf(request), key: request.key ?? '' });
    return await send(request);
  };
  const sendForResult = direct.sendForResult.bind(direct);
  direct.sendForResult = async (request, element) => {
    await intercept({ command: commandOf(request), key: request.key ?? '' });
    return await sendForResult(request, element);
  };
}

function commandOf({ method, key, query, headers }: DirectRequest): string {
  if (key === undefined) return 'ListObjectsV2';
  if (headers?.['x-amz-copy-source'] !== undefined) return 'CopyObject';
  if (method === 'PUT') return query?.['partNumber'] === undefined ? 'PutObject' : 'UploadPart';
  return method === 'HEAD' ? 'HeadObject' : 'GetObject';
}
