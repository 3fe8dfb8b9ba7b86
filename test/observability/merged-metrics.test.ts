import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { countersOf, mergeSnapshots, snapshotOf } from '../../src/observability/merged-metrics.ts';
import { createMetrics, createPrimaryMetrics, type Gauges } from '../../src/observability/metrics.ts';

function transferOf(sizeBytes: number, durationMs: number): GatewayEvent {
  return {
    event: 'transfer',
    sessionId: 's',
    clientAddress: '192.0.2.1',
    dataMode: 'passive',
    dataPort: 50000,
    username: 'alice',
    verb: 'STOR',
    pathname: '/a',
    sizeBytes,
    durationMs,
    outcome: 'completed',
    tls: true,
  };
}

/** The snapshot of a worker, as it arrives at the primary. */
async function workerSnapshot(gauges: Partial<Gauges>, events: readonly GatewayEvent[]) {
  const none = {
    sessions: 0,
    passivePortLeases: 0,
    passivePortWaiters: 0,
    transferMemoryBytes: 0,
    waitingUploads: 0,
  };
  const { registry, observe } = createMetrics(() => ({ ...none, ...gauges }));
  events.forEach(observe);
  return JSON.parse(JSON.stringify(await snapshotOf(registry))) as Awaited<ReturnType<typeof snapshotOf>>;
}

describe('merged metrics', () => {
  it('Merged metrics add up counters, histograms and gauges, and show the certificate that ends first', async () => {
    const usersLoaded: GatewayEvent = { event: 'users-loaded', users: 12, problems: [] };
    const first = await workerSnapshot({ sessions: 3, certificateSecondsLeft: 80 }, [
      transferOf(1000, 20),
      usersLoaded,
    ]);
    const second = await workerSnapshot({ sessions: 4, certificateSecondsLeft: 20 }, [
      transferOf(500, 20),
      transferOf(1, 900),
      usersLoaded,
    ]);
    const primary = await snapshotOf(createPrimaryMetrics(() => 2).registry);
    const text = await mergeSnapshots([primary, first, second]).metrics();
    for (const line of [
      'ftp_gateway_workers 2',
      'ftp_gateway_workers_ended_total 0',
      'ftp_gateway_sessions 7',
      'ftp_gateway_certificate_seconds_left 20',
      'ftp_gateway_users{entry="valid"} 12',
      'ftp_gateway_transfers_total{direction="upload",outcome="completed",tls="true"} 3',
      'ftp_gateway_transfer_bytes_total{direction="upload"} 1501',
      'ftp_gateway_transfer_duration_seconds_bucket{le="0.05",direction="upload"} 2',
      'ftp_gateway_transfer_duration_seconds_bucket{le="+Inf",direction="upload"} 3',
      'ftp_gateway_transfer_duration_seconds_count{direction="upload"} 3',
    ]) {
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
    }
  });

  it('Merged metrics keep the counts of a process that has ended, and drop its gauges', async () => {
    const ended = countersOf(await workerSnapshot({ sessions: 9 }, [transferOf(1000, 20)]));
    const again = countersOf(await workerSnapshot({ sessions: 9 }, [transferOf(10, 20)]));
    const kept = await snapshotOf(mergeSnapshots([ended, again]));
    const running = await workerSnapshot({ sessions: 2 }, [transferOf(1, 20)]);
    const text = await mergeSnapshots([kept, running]).metrics();
    assert.match(text, /^ftp_gateway_transfer_bytes_total\{direction="upload"\} 1011$/m);
    assert.match(text, /^ftp_gateway_transfer_duration_seconds_count\{direction="upload"\} 3$/m);
    assert.match(text, /^ftp_gateway_sessions 2$/m);
  });

  it('Merged metrics show the descriptors and the event loop of the process that is worst off', async () => {
    const snapshot = (name: string, value: number) => [
      { name, help: name, type: 'gauge', aggregator: 'sum', values: [{ value, labels: {} }] },
    ];
    const merged = async (name: string) =>
      await mergeSnapshots([snapshot(name, 10), snapshot(name, 30)]).getSingleMetricAsString(name);
    assert.match(await merged('process_open_fds'), /^process_open_fds 30$/m);
    assert.match(await merged('process_max_fds'), /^process_max_fds 10$/m);
    assert.match(await merged('nodejs_eventloop_lag_p99_seconds'), /^nodejs_eventloop_lag_p99_seconds 30$/m);
    assert.match(await merged('process_resident_memory_bytes'), /^process_resident_memory_bytes 40$/m);
  });
});
