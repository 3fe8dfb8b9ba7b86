/** Checksums that S3 stores with an object. Those of the whole object's bytes save downloading it. */
import type { ChecksumAlgorithm } from '../../filesystem/filesystem.ts';
import type { ObjectHead } from '../client/object-headers.ts';

const checksumField = {
  CRC32: 'ChecksumCRC32',
  MD5: 'ChecksumMD5',
  'SHA-1': 'ChecksumSHA1',
  'SHA-256': 'ChecksumSHA256',
  'SHA-512': 'ChecksumSHA512',
} as const satisfies Record<ChecksumAlgorithm, keyof ObjectHead>;

/**
 * The digest in lower-case hexadecimal from a HeadObject with `ChecksumMode: 'ENABLED'`; undefined where S3 stores none, or only one
 * of the parts' checksums (`COMPOSITE`: Amazon S3 User Guide, "Checking object integrity").
 */
export function storedChecksum(object: ObjectHead, algorithm: ChecksumAlgorithm): string | undefined {
  const value = object[checksumField[algorithm]];
  if (value !== undefined && object.ChecksumType === 'FULL_OBJECT') {
    return Buffer.from(value, 'base64').toString('hex');
  }
  return algorithm === 'MD5' ? md5FromEtag(object) : undefined;
}

// The ETag of an object that was not uploaded in parts is its MD5 if S3 encrypted it with its own keys (Amazon S3 API Reference,
// "Object": ETag). Servers that report no encryption may put anything there.
function md5FromEtag({ ETag = '', ServerSideEncryption }: ObjectHead): string | undefined {
  return ServerSideEncryption === 'AES256' ? /^"([0-9a-f]{32})"$/.exec(ETag)?.[1] : undefined;
}
