/**
 * A gateway in a process of its own, in front of the test's S3 server, that measures what clients do to its event loop and memory.
 * The parent sends `measure` and gets what happened since the last time.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { storageOn } from '../../support/s3-storage.ts';
import { startTestGateway, type TestGatewayOptions } from '../../support/gateway.ts';
import { TurnMeter, type Turns } from './turn-meter.ts';

export type Setting = {
  readonly endpoint: string;
  readonly bucket: string;
  readonly options?: TestGatewayOptions;
};

export type Measurement = Turns & {
  /** Growth of the resident memory, and its peak since the last measurement. */
  readonly residentMib: number;
  readonly peakResidentMib: number;
  /** Heap and buffers in use after a garbage collection. */
  readonly inUseMib: number;
  readonly controlPort: number;
};

const { endpoint, bucket, options } = JSON.parse(process.argv[2] ?? '') as Setting;
const storage = storageOn(endpoint);
const gateway = await startTestGateway({
  filesystemFor: ({ name, home }) => new S3Filesystem(storage, home, { owner: name, windowMs: 0 }),
  ...options,
  users: (options?.users ?? [{ name: 'alice', password: 'secret' }]).map((user) => ({
    ...user,
    home: { bucket, prefix: '' },
  })),
});
const turns = new TurnMeter();
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const residentMib = (): number => {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return Number(kib) / 1024;
};
let peakResidentMib = 0;
setInterval(() => {
  peakResidentMib = Math.max(peakResidentMib, residentMib());
}, 20);

process.on('message', () => {
  const resident = residentMib();
  const measuredTurns = turns.read();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  const measurement: Measurement = {
    ...measuredTurns,
    inUseMib: (heapUsed + external) / 1024 / 1024,
    residentMib: resident,
    peakResidentMib: Math.max(peakResidentMib, resident),
    controlPort: gateway.controlPort,
  };
  process.send?.(measurement);
  // What was measured so far is not this message's own work.
  setImmediate(() => {
    turns.reset();
    peakResidentMib = 0;
  });
});
process.on('disconnect', () => process.exit());
