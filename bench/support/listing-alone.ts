/** ListObjectsV2 with no gateway around it: two pages by a bare request, or all of them by the SDK. */
import { paginateListObjectsV2 } from '@aws-sdk/client-s3';
import type { S3Target } from './peer.ts';
import { s3ClientOf } from './s3-server.ts';

export type PageTimes = { readonly onePageMs: number; readonly twoPagesMs: number };

/** From the first request until the last byte of a page; nothing is read into entries. The server checks no signature. */
export async function bareTwoPages({ endpoint, bucket }: S3Target, count: number): Promise<PageTimes> {
  const url = new URL(`/${bucket}`, endpoint);
  url.search = new URLSearchParams({ 'list-type': '2', delimiter: '/', prefix: prefixOf(count) }).toString();
  const startedAt = performance.now();
  const first = await (await fetch(url)).text();
  const onePageMs = performance.now() - startedAt;
  const token = /<NextContinuationToken>(.*?)</.exec(first)?.[1];
  if (token === undefined) throw new Error('the listing has one page only');
  url.searchParams.set('continuation-token', token);
  await (await fetch(url)).text();
  return { onePageMs, twoPagesMs: performance.now() - startedAt };
}

/** Reads the whole listing, in this process. Resolves to the milliseconds until its first page was there. */
export async function sdkListing(target: S3Target, count: number): Promise<number> {
  const client = await s3ClientOf(target);
  const listing = { Bucket: target.bucket, Prefix: prefixOf(count), Delimiter: '/' };
  const startedAt = performance.now();
  let firstPageMs = 0;
  let found = 0;
  for await (const { Contents = [], CommonPrefixes = [] } of paginateListObjectsV2({ client }, listing)) {
    if (found === 0) firstPageMs = performance.now() - startedAt;
    found += Contents.length + CommonPrefixes.length;
  }
  client.destroy();
  if (found !== count) throw new Error(`${found} entries of ${count}`);
  return firstPageMs;
}

function prefixOf(count: number): string {
  return `gateway/files-${count}/`;
}
