/**
 * The size of the next part of an upload, whose length may be unknown. Pure.
 *
 * S3 accepts 10,000 parts of 5 MiB to 5 GiB (Amazon S3 User Guide, "Multipart upload limits"). Parts start small, so that many
 * uploads fit into memory and little is sent again after an upload broke, and grow as part numbers are used up. A part is held
 * until S3 has confirmed it, so the transfer memory limits its size, and with it the largest upload.
 */
import type { PartBytes } from '../s3-storage.ts';

const mib = 1024 * 1024;
const gib = 1024 * mib;

export const maxParts = 10_000;
/** The minimum of every part but the last. */
export const minPartBytes = 5 * mib;
export const maxPartBytes = 5 * gib;
/** The largest object: 10,000 parts of 5 GiB, 48.8 TiB (Amazon S3 User Guide, "Multipart upload limits"). */
export const maxObjectBytes = maxParts * maxPartBytes;

/** The first parts of an upload of unknown length. */
export const firstPartBytes = 8 * mib;

/** Parts of one size after which the size doubles, as far as memory allows. */
export const partsBeforeDoubling = 50;

const amazonPartBytes: PartBytes = { minimum: minPartBytes, first: firstPartBytes };

/** The part sizes that a storage has configured; those of Amazon S3 by default. */
export function partBytesOf({
  partBytes = amazonPartBytes,
}: {
  readonly partBytes?: PartBytes | undefined;
}): PartBytes {
  return partBytes;
}

export type PartSizeOptions = {
  /** From 1 to 10,000. */
  readonly partNumber: number;
  /** Transfer memory of the process. */
  readonly budgetBytes: number;
  /** Bytes not received yet, where the client has announced the length (ALLO). */
  readonly announcedBytesLeft?: number | undefined;
  readonly partBytes?: PartBytes | undefined;
};

/** Bytes after which the part is sent when memory is available: between 5 MiB and 5 GiB, a multiple of 1 MiB. */
export function partSizeBytes(options: PartSizeOptions): number {
  const { partNumber, budgetBytes, announcedBytesLeft = 0 } = options;
  const { first } = partBytesOf(options);
  const doublings = Math.floor((partNumber - 1) / partsBeforeDoubling);
  const grownBytes = first * 2 ** Math.min(doublings, 10);
  const partsLeft = maxParts - partNumber + 1;
  const announcedPartBytes = Math.ceil(announcedBytesLeft / partsLeft / mib) * mib;
  const wantedBytes = Math.max(grownBytes, announcedPartBytes);
  return clamp(Math.min(wantedBytes, boundByMemory(partNumber, budgetBytes)), options);
}

/**
 * Bytes with which a part may be sent early, when memory is short: a quarter of the full size, so that such an upload can still
 * reach a quarter of its maximum length.
 */
export function minPartBytesAt(options: PartSizeOptions): number {
  return clamp(Math.floor(partSizeBytes(options) / 4), options);
}

/** The longest upload of unannounced length that a budget allows, in bytes. */
export function maxUploadBytes(budgetBytes: number): number {
  let bytes = 0;
  for (let partNumber = 1; partNumber <= maxParts; partNumber++)
    bytes += partSizeBytes({ partNumber, budgetBytes });
  return bytes;
}

// An upload has several parts in memory. The fewer numbers are left, the more memory it may have for each of them.
function boundByMemory(partNumber: number, budgetBytes: number): number {
  const share = partNumber <= 4_000 ? 8 : partNumber <= 7_000 ? 4 : 2;
  return Math.floor(budgetBytes / share / mib) * mib;
}

function clamp(bytes: number, options: PartSizeOptions): number {
  return Math.min(Math.max(bytes, partBytesOf(options).minimum), maxPartBytes);
}

/** The first and the last byte of a range, inclusive as in HTTP. */
export type ByteRange = { readonly firstByte: number; readonly lastByte: number };

/** Divides bytes that S3 copies into at most `count` ranges of equal length; the last one may be shorter by up to `count` bytes. */
export function* splitEvenly(sizeBytes: number, count: number): Generator<ByteRange> {
  const rangeBytes = Math.ceil(sizeBytes / count);
  for (let firstByte = 0; firstByte < sizeBytes; firstByte += rangeBytes) {
    yield { firstByte, lastByte: Math.min(firstByte + rangeBytes, sizeBytes) - 1 };
  }
}
