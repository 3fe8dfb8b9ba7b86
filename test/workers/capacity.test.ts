/** The cores that `WORKERS=auto` finds: in a cgroup with a quota, and in an ECS task that limits the cgroup above. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { availableCapacity } from '../../src/workers/capacity.ts';
import { freePort } from '../support/loopback-port.ts';

const run = promisify(execFile);
const servers: Server[] = [];

after(() => {
  for (const server of servers) server.close();
});

/** The environment of a container whose task metadata endpoint responds like that. */
async function inTask(status: number, task: unknown): Promise<NodeJS.ProcessEnv> {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/v4/container/task' ? status : 404);
    response.end(JSON.stringify(task));
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { ECS_CONTAINER_METADATA_URI_V4: `http://127.0.0.1:${port}/v4/container` };
}

describe('the cores of an ECS task', () => {
  for (const vcpus of [0.25, 0.5, 1, 1.5]) {
    it(`A task of ${vcpus} vCPU has one core, however many its machine has`, async () => {
      const { cores, problem } = await availableCapacity(
        await inTask(200, { Limits: { CPU: vcpus, Memory: 512 } }),
      );
      assert.deepEqual({ cores, problem }, { cores: 1, problem: undefined });
    });
  }

  it('A task of more vCPUs than this process may use has the cores that it may use, and the memory of the task', async () => {
    const capacity = await availableCapacity(await inTask(200, { Limits: { CPU: 512, Memory: 64 } }));
    assert.deepEqual(capacity, { cores: availableParallelism(), memoryBytes: 64 * 1024 ** 2 });
  });

  it('A task without limits has all cores and the memory of its container', async () => {
    assert.deepEqual(
      await availableCapacity(await inTask(200, { Family: 'gateway' })),
      await availableCapacity({}),
    );
  });

  it('One core is assumed, with the reason, while the task metadata endpoint does not tell the size of the task', async () => {
    const failing = await availableCapacity(await inTask(503, {}));
    assert.equal(failing.cores, 1);
    assert.equal(failing.problem, 'the task metadata endpoint responded with 503');
    const port = await freePort();
    const refused = await availableCapacity({ ECS_CONTAINER_METADATA_URI_V4: `http://127.0.0.1:${port}` });
    assert.equal(refused.cores, 1);
    assert.match(refused.problem ?? '', /ECONNREFUSED/);
  });
});

describe('the cores of a cgroup', () => {
  // The files of cgroup v2 in a mount namespace of their own, where the kernel allows that.
  const script = `set -e
    mount -t tmpfs none /sys/fs/cgroup
    echo 'cpu memory' > /sys/fs/cgroup/cgroup.controllers
    echo "$1 100000" > /sys/fs/cgroup/cpu.max
    echo '0::/' > /sys/fs/cgroup/cgroup-of-process
    mount --bind /sys/fs/cgroup/cgroup-of-process /proc/$$/cgroup
    exec "$2" --input-type=module -e "
      import { availableCapacity } from '$3';
      console.log((await availableCapacity({})).cores);
    "`;
  const coresWith = async (quota: string): Promise<number> => {
    const capacity = new URL('../../src/workers/capacity.ts', import.meta.url).href;
    const unshare = ['--mount', 'sh', '-c', script, 'sh', quota, process.execPath, capacity];
    return Number((await run('unshare', unshare)).stdout);
  };

  it('A CPU quota below two cores means one, and the quota never adds cores', async (t) => {
    const cores = availableParallelism();
    const without = await coresWith('max').catch((error: unknown) => error as Error);
    if (without instanceof Error) {
      t.skip(`no mount namespace can be made here: ${without.message}`);
      return;
    }
    assert.equal(without, cores);
    for (const quota of [25_000, 50_000, 100_000, 150_000]) {
      assert.equal(await coresWith(String(quota)), 1, `${quota} of 100,000 µs`);
    }
    assert.equal(await coresWith('200000'), Math.min(2, cores));
    assert.equal(await coresWith('90000000'), cores);
  });
});
