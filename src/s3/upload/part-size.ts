/**
 * How large the next part of an upload of unknown length has to be. Pure.
 *
 * S3 takes 10,000 parts of 5 MiB to 5 GiB (Amazon S3 User Guide, "Multipart upload limits"). Parts begin small, so that
 * many uploads fit into memory and little is sent again after a break, and grow as part numbers are used up. A part must
 * be held until S3 has confirmed it, so the transfer memory bounds its size, and with it the largest upload.
 */

const mib = 1024 * 1024;
const gib = 1024 * mib;

export const maxParts = 10_000;
/** Every part but the last has at least so many bytes. */
export const minPartBytes = 5 * mib;
export const maxPartBytes = 5 * gib;
/** The largest object: 10,000 parts of 5 GiB, 48.8 TiB (Amazon S3 User Guide, "Multipart upload limits"). */
export const maxObjectBytes = maxParts * maxPartBytes;

/** The first parts of an upload whose length nobody knows. */
export const firstPartBytes = 8 * mib;

/** After so many parts of one size the size doubles, as far as memory allows. */
export const partsBeforeDoubling = 50;

/** The limits that scale with the files: those of Amazon S3, or smaller ones in models of long uploads. */
export type PartBytes = {
  /** Of every part but the last. */
  readonly smallest: number;
  /** Of the first parts of an upload whose length nobody knows. */
  readonly first: number;
};

const amazonPartBytes: PartBytes = { smallest: minPartBytes, first: firstPartBytes };

/** The part sizes of a storage. */
export function partBytesOf({ partBytes = amazonPartBytes }: { readonly partBytes?: PartBytes }): PartBytes {
  return partBytes;
}

export type PartSizeOptions = {
  /** From 1 to 10,000. */
  readonly partNumber: number;
  /** Transfer memory of the process. */
  readonly budgetBytes: number;
  /** Bytes still to come, where the client has announced them (ALLO). */
  readonly announcedBytesLeft?: number;
  readonly partBytes?: PartBytes;
};

/** Bytes after which the part is sent when memory is at hand: between 5 MiB and 5 GiB, a multiple of 1 MiB. */
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
 * Bytes with which a part may be sent early, when memory is short. A quarter of the full size, so that an upload under
 * pressure still reaches a quarter of what it could reach.
 */
export function minPartBytesAt(options: PartSizeOptions): number {
  return clamp(Math.floor(partSizeBytes(options) / 4), options);
}

/** The longest upload of unannounced length that a budget can take, in bytes. */
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
  return Math.min(Math.max(bytes, partBytesOf(options).smallest), maxPartBytes);
}
