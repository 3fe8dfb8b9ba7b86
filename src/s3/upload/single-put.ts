/** The commit of an upload that fits into one part: a single PutObject sends the bytes and publishes them. */
import type { StoredObject } from '../../filesystem/filesystem.ts';
import type { ObjectAttributes } from '../client/object-headers.ts';
import { putObject } from '../client/operations.ts';
import type { S3Storage } from '../s3-storage.ts';
import { objectChecksum } from './checksum.ts';
import { commitUpload, type Condition } from './commit.ts';
import type { Part } from './part.ts';

export type SinglePut = {
  readonly bucket: string;
  readonly key: string;
  readonly part: Part;
  /** Also in the metadata of `attributes`. */
  readonly id: string;
  readonly attributes: ObjectAttributes;
  readonly condition: Condition;
};

/** Resolves and throws like `commitUpload`. Marks the part as confirmed as soon as S3 has its bytes. */
export async function commitSinglePut(
  storage: S3Storage,
  { bucket, key, part, id, attributes, condition }: SinglePut,
  signal: AbortSignal,
): Promise<StoredObject> {
  const body = { chunks: part.finish(), sizeBytes: part.sizeBytes, sending: part.sending };
  const send = async (conditions: object, attemptSignal: AbortSignal): Promise<object> => {
    const checksum = objectChecksum(part, !storage.verifiesCrc32);
    const object = { bucket, key, body, attributes, checksum, conditions, signal: attemptSignal };
    const response = await putObject(storage.client, object);
    part.isConfirmed = true;
    if (response.ChecksumCRC32 !== undefined) storage.verifiesCrc32 = true;
    return response;
  };
  const identity = { id };
  const commit = { bucket, key, identity, condition, operation: 'PutObject', send } as const;
  return await commitUpload(storage, commit, signal);
}
