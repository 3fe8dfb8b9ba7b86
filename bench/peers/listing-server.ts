/**
 * An S3 server that only lists: directories of any number of entries, made up page by page, so that what is measured is the
 * reader of the listing. A folder called `files-N` has N entries, one in a hundred a directory. Runs as a process of its
 * own. Argument: port.
 */
import { createServer } from 'node:http';

const [port = ''] = process.argv.slice(2);
const entriesPerPage = 1000;

createServer((request, response) => {
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
  response.setHeader('content-type', 'application/xml');
  const count = Number(/files-(\d+)\/$/.exec(searchParams.get('prefix') ?? '')?.[1] ?? NaN);
  if (request.method !== 'GET' || Number.isNaN(count)) {
    response.statusCode = 404;
    response.end();
    return;
  }
  const first = Number(searchParams.get('continuation-token') ?? 0);
  const wanted = Math.min(Number(searchParams.get('max-keys') ?? entriesPerPage), count - first);
  response.end(pageOf(searchParams.get('prefix') ?? '', first, first + wanted, count));
}).listen(Number(port), '127.0.0.1');

function pageOf(prefix: string, first: number, end: number, count: number): string {
  const contents: string[] = [];
  const prefixes: string[] = [];
  for (let index = first; index < end; index++) {
    const name = `${prefix}report-${String(index).padStart(9, '0')}.csv`;
    if (index % 100 === 99) prefixes.push(`<CommonPrefixes><Prefix>${name}/</Prefix></CommonPrefixes>`);
    else
      contents.push(
        `<Contents><Key>${name}</Key><LastModified>2026-10-01T12:00:00.000Z</LastModified>` +
          '<ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>' +
          `<ChecksumType>FULL_OBJECT</ChecksumType><Size>${index}</Size><StorageClass>STANDARD</StorageClass></Contents>`,
      );
  }
  const more = end < count;
  return (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
    `<IsTruncated>${String(more)}</IsTruncated>${more ? `<NextContinuationToken>${end}</NextContinuationToken>` : ''}` +
    `<EncodingType>url</EncodingType>${contents.join('')}${prefixes.join('')}</ListBucketResult>`
  );
}
