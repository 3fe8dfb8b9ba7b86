/**
 * How long an attempt of a request may get no byte from S3, and how many attempts without a response may follow each other.
 * docs/decisions/0030-silent-storage.md has the reasons.
 */
import { statusOf, storageCauseOf } from './storage-cause.ts';

/** In milliseconds. */
export type ResponseTimeouts = {
  /** For requests that S3 answers within a second, and that may be repeated after a lost response. */
  readonly shortMs: number;
  /** For bodies that may still be in the socket's buffer when S3 seems silent. */
  readonly bodyMs: number;
  /** For requests that may take minutes: see `longOperations`. */
  readonly longMs: number;
};

/** 15, 45 and 60 s by default. @param longestMs 60 s by default; tests scale all of them by it. */
export function responseTimeoutsOf(longestMs: number): ResponseTimeouts {
  return { shortMs: longestMs / 4, bodyMs: (longestMs * 3) / 4, longMs: longestMs };
}

/**
 * S3 assembles and copies for minutes (Amazon S3 API Reference, CompleteMultipartUpload and CopyObject). Amazon S3 sends white space
 * meanwhile; other servers may send nothing.
 */
export const longOperations: ReadonlySet<string> = new Set([
  'CompleteMultipartUpload',
  'CopyObject',
  'UploadPartCopy',
]);

/** Shorter bodies leave the socket's buffer in a moment. */
export const longBodyBytes = 1024 * 1024;

/**
 * A connection may have been lost without a reset, so one more attempt follows at once. Only after a short timeout: the transfer
 * repeats long ones itself, as far as its time allows (`retry.ts`).
 */
export function attemptsWithoutResponse(timeoutMs: number, { shortMs }: ResponseTimeouts): number {
  return timeoutMs <= shortMs ? 2 : 1;
}

/** Whether S3 did not respond at all. */
export function isWithoutResponse(error: unknown): boolean {
  return statusOf(error) === undefined && storageCauseOf(error) === 'STORAGE-NO-RESPONSE';
}

/** An attempt got no response. Not an error that the SDK's own retries know, so that they do not repeat it. */
export class ResponseTimeout extends Error {
  override readonly name = 'ResponseTimeout';
}
