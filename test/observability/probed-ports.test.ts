import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ProbedPorts } from '../../src/observability/probed-ports.ts';

describe('the passive ports that a load balancer probes', () => {
  it('ProbedPorts is complete when each passive port was probed, in any order and any number of times', () => {
    const ports = new ProbedPorts([50_000, 50_001]);
    assert.equal(ports.probed(50_001), true);
    assert.equal(ports.probed(50_001), true);
    assert.equal(ports.isComplete, false);
    ports.probed(50_000);
    assert.equal(ports.isComplete, true);
  });

  it('ProbedPorts ignores the ports of other gateways', () => {
    const ports = new ProbedPorts([50_000]);
    assert.equal(ports.probed(50_002), false);
    assert.equal(ports.isComplete, false);
  });
});
