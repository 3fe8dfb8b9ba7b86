import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CauseCode } from '../../src/observability/cause.ts';
import { startEmbeddedMetrics, startPrimaryMetrics } from '../../src/observability/emf.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { createMetrics, type Gauges } from '../../src/observability/metrics.ts';

const gauges: Gauges = {
  sessions: 3,
  passivePortLeases: 2,
  passivePortWaiters: 1,
  transferMemoryBytes: 4096,
  waitingUploads: 0,
};

function transfer(
  verb: string,
  outcome: 'completed' | 'aborted' | 'failed',
  sizeBytes: number,
  cause?: CauseCode,
): GatewayEvent {
  const common = {
    ...(cause !== undefined && { cause }),
    sessionId: 's1',
    clientAddress: '192.0.2.1',
    username: 'alice',
    pathname: '/a',
    durationMs: 1500,
    dataMode: 'passive',
    dataPort: 50000,
    tls: true,
  } as const;
  return { event: 'transfer', verb, outcome, sizeBytes, ...common };
}

const events: readonly GatewayEvent[] = [
  transfer('STOR', 'completed', 100),
  transfer('APPE', 'aborted', 10),
  transfer('RETR', 'completed', 7),
  transfer('RETR', 'failed', 1),
  transfer('MLSD', 'completed', 999),
  {
    event: 'session-refused',
    clientAddress: '192.0.2.1',
    cause: 'PROXY-HEADER',
    detail: 'a header of 9999 bytes',
  },
  {
    event: 'storage-error',
    retrying: false,
    operation: 'PutObject',
    cause: 'STORAGE-THROTTLED',
    errorName: 'SlowDown',
    httpStatus: 503,
  },
  { event: 'passive-ports-exhausted', sessionId: 's1', clientAddress: '192.0.2.1', cause: 'PASV-EXHAUSTED' },
  { event: 'unexpected-error', error: new Error('oops') },
  { event: 'config-reload-failed', config: 'users', reason: 'the file users.json cannot be used: no JSON' },
  { event: 'users-loaded', users: 5, problems: ['users[1]: name must be a string'] },
];

describe('metrics for Prometheus', () => {
  it('The Prometheus metrics count events by labels with few values', async () => {
    const metrics = createMetrics(() => gauges);
    for (const event of events) metrics.observe(event);
    const shown = (await metrics.registry.metrics()).split('\n');
    for (const line of [
      'ftp_gateway_sessions 3',
      'ftp_gateway_transfer_memory_bytes 4096',
      'ftp_gateway_transfers_total{direction="upload",outcome="completed",tls="true"} 1',
      'ftp_gateway_transfers_total{direction="upload",outcome="aborted",tls="true"} 1',
      'ftp_gateway_transfers_total{direction="listing",outcome="completed",tls="true"} 1',
      'ftp_gateway_transfer_bytes_total{direction="upload"} 110',
      'ftp_gateway_transfer_bytes_total{direction="download"} 8',
      'ftp_gateway_transfer_duration_seconds_count{direction="download"} 1',
      'ftp_gateway_sessions_refused_total{cause="PROXY-HEADER",side="network"} 1',
      'ftp_gateway_storage_errors_total{operation="PutObject",http_status="503",cause="STORAGE-THROTTLED",side="storage"} 1',
      'ftp_gateway_passive_ports_exhausted_total{cause="PASV-EXHAUSTED",side="gateway"} 1',
      'ftp_gateway_unexpected_errors_total 1',
      'ftp_gateway_users{entry="valid"} 5',
      'ftp_gateway_users{entry="invalid"} 1',
      'ftp_gateway_config_reload_failures_total{config="users"} 1',
    ]) {
      assert.ok(shown.includes(line), `${line} in\n${shown.join('\n')}`);
    }
    assert.ok(!shown.some((line) => line.includes('alice') || line.includes('192.0.2.1')));
  });
});

describe('metrics for CloudWatch', () => {
  it('The primary of worker processes writes those that run, those that ended, and the reloads that failed in it', (test) => {
    test.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_700_000_000_000 });
    const lines: string[] = [];
    const metrics = startPrimaryMetrics('Gateway/Test', {
      workers: () => 2,
      writeLine: (line) => void lines.push(line),
    });
    const end = { worker: 1, pid: 4711, code: null, signal: 'SIGKILL', sessions: 3, restartMs: 250 };
    metrics.observe({ event: 'worker-ended', cause: 'WORKER-LOST', ...end });
    metrics.observe({ event: 'config-reload-failed', config: 'users', reason: 'access denied' });
    test.mock.timers.tick(60_000);
    metrics.close();
    const written = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.partialDeepStrictEqual(written, [
      { WorkersEnded: 1, ConfigReloadFailures: 1, Workers: 2 },
      { WorkersEnded: 0, ConfigReloadFailures: 0, Workers: 2 },
    ]);
    assert.partialDeepStrictEqual(written[0]?.['_aws'], {
      Timestamp: 1_700_000_060_000,
      CloudWatchMetrics: [
        { Namespace: 'Gateway/Test', Metrics: [{ Name: 'WorkersEnded', Unit: 'Count' }, {}, {}] },
      ],
    });
  });

  it('The CloudWatch metrics are one line in embedded metric format per minute, including zeros', (test) => {
    test.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_700_000_000_000 });
    const lines: string[] = [];
    const metrics = startEmbeddedMetrics('Gateway/Test', {
      gauges: () => gauges,
      writeLine: (line) => void lines.push(line),
    });
    for (const event of events) metrics.observe(event);
    test.mock.timers.tick(60_000);
    test.mock.timers.tick(60_000);
    metrics.close();
    test.mock.timers.tick(60_000);
    assert.equal(lines.length, 3);
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const { _aws, ...values } = first!;
    const { Timestamp, CloudWatchMetrics } = _aws as {
      Timestamp: number;
      CloudWatchMetrics: [{ Namespace: string; Dimensions: string[][]; Metrics: { Name: string }[] }];
    };
    assert.equal(Timestamp, 1_700_000_060_000);
    assert.equal(CloudWatchMetrics[0].Namespace, 'Gateway/Test');
    assert.deepEqual(CloudWatchMetrics[0].Dimensions, [[]]);
    assert.deepEqual(
      CloudWatchMetrics[0].Metrics.map(({ Name }) => Name).sort(),
      Object.keys(values).sort(),
      'every value is declared, and every declared metric has a value',
    );
    const {
      UploadsCompleted,
      UploadsNotCompleted,
      UploadBytes,
      DownloadsNotCompleted,
      ConfigReloadFailures,
      Sessions,
    } = values;
    assert.deepEqual(
      {
        UploadsCompleted,
        UploadsNotCompleted,
        UploadBytes,
        DownloadsNotCompleted,
        ConfigReloadFailures,
        Sessions,
      },
      {
        UploadsCompleted: 1,
        UploadsNotCompleted: 1,
        UploadBytes: 110,
        DownloadsNotCompleted: 1,
        ConfigReloadFailures: 1,
        Sessions: 3,
      },
    );
    assert.equal(second!['UploadsCompleted'], 0);
    assert.equal(second!['StorageErrors'], 0);
  });

  it('The CloudWatch metrics count listings and transfers that failed or broke, but not those that the client aborted with ABOR', () => {
    const lines: string[] = [];
    const metrics = startEmbeddedMetrics('Gateway/Test', {
      gauges: () => gauges,
      writeLine: (line) => void lines.push(line),
    });
    for (const event of [
      transfer('STOR', 'completed', 1),
      transfer('LIST', 'completed', 1),
      transfer('STOR', 'aborted', 1, 'ABOR'),
      transfer('STOR', 'aborted', 1, 'CONTROL-LOST'),
      transfer('RETR', 'failed', 1, 'STORAGE-DENIED'),
      transfer('MLSD', 'failed', 0, 'PASV-NONE'),
    ]) {
      metrics.observe(event);
    }
    metrics.close();
    const { TransfersCompleted, TransfersFailed, UploadsNotCompleted } = JSON.parse(lines[0]!) as Record<
      string,
      number
    >;
    assert.deepEqual([TransfersCompleted, TransfersFailed, UploadsNotCompleted], [2, 3, 2]);
  });

  it('The CloudWatch metrics count failed transfers by cause, in a line for each cause of the minute', (test) => {
    test.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_700_000_000_000 });
    const lines: string[] = [];
    const metrics = startEmbeddedMetrics('Gateway/Test', {
      gauges: () => gauges,
      writeLine: (line) => void lines.push(line),
    });
    for (const event of [
      transfer('STOR', 'failed', 1, 'STORAGE-DENIED'),
      transfer('LIST', 'aborted', 0, 'PASV-NONE'),
      transfer('RETR', 'aborted', 0, 'PASV-NONE'),
      transfer('RETR', 'aborted', 0, 'ABOR'),
      transfer('RETR', 'completed', 1),
    ]) {
      metrics.observe(event);
    }
    test.mock.timers.tick(60_000);
    test.mock.timers.tick(60_000);
    metrics.close();
    const [first, ...rest] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(first!['TransfersFailed'], 3);
    const byCause = rest.filter((line) => 'Cause' in line);
    const directive = {
      Namespace: 'Gateway/Test',
      Dimensions: [['Cause']],
      Metrics: [{ Name: 'TransfersFailed', Unit: 'Count' }],
    };
    const metadata = { Timestamp: 1_700_000_060_000, CloudWatchMetrics: [directive] };
    assert.deepEqual(byCause, [
      { _aws: metadata, Cause: 'STORAGE-DENIED', TransfersFailed: 1 },
      { _aws: metadata, Cause: 'PASV-NONE', TransfersFailed: 2 },
    ]);
    assert.equal(rest.length, byCause.length + 2, 'minutes without failures have no line by cause');
  });

  it('The seconds that a certificate has left are exported only with a certificate', async () => {
    const without = await createMetrics(() => gauges).registry.metrics();
    assert.doesNotMatch(without, /^ftp_gateway_certificate_seconds_left /m);
    const withCertificate = createMetrics(() => ({ ...gauges, certificateSecondsLeft: 86_400 }));
    assert.match(await withCertificate.registry.metrics(), /^ftp_gateway_certificate_seconds_left 86400$/m);
  });

  it('The CloudWatch metrics are not written when no namespace is given', () => {
    const metrics = startEmbeddedMetrics(undefined, {
      gauges: () => gauges,
      writeLine: () => assert.fail('nothing is to be written'),
    });
    for (const event of events) metrics.observe(event);
    metrics.close();
  });
});
