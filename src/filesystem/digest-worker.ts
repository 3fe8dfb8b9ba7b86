/**
 * The thread of one digest (`digestInWorker`): takes chunks of bytes, confirms the length of each, and after `end` sends the digest
 * in lower-case hexadecimal.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { newDigest } from './digest.ts';
import type { ChecksumAlgorithm } from './filesystem.ts';

const digest = newDigest(workerData as ChecksumAlgorithm);
parentPort?.on('message', (message: Uint8Array | 'end') => {
  if (message === 'end') {
    parentPort?.postMessage(digest.hex());
    return;
  }
  digest.update(message);
  parentPort?.postMessage(message.byteLength);
});
