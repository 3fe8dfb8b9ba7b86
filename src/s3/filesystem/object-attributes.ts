/** The attributes of an object: from a home's storage options for a new one, from the source for a copy. */
import type { StorageOptions } from '../../users/user.ts';
import { contentTypeOf } from './content-type.ts';
import type { ObjectAttributes, ObjectHead } from '../client/object-headers.ts';

/** The attributes of an object that a client uploads to this home. */
export function attributesOfUpload(options: StorageOptions | undefined, key: string): ObjectAttributes {
  const { encryption, storageClass, contentTypes, tags } = options ?? {};
  const contentType = contentTypeOf(key, contentTypes);
  return {
    ContentType: contentType ?? 'application/octet-stream',
    ...(storageClass !== undefined && { StorageClass: storageClass }),
    ...(tags && { Tagging: taggingHeader(Object.entries(tags)) }),
    ...encryptionAttributes(encryption),
  };
}

/** The attributes of a directory marker: encrypted and tagged like files, and always in the standard storage class. */
export function attributesOfMarker(options: StorageOptions | undefined): ObjectAttributes {
  const { tags, encryption } = options ?? {};
  return {
    ContentType: 'application/x-directory',
    ...(tags && { Tagging: taggingHeader(Object.entries(tags)) }),
    ...encryptionAttributes(encryption),
  };
}

/** The attributes of a copy: those of its source, except for tags, which HeadObject only counts. */
export function attributesOfCopy(source: ObjectHead): ObjectAttributes {
  return {
    BucketKeyEnabled: source.BucketKeyEnabled,
    CacheControl: source.CacheControl,
    ContentDisposition: source.ContentDisposition,
    ContentEncoding: source.ContentEncoding,
    ContentLanguage: source.ContentLanguage,
    ContentType: source.ContentType,
    Expires: source.ExpiresString === undefined ? undefined : validDate(source.ExpiresString),
    Metadata: source.Metadata,
    ServerSideEncryption: source.ServerSideEncryption,
    SSEKMSKeyId: source.SSEKMSKeyId,
    // Without it S3 would copy to its default class. For an object of that class HeadObject returns none.
    StorageClass: source.StorageClass,
    WebsiteRedirectLocation: source.WebsiteRedirectLocation,
  };
}

/** Tags in the form of the `x-amz-tagging` header: the query of a URL. */
export function taggingHeader(tags: Iterable<readonly [key: string, value: string]>): string {
  return [...tags].map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&');
}

/**
 * The modification time that a client gave a file (MFMT), stored like rclone's: seconds since the epoch in `x-amz-meta-mtime`.
 * The time of the object itself where there is none, or none that FTP can write with a year of four digits (RFC 3659 2.3).
 */
export function modifiedAtOf(source: Pick<ObjectHead, 'Metadata' | 'LastModified'>): Date {
  const mtime = source.Metadata?.['mtime'];
  const modifiedAt = new Date(mtime ? Number(mtime) * 1000 : NaN);
  const year = modifiedAt.getUTCFullYear();
  return year >= 0 && year <= 9999 ? modifiedAt : (source.LastModified ?? new Date(0));
}

/** The metadata from which `modifiedAtOf` reads this time. */
export function mtimeMetadata(modifiedAt: Date): { readonly mtime: string } {
  return { mtime: String(modifiedAt.getTime() / 1000) };
}

function encryptionAttributes(encryption: StorageOptions['encryption']): ObjectAttributes {
  if (!encryption) return {};
  if (encryption.algorithm === 'AES256') return { ServerSideEncryption: 'AES256' };
  return {
    ServerSideEncryption: 'aws:kms',
    // A bucket key saves most calls to KMS and their cost (Amazon S3 User Guide, "S3 Bucket Keys").
    BucketKeyEnabled: true,
    ...(encryption.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
  };
}

function validDate(text: string): Date | undefined {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
