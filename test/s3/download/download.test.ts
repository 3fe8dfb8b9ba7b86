import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { FilesystemError, type FilesystemErrorKind } from '../../../src/filesystem/filesystem-error.ts';
import { openS3Download } from '../../../src/s3/download/download.ts';
import { interceptRequests } from '../../support/s3-requests.ts';
import { bytesOf, digest, mib, readAll } from '../transfer.ts';
import { useS3 } from '../s3-suite.ts';
import { rangeBytes } from '../../../src/s3/download/prefetcher.ts';

describe('downloads from S3', () => {
  const s3 = useS3();
  let requests = 0;
  const large = bytesOf(45 * mib + 7, 9);

  before(async () => {
    interceptRequests(s3.storage.client, () => {
      requests++;
    });
    await s3.putObject('large', large);
  });

  const open = (key: string, offsetBytes = 0, signal = new AbortController().signal) =>
    openS3Download(s3.storage, { bucket: s3.bucket, key, offsetBytes, signal });

  for (const sizeBytes of [0, 1, 5000, rangeBytes - 1, rangeBytes, rangeBytes + 1, 3 * rangeBytes]) {
    it(`A download reads ${sizeBytes} bytes`, async () => {
      const bytes = bytesOf(sizeBytes);
      await s3.putObject(`sizes/${sizeBytes}`, bytes);
      const download = await open(`sizes/${sizeBytes}`);
      assert.equal(download.sizeBytes, sizeBytes);
      assert.equal(digest(await readAll(download.content)), digest(bytes));
      assert.equal(s3.storage.memory.heldBytes, 0);
    });
  }

  it('A download of up to one range needs only one request', async () => {
    await s3.putObject('one', bytesOf(5000));
    requests = 0;
    await readAll((await open('one')).content);
    assert.equal(requests, 1);
  });

  for (const offsetBytes of [1, rangeBytes - 1, rangeBytes, 20 * mib + 3, large.length - 1, large.length]) {
    it(`A download starts at byte ${offsetBytes}`, async () => {
      const download = await open('large', offsetBytes);
      assert.equal(download.sizeBytes, large.length);
      assert.equal(digest(await readAll(download.content)), digest(large.subarray(offsetBytes)));
    });
  }

  it('A download with an offset beyond the end is refused', async () => {
    await s3.putObject('short', bytesOf(10));
    await rejectsWith('invalid-offset', () => open('short', 11));
    await rejectsWith('invalid-offset', () => open('short', 2 ** 40));
  });

  it('A download of a missing object fails with not-found', async () => {
    await rejectsWith('not-found', () => open('missing'));
    await rejectsWith('not-found', () => open('missing', 5));
  });

  it('A download never mixes two versions: it fails when the object is replaced meanwhile', async () => {
    await s3.putObject('replaced', large);
    const download = await open('replaced');
    const received: Uint8Array[] = [];
    await rejectsWith('changed', async () => {
      for await (const chunk of download.content) {
        if (received.length === 0) await s3.putObject('replaced', bytesOf(large.length, 10));
        received.push(Buffer.from(chunk));
      }
    });
    const bytes = Buffer.concat(received);
    assert.equal(digest(bytes), digest(large.subarray(0, bytes.byteLength)));
    assert.equal(s3.storage.memory.heldBytes, 0);
  });

  it('A download prefetches within its share of the memory budget and releases everything', async () => {
    let mostHeldBytes = 0;
    let readBytes = 0;
    for await (const chunk of (await open('large')).content) {
      readBytes += chunk.byteLength;
      mostHeldBytes = Math.max(mostHeldBytes, s3.storage.memory.heldBytes);
    }
    assert.equal(readBytes, large.length);
    assert.ok(mostHeldBytes <= s3.storage.memory.budgetBytes / 2, `${mostHeldBytes} bytes held`);
    assert.equal(s3.storage.memory.heldBytes, 0);
  });

  it('A download works without any transfer memory', async () => {
    const narrow = s3.newStorage({ budgetBytes: 16 * mib });
    const upload = narrow.memory.openUpload({ user: 'alice', claimBytes: 5 * mib });
    assert.ok(upload.tryReserve(8 * mib));
    const download = await openS3Download(narrow, {
      bucket: s3.bucket,
      key: 'large',
      offsetBytes: 0,
      signal: new AbortController().signal,
    });
    assert.equal(digest(await readAll(download.content)), digest(large));
    assert.equal(narrow.memory.heldBytes, 8 * mib);
    upload.close();
  });

  it('A download releases everything when its consumer leaves the loop', async () => {
    const { content } = await open('large');
    let readBytes = 0;
    for await (const chunk of content) {
      readBytes += chunk.byteLength;
      if (readBytes > 10 * mib) break;
    }
    assert.equal(s3.storage.memory.heldBytes, 0);
    assert.deepEqual(s3.storage.client.direct.inFlight, 0);
  });

  it('A download stops with the reason of its signal', async () => {
    const transfer = new AbortController();
    const { content } = await open('large', 0, transfer.signal);
    const reason = new Error('ABOR');
    let readBytes = 0;
    await assert.rejects(async () => {
      for await (const chunk of content) {
        readBytes += chunk.byteLength;
        if (readBytes > 10 * mib) transfer.abort(reason);
      }
    }, reason);
    assert.ok(readBytes < large.length);
    assert.equal(s3.storage.memory.heldBytes, 0);
    assert.deepEqual(s3.storage.client.direct.inFlight, 0);
  });

  it('A download ends its request when its signal aborts before anything is read', async () => {
    const transfer = new AbortController();
    await open('large', 0, transfer.signal);
    transfer.abort(new Error('425'));
    assert.deepEqual(s3.storage.client.direct.inFlight, 0);
  });
});

async function rejectsWith(kind: FilesystemErrorKind, run: () => Promise<unknown>): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof FilesystemError, String(error));
    assert.equal(error.kind, kind);
    return true;
  });
}
