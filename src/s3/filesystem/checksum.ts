/** The checksum of a file or of a range of it: the one that S3 stores if there is one, else that of the downloaded bytes. */
import { digestInWorker, digestOf, firstBytesOf } from '../../filesystem/digest.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import type { ChecksumOptions } from '../../filesystem/filesystem.ts';
import type { ObjectHead } from '../client/object-headers.ts';
import { openS3Download } from '../download/download.ts';
import type { S3Storage } from '../s3-storage.ts';
import { storedChecksum } from './stored-checksum.ts';

/** Up to this length hashing takes less time than starting a thread for it. */
const maxInlineDigestBytes = 1024 * 1024;

/** Whose file it is: digests and transfer memory are shared out by user. */
export type ChecksumSource = {
  readonly bucket: string;
  readonly key: string;
  readonly head: ObjectHead;
  readonly user: string;
};

/** @throws FilesystemError `invalid-offset` for a range beyond the end; what the download throws. */
export async function checksumOf(
  storage: S3Storage,
  { bucket, key, head, user }: ChecksumSource,
  { algorithm, startBytes = 0, endBytes: givenEndBytes, signal }: ChecksumOptions,
): Promise<string> {
  const sizeBytes = head.ContentLength ?? 0;
  const endBytes = givenEndBytes ?? sizeBytes;
  if (startBytes > endBytes || endBytes > sizeBytes) {
    throw new FilesystemError('invalid-offset', 'the file ends before the range');
  }
  const stored = endBytes - startBytes === sizeBytes ? storedChecksum(head, algorithm) : undefined;
  if (stored !== undefined) return stored;
  return await storage.digests.run(user, signal, async () => {
    const source = { bucket, key, offsetBytes: startBytes, user, signal };
    const { content } = await openS3Download(storage, source);
    const lengthBytes = endBytes - startBytes;
    const digest = lengthBytes > maxInlineDigestBytes ? digestInWorker : digestOf;
    return await digest(algorithm, firstBytesOf(content, lengthBytes));
  });
}
