/** The attributes of an object as headers of S3's REST API (Amazon S3 API Reference, PutObject and HeadObject). */
import type { CreateMultipartUploadCommandInput, HeadObjectCommandOutput } from '@aws-sdk/client-s3';

/** Fields that PutObject, CopyObject and CreateMultipartUpload have in common; to be spread into their input. */
export type ObjectAttributes = Pick<
  CreateMultipartUploadCommandInput,
  | 'BucketKeyEnabled'
  | 'CacheControl'
  | 'ContentDisposition'
  | 'ContentEncoding'
  | 'ContentLanguage'
  | 'ContentType'
  | 'Expires'
  | 'Metadata'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
  | 'StorageClass'
  | 'Tagging'
  | 'WebsiteRedirectLocation'
>;

/** The response to HeadObject, with the SDK's field names. */
export type ObjectHead = {
  /** The time of the response by S3's clock. */
  readonly RespondedAt?: Date | undefined;
} & Pick<
  HeadObjectCommandOutput,
  | keyof TextFields
  | 'BucketKeyEnabled'
  | 'ContentLength'
  | 'LastModified'
  | 'Metadata'
  | 'TagCount'
  | keyof typeof checksumHeaders
>;

type TextFields = typeof textHeaders;

/** Attributes that are text, with the same header in requests and responses. */
const textHeaders = {
  CacheControl: 'cache-control',
  ContentDisposition: 'content-disposition',
  ContentEncoding: 'content-encoding',
  ContentLanguage: 'content-language',
  ContentType: 'content-type',
  ETag: 'etag',
  ExpiresString: 'expires',
  ServerSideEncryption: 'x-amz-server-side-encryption',
  SSEKMSKeyId: 'x-amz-server-side-encryption-aws-kms-key-id',
  StorageClass: 'x-amz-storage-class',
  WebsiteRedirectLocation: 'x-amz-website-redirect-location',
} as const;

const checksumHeaders = {
  ChecksumCRC32: 'x-amz-checksum-crc32',
  ChecksumMD5: 'x-amz-checksum-md5',
  ChecksumSHA1: 'x-amz-checksum-sha1',
  ChecksumSHA256: 'x-amz-checksum-sha256',
  ChecksumSHA512: 'x-amz-checksum-sha512',
  ChecksumType: 'x-amz-checksum-type',
} as const;

const responseTexts = [...Object.entries(textHeaders), ...Object.entries(checksumHeaders)];

const metadataPrefix = 'x-amz-meta-';
const bucketKeyHeader = 'x-amz-server-side-encryption-bucket-key-enabled';

type Headers = Readonly<Record<string, string | undefined>>;

/** The request headers that give an object these attributes, of PutObject and CopyObject. */
export function headersOfAttributes(attributes: ObjectAttributes): Record<string, string | undefined> {
  const { BucketKeyEnabled, Expires, Metadata = {}, Tagging, ...texts } = attributes;
  const headers: Record<string, string | undefined> = {
    [bucketKeyHeader]: BucketKeyEnabled === undefined ? undefined : String(BucketKeyEnabled),
    expires: Expires?.toUTCString(),
    'x-amz-tagging': Tagging,
  };
  for (const [field, text] of Object.entries(texts)) headers[textHeaders[field as keyof typeof texts]] = text;
  for (const [name, value] of Object.entries(Metadata)) headers[metadataPrefix + name] = value;
  return headers;
}

/** Reads the headers of a response to HeadObject or GetObject. */
export function objectHeadOf(headers: Headers): ObjectHead {
  const fields: Record<string, unknown> = {};
  for (const [field, name] of responseTexts) fields[field] = headers[name];
  return {
    ...fields,
    RespondedAt: dateOf(headers['date']),
    BucketKeyEnabled:
      headers[bucketKeyHeader] === undefined ? undefined : headers[bucketKeyHeader] === 'true',
    ContentLength: numberOf(headers['content-length']),
    LastModified: dateOf(headers['last-modified']),
    Metadata: metadataOf(headers),
    TagCount: numberOf(headers['x-amz-tagging-count']),
  };
}

function metadataOf(headers: Headers): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = value ?? '';
  }
  return metadata;
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
