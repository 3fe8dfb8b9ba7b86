/** Multipart uploads as S3 lists them: those of a prefix, and the parts of one. */
import {
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type ListPartsCommandOutput,
  type MultipartUpload as ListedUpload,
  type Part as ListedPart,
} from '@aws-sdk/client-s3';
import type { S3Storage } from '../s3-storage.ts';

/** A multipart upload that is neither completed nor aborted. */
export type UnfinishedUpload = { readonly key: string; readonly uploadId: string; readonly initiated: Date };

/** The open uploads whose keys begin with the prefix, by key, then the oldest first. */
export async function* listUploads(
  { client }: S3Storage,
  bucket: string,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<UnfinishedUpload> {
  // The SDK has no paginator for it.
  for (let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}; marker;) {
    const page: Awaited<ReturnType<typeof list>> = await list(marker);
    for (const upload of page.Uploads ?? []) {
      const found = parseUpload(upload);
      if (found) yield found;
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    marker =
      IsTruncated && NextKeyMarker !== undefined
        ? {
            KeyMarker: NextKeyMarker,
            ...(NextUploadIdMarker !== undefined && { UploadIdMarker: NextUploadIdMarker }),
          }
        : undefined;
  }

  function list(marker: { KeyMarker?: string; UploadIdMarker?: string }) {
    const request = { Bucket: bucket, Prefix: prefix, EncodingType: 'url', ...marker } as const;
    return client.send(new ListMultipartUploadsCommand(request), { abortSignal: signal });
  }
}

function parseUpload({ Key, UploadId, Initiated }: ListedUpload): UnfinishedUpload | undefined {
  if (Key === undefined || UploadId === undefined || Initiated === undefined) return undefined;
  return { key: decodeKey(Key), uploadId: UploadId, initiated: Initiated };
}

// `encoding-type=url` is the encoding of forms, where a space may be `+`.
function decodeKey(encoded: string): string {
  try {
    return decodeURIComponent(encoded.replaceAll('+', ' '));
  } catch {
    return encoded;
  }
}

/** All parts of an upload, by number. */
export async function listParts(
  { client }: S3Storage,
  bucket: string,
  { key, uploadId }: Pick<UnfinishedUpload, 'key' | 'uploadId'>,
  signal: AbortSignal,
): Promise<ListedPart[]> {
  const parts: ListedPart[] = [];
  const request = { Bucket: bucket, Key: key, UploadId: uploadId };
  // Not the SDK's paginator: servers name a next marker on the last page too, and it would ask for ever.
  for (let marker: string | undefined = ''; marker !== undefined;) {
    const page: ListPartsCommandOutput = await client.send(
      new ListPartsCommand({ ...request, ...(marker !== '' && { PartNumberMarker: marker }) }),
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

/** When something last came in. */
export function newestUpload(upload: UnfinishedUpload, parts: readonly ListedPart[]): Date {
  return parts.reduce(
    (newest, { LastModified }) => (LastModified && LastModified > newest ? LastModified : newest),
    upload.initiated,
  );
}
