/** Requests for multipart uploads that are not finished: lists those of a prefix, lists the parts of one, aborts one. */
import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type MultipartUpload as ListedUpload,
  type Part as ListedPart,
} from '@aws-sdk/client-s3';
import { decodeKey } from '../client/list-objects.ts';
import type { GatewayS3Client } from '../client/s3-client.ts';

/** A multipart upload that is neither completed nor aborted. */
export type UnfinishedUpload = { readonly key: string; readonly uploadId: string; readonly initiated: Date };

type Marker = { readonly KeyMarker?: string; readonly UploadIdMarker?: string | undefined };

/** The unfinished uploads whose keys begin with the prefix, in order of key, then of age, oldest first. */
export async function* listUploads(
  client: GatewayS3Client,
  bucket: string,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<UnfinishedUpload> {
  // The SDK has no paginator for it.
  for (let marker: Marker | undefined = {}; marker;) {
    const page: Awaited<ReturnType<typeof list>> = await list(marker);
    for (const upload of page.Uploads ?? []) {
      const found = parseUpload(upload);
      if (found) yield found;
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    const hasMore = IsTruncated === true && NextKeyMarker !== undefined;
    marker = hasMore ? { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker } : undefined;
  }

  function list(marker: Marker) {
    const request = { Bucket: bucket, Prefix: prefix, EncodingType: 'url', ...marker } as const;
    return client.send(new ListMultipartUploadsCommand(request), { abortSignal: signal });
  }
}

function parseUpload({ Key, UploadId, Initiated }: ListedUpload): UnfinishedUpload | undefined {
  if (Key === undefined || UploadId === undefined || Initiated === undefined) return undefined;
  return { key: decodeKey(Key), uploadId: UploadId, initiated: Initiated };
}

/** All parts of an upload, by number. */
export async function listParts(
  client: GatewayS3Client,
  bucket: string,
  { key, uploadId }: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal,
): Promise<ListedPart[]> {
  const parts: ListedPart[] = [];
  const request = { Bucket: bucket, Key: key, UploadId: uploadId };
  // Not the SDK's paginator: some servers name a next marker on the last page too, and it would never end.
  for (let marker: string | undefined = ''; marker !== undefined;) {
    const page: ListPartsCommandOutput = await client.send(
      new ListPartsCommand({ ...request, PartNumberMarker: marker === '' ? undefined : marker }),
      { abortSignal: signal },
    );
    parts.push(...(page.Parts ?? []));
    marker =
      page.IsTruncated === true && page.NextPartNumberMarker !== marker
        ? page.NextPartNumberMarker
        : undefined;
  }
  return parts.sort((one, other) => (one.PartNumber ?? 0) - (other.PartNumber ?? 0));
}

/** When S3 last received something of the upload. */
export function lastActivity(upload: UnfinishedUpload, parts: readonly ListedPart[]): Date {
  return parts.reduce(
    (newest, { LastModified }) => (LastModified && LastModified > newest ? LastModified : newest),
    upload.initiated,
  );
}

/** Aborts an upload in a single attempt. @throws S3's own error. */
export async function abortUpload(
  client: GatewayS3Client,
  bucket: string,
  { key, uploadId }: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal,
): Promise<void> {
  await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }), {
    abortSignal: signal,
  });
}
