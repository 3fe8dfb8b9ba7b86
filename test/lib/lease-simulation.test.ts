import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simulateLeases } from '../../scripts/lease-simulation.ts';

const load = { ports: 4, leaseMs: 100, seconds: 600 };

describe('the simulation of leases', () => {
  it('The lease simulation makes no client wait at a low rate', () => {
    const { transfers, refused, p99Ms } = simulateLeases({ ...load, ratePerSecond: 1 });
    assert.ok(transfers > 500 && transfers < 700, `${transfers}`);
    assert.deepEqual([refused, p99Ms], [0, 0]);
  });

  it('The lease simulation serves as many sessions per second as ports and lease time allow, and refuses the rest', () => {
    const { transfers, refused } = simulateLeases({ ...load, ratePerSecond: 80 });
    const served = (transfers * (1 - refused)) / load.seconds;
    assert.ok(served > 39 && served < 41, `${served} a second of 4 ports × 10`);
    assert.ok(refused > 0.45 && refused < 0.55, `${refused}`);
  });

  it('The lease simulation matches an M/D/1 queue for one port at half load, where few wait long', () => {
    const { p50Ms, p99Ms } = simulateLeases({ ...load, ports: 1, ratePerSecond: 5 });
    assert.ok(p50Ms < 50, `${p50Ms}`);
    assert.ok(p99Ms > 150 && p99Ms < 500, `${p99Ms}`);
  });

  it('The lease simulation is deterministic for a seed', () => {
    const once = simulateLeases({ ...load, ratePerSecond: 30, seed: 7 });
    assert.deepEqual(simulateLeases({ ...load, ratePerSecond: 30, seed: 7 }), once);
  });
});
