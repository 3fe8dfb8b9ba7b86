/** Multipart uploads that were begun and neither completed nor aborted, as S3 lists them. */
import { ListMultipartUploadsCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import { minPartBytes } from '../../src/s3/upload/part-size.ts';
import type { S3Server } from './s3-server.ts';

type Bucket = Pick<S3Server, 'client' | 'bucket'>;

export type UnfinishedUpload = { readonly key: string; readonly uploadId: string };

/** Those of one key, or of the whole bucket. */
export async function unfinishedUploads(
  { client, bucket }: Bucket,
  key?: string,
): Promise<UnfinishedUpload[]> {
  const { Uploads = [] } = await client.send(
    new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }),
  );
  return Uploads.map(({ Key = '', UploadId = '' }) => ({ key: Key, uploadId: UploadId })).filter(
    (upload) => key === undefined || upload.key === key,
  );
}

/**
 * Resolves when S3 has so many parts with data, and so many marks, of an upload of the key, to the sizes of the former in
 * bytes. Nothing tells what S3 has, so this asks until it is there.
 */
export async function partsArrived(
  s3: Bucket,
  key: string,
  wanted: { readonly dataParts: number; readonly marks: number },
): Promise<number[]> {
  for (;;) {
    for (const { uploadId } of await unfinishedUploads(s3, key)) {
      const { Parts = [] } = await s3.client.send(
        new ListPartsCommand({ Bucket: s3.bucket, Key: key, UploadId: uploadId }),
      );
      const sizes = Parts.map(({ Size = 0 }) => Size);
      const dataSizes = sizes.filter((sizeBytes) => sizeBytes >= minPartBytes);
      const marks = sizes.length - dataSizes.length;
      if (dataSizes.length >= wanted.dataParts && marks >= wanted.marks) return dataSizes;
    }
  }
}
