import assert from 'node:assert/strict';
import { it } from 'node:test';
import { takeLoopbackNetwork } from './loopback-network.ts';

const skip =
  process.platform === 'linux' ? false : 'only Linux has all of 127.0.0.0/8 on its loopback interface';

it(
  'Two simultaneous topologies get different loopback networks, and a released network can be used again',
  { skip },
  async () => {
    const [first, second] = await Promise.all([takeLoopbackNetwork(), takeLoopbackNetwork()]);
    assert.notEqual(first.prefix, second.prefix);
    first.release();
    second.release();
    const again = await takeLoopbackNetwork();
    assert.match(again.prefix, /^127\.\d+$/);
    again.release();
  },
);
