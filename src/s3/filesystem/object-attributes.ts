/** What an object carries besides its bytes: from a home's storage options for a new one, from the source for a copy. */
import type { StorageOptions } from '../../users/user.ts';
import { contentTypeOf } from './content-type.ts';
import type { ObjectAttributes, ObjectHead } from '../client/object-headers.ts';

/** The attributes of an object that a client uploads below this home. */
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

/** The attributes of a directory's marker: encrypted and tagged as its files are, and always in the standard class. */
export function attributesOfMarker(options: StorageOptions | undefined): ObjectAttributes {
  const { tags, encryption } = options ?? {};
  return {
    ContentType: 'application/x-directory',
    ...(tags && { Tagging: taggingHeader(Object.entries(tags)) }),
    ...encryptionAttributes(encryption),
  };
}

/** The attributes of a copy: those of its source, tags excepted, which HeadObject only counts. */
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
    // S3 tells no class for its default one, and would otherwise copy into that.
    StorageClass: source.StorageClass,
    WebsiteRedirectLocation: source.WebsiteRedirectLocation,
  };
}

/** Tags as the `x-amz-tagging` header wants them: the query of a URL. */
export function taggingHeader(tags: Iterable<readonly [key: string, value: string]>): string {
  return [...tags].map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&');
}

/**
 * The time that a client gave a file (MFMT), kept as rclone keeps it: seconds since the epoch in `x-amz-meta-mtime`. That of the
 * object itself where there is none, or none that FTP can write in four digits of a year (RFC 3659 2.3).
 */
export function modifiedAtOf(source: Pick<ObjectHead, 'Metadata' | 'LastModified'>): Date {
  const kept = source.Metadata?.['mtime'];
  const keptDate = new Date(kept ? Number(kept) * 1000 : NaN);
  const year = keptDate.getUTCFullYear();
  return year >= 0 && year <= 9999 ? keptDate : (source.LastModified ?? new Date(0));
}

/** The metadata that makes `modifiedAtOf` give this time. */
export function mtimeMetadata(modifiedAt: Date): { readonly mtime: string } {
  return { mtime: String(modifiedAt.getTime() / 1000) };
}

function encryptionAttributes(encryption: StorageOptions['encryption']): ObjectAttributes {
  if (!encryption) return {};
  if (encryption.algorithm === 'AES256') return { ServerSideEncryption: 'AES256' };
  return {
    ServerSideEncryption: 'aws:kms',
    // A bucket key saves most calls to KMS, and their cost (Amazon S3 User Guide, "S3 Bucket Keys").
    BucketKeyEnabled: true,
    ...(encryption.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
  };
}

function validDate(text: string): Date | undefined {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
