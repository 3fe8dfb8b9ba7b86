/** As much of S3 as a listing needs, for directories that no test could fill: every name is made when it is asked for. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type ListingServer = { readonly endpoint: string; readonly bucket: string; close(): Promise<void> };

const entriesPerPage = 1000;

/** A bucket whose directories each have this many files; `nameOf` names one by its index, in order of their bytes. */
export async function startListingServer(
  fileCount: number,
  nameOf: (index: number) => string,
): Promise<ListingServer> {
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const prefix = searchParams.get('prefix') ?? '';
    if (request.method !== 'GET' || searchParams.get('list-type') !== '2') {
      response.writeHead(404).end();
      return;
    }
    // A name with wildcards is no directory.
    const count = prefix.includes('*') ? 0 : fileCount;
    const start = Number(searchParams.get('continuation-token') ?? 0);
    const end = Math.min(count, start + Number(searchParams.get('max-keys') ?? entriesPerPage));
    let contents = '';
    for (let index = start; index < end; index++) {
      const key = encodeURIComponent(prefix + nameOf(index));
      contents +=
        `<Contents><Key>${key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>` +
        `<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>${index}</Size></Contents>`;
    }
    const next = end < count ? `<NextContinuationToken>${end}</NextContinuationToken>` : '';
    response.end(
      `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><EncodingType>url</EncodingType>` +
        `<IsTruncated>${end < count}</IsTruncated>${next}${contents}</ListBucketResult>`,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bucket: 'listing',
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
