import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ReceiveBuffers } from '../../../src/s3/client/receive-buffers.ts';

it('A receive buffer is used again when every view was recycled and no socket receives into it', () => {
  const buffers = new ReceiveBuffers();
  const buffer = buffers.take('large');
  const views = [buffers.view(buffer, 0, 10), buffers.view(buffer, 10, 20)];
  buffers.close(buffer);
  for (const view of views) {
    assert.notEqual(buffers.take('large').bytes, buffer.bytes);
    buffers.recycle(view);
  }
  assert.equal(buffers.take('large').bytes, buffer.bytes);
});

it('A receive buffer that a socket still receives into is not used by another one', () => {
  const buffers = new ReceiveBuffers();
  const buffer = buffers.take('small');
  buffers.recycle(buffers.view(buffer, 0, 10));
  assert.notEqual(buffers.take('small').bytes, buffer.bytes);
  buffers.close(buffer);
  assert.equal(buffers.take('small').bytes, buffer.bytes);
});

it('A view that is recycled twice counts once, and other bytes are ignored', () => {
  const buffers = new ReceiveBuffers();
  const buffer = buffers.take('large');
  const [first, second] = [buffers.view(buffer, 0, 10), buffers.view(buffer, 10, 20)];
  buffers.close(buffer);
  buffers.recycle(first);
  buffers.recycle(first);
  buffers.recycle(second.subarray(1));
  buffers.recycle(new Uint8Array(10));
  assert.equal(buffers.retainedBytes, 0, 'the second view can still be read');
});

it('Unused receive buffers are retained up to 16 MiB', () => {
  const buffers = new ReceiveBuffers();
  const taken = Array.from({ length: 100 }, () => buffers.take('large'));
  for (const buffer of taken) buffers.close(buffer);
  assert.equal(buffers.retainedBytes, 16 * 1024 * 1024);
  for (let count = 0; count < 64; count++) buffers.take('large');
  assert.equal(buffers.retainedBytes, 0);
});
