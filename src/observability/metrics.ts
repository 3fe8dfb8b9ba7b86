/**
 * Metrics for Prometheus, derived from the same events as the log lines. Labels take few values: never user names, addresses,
 * files or session ids, which are unbounded.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { sideOf, type CauseCode } from './cause.ts';
import type { GatewayEvent, Observe } from './event.ts';
import { LabelledHistogram } from './histogram.ts';

/** Values that are read at each scrape. */
export type Gauges = {
  readonly sessions: number;
  readonly passivePortLeases: number;
  readonly passivePortWaiters: number;
  readonly transferMemoryBytes: number;
  readonly waitingUploads: number;
  /** Interrupted uploads that were left to be resumed, and can be. */
  readonly keptUploads?: number;
  /** For how long requests to the storage have been failing; 0 while they succeed. */
  readonly storageFailingSeconds?: number;
  /** Until the certificate in use expires, negative after that; undefined without TLS. */
  readonly certificateSecondsLeft?: number | undefined;
};

export type Metrics = {
  readonly registry: Registry;
  readonly observe: Observe;
};

export type SessionMetrics = Metrics & {
  /** A response of the storage began so many seconds after its request. */
  readonly storageResponded: (operation: string, seconds: number) => void;
};

type Direction = 'upload' | 'download' | 'listing';
type Transfer = Extract<GatewayEvent, { event: 'transfer' }>;

const responseSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const durationSeconds = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 7200];

/** Direction of the verbs that transfer files; every other transfer is a listing. */
const directions: Readonly<Record<string, Direction>> = {
  STOR: 'upload',
  STOU: 'upload',
  APPE: 'upload',
  RETR: 'download',
};

/** The direction of a transfer by its verb. */
export function transferDirection({ verb }: Pick<Transfer, 'verb'>): Direction {
  return directions[verb] ?? 'listing';
}

/** The cause of a failed transfer. A client that aborts one with ABOR has changed its mind; nothing has failed. */
export function failureCause({ outcome, cause }: Pick<Transfer, 'outcome' | 'cause'>): CauseCode | undefined {
  return outcome === 'completed' || cause === 'ABOR' ? undefined : cause;
}

/** A success has neither. */
function causeLabels(cause: CauseCode | undefined): { readonly cause?: string; readonly side?: string } {
  return cause === undefined ? {} : { cause, side: sideOf(cause) };
}

/** Creates a separate registry. `gauges` is called at each scrape. */
export function createMetrics(gauges: () => Gauges): SessionMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerGauges(registry, gauges);
  const responses = new LabelledHistogram(
    {
      name: 'ftp_gateway_storage_response_seconds',
      help: 'Time from a request to the storage to the first byte of its response',
      label: 'operation',
      bounds: responseSeconds,
    },
    registry,
  );
  return {
    registry,
    observe: countEvents(registry),
    storageResponded: (operation, seconds) => responses.observe(operation, seconds),
  };
}

/** Adds the version of the gateway and of Node.js, as labels of a metric that is always 1. */
export function addBuildInfo({ registry }: Metrics, version: string): void {
  new Gauge({
    name: 'ftp_gateway_build_info',
    help: 'The version of the gateway and of Node.js; always 1',
    labelNames: ['version', 'node'],
    registers: [registry],
    aggregator: 'max',
  }).set({ version, node: process.version }, 1);
}

/** The metrics of a primary, which has no sessions of its own. `runningWorkers` is called at each scrape. */
export function createPrimaryMetrics(runningWorkers: () => number): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'ftp_gateway_workers',
    help: 'Worker processes that accept sessions',
    registers: [registry],
    collect() {
      this.set(runningWorkers());
    },
  });
  return { registry, observe: countEvents(registry) };
}

function registerGauges(registry: Registry, gauges: () => Gauges): void {
  const register = (
    name: string,
    help: string,
    field: keyof Gauges,
    /** Over worker processes. */
    aggregator: 'sum' | 'min' | 'max' = 'sum',
  ): void => {
    new Gauge({
      name: `ftp_gateway_${name}`,
      help,
      aggregator,
      registers: [registry],
      collect() {
        const value = gauges()[field];
        // A gauge that was never set is exported as 0, and an alert would read 0 as an expired certificate.
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  };
  register('sessions', 'Open sessions', 'sessions');
  register(
    'passive_port_leases',
    'Passive port leases that wait for the data connection of a client',
    'passivePortLeases',
  );
  register(
    'passive_port_waiters',
    'PASV and EPSV commands that wait for a passive port',
    'passivePortWaiters',
  );
  register('transfer_memory_bytes', 'Bytes of transfer buffers in use', 'transferMemoryBytes');
  register('waiting_uploads', 'Uploads that wait for transfer memory', 'waitingUploads');
  register(
    'kept_uploads',
    'Interrupted uploads that this process left to be resumed, and that can still be resumed',
    'keptUploads',
  );
  register(
    'storage_failing_seconds',
    'For how long an operation of the storage has been failing; 0 while all succeed',
    'storageFailingSeconds',
    'max',
  );
  register(
    'certificate_seconds_left',
    'Seconds until the certificate in use expires; absent without a certificate',
    'certificateSecondsLeft',
    'min',
  );
}

function countEvents(registry: Registry): Observe {
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Counter({ name: `ftp_gateway_${name}_total`, help, labelNames, registers: [registry] });
  const closed = counter('sessions_closed', 'Sessions closed by cause', ['cause', 'side']);
  const opened = counter('sessions_opened', 'Sessions opened', ['tls']);
  const refused = counter('sessions_refused', 'Control connections refused', ['cause', 'side']);
  const logins = counter('logins', 'Logins by outcome and cause', ['outcome', 'tls', 'cause', 'side']);
  const bans = counter('login_bans', 'Bans because of wrong passwords', ['of']);
  const transfers = counter('transfers', 'Transfers by direction, outcome and cause', [
    'direction',
    'outcome',
    'tls',
    'cause',
    'side',
  ]);
  const warnings = counter('transfer_warnings', 'Completed transfers that may have damaged their file', [
    'cause',
    'side',
  ]);
  const bytes = counter('transfer_bytes', 'Bytes of files and listings transferred on data connections', [
    'direction',
  ]);
  const durations = new LabelledHistogram(
    {
      name: 'ftp_gateway_transfer_duration_seconds',
      help: 'Duration of completed transfers in seconds',
      label: 'direction',
      bounds: durationSeconds,
    },
    registry,
  );
  const commands = counter(
    'commands',
    'Commands that change something or are refused, by outcome and cause',
    ['verb', 'outcome', 'cause', 'side'],
  );
  const tlsFailures = counter('tls_failures', 'Failed TLS handshakes', ['connection', 'cause', 'side']);
  const strays = counter('stray_data_connections', 'Connections to passive ports without a lease, by cause', [
    'cause',
    'side',
  ]);
  const exhausted = counter(
    'passive_ports_exhausted',
    'PASV and EPSV commands refused because no passive port became free (425)',
    ['cause', 'side'],
  );
  const storageErrors = counter(
    'storage_errors',
    'Commands and transfers that failed because of the storage',
    ['operation', 'http_status', 'cause', 'side'],
  );
  const storageRetries = counter('storage_retries', 'Requests to the storage that were sent again', [
    'cause',
  ]);
  const slowRequests = counter('storage_slow_requests', 'Requests that had no response for 5 s', [
    'operation',
  ]);
  const kept = counter('uploads_kept', 'Interrupted uploads left in the storage to be resumed', []);
  const unexpected = counter('unexpected_errors', 'Unexpected errors, each a defect of the gateway', []);
  const reloadFailures = counter(
    'config_reload_failures',
    'Reloads of the users or the certificate that failed',
    ['config'],
  );
  const unlisted = counter(
    'unlisted_objects',
    'Objects left out of listings, because no FTP name can express their key or a file hides them',
    [],
  );
  const users = new Gauge({
    name: 'ftp_gateway_users',
    help: 'Users by whether their entry is valid',
    labelNames: ['entry'],
    // Every worker process has loaded all users.
    aggregator: 'max',
    registers: [registry],
  });
  const workersEnded = counter('workers_ended', 'Worker processes that ended without being asked to', []);
  return (event) => {
    switch (event.event) {
      case 'session-opened':
        opened.inc({ tls: String(event.tls) });
        return;
      case 'session-refused':
        refused.inc(causeLabels(event.cause));
        return;
      case 'login':
        logins.inc({ outcome: event.outcome, tls: String(event.tls), ...causeLabels(event.cause) });
        return;
      case 'login-ban':
        bans.inc({ of: event.username === undefined ? 'source' : 'user' });
        return;
      case 'transfer': {
        const direction = transferDirection(event);
        transfers.inc({
          direction,
          outcome: event.outcome,
          tls: String(event.tls),
          ...causeLabels(event.cause),
        });
        bytes.inc({ direction }, event.sizeBytes);
        if (event.warning !== undefined) warnings.inc(causeLabels(event.warning));
        if (event.outcome === 'completed') durations.observe(direction, event.durationMs / 1000);
        return;
      }
      case 'command':
        commands.inc({ verb: event.verb, outcome: event.outcome, ...causeLabels(event.cause) });
        return;
      case 'tls-failed':
        tlsFailures.inc({ connection: event.connection, ...causeLabels(event.cause) });
        return;
      case 'stray-data-connection':
        strays.inc(causeLabels(event.cause));
        return;
      case 'passive-ports-exhausted':
        exhausted.inc(causeLabels(event.cause));
        return;
      case 'storage-error':
        if (!event.retrying) {
          const { operation, httpStatus } = event;
          storageErrors.inc({ operation, http_status: httpStatus ?? 'none', ...causeLabels(event.cause) });
        }
        return;
      case 'storage-retry':
        storageRetries.inc({ cause: event.cause });
        return;
      case 'upload-kept':
        kept.inc();
        return;
      case 'storage-slow':
        slowRequests.inc({ operation: event.operation }, event.requests);
        return;
      case 'unexpected-error':
        unexpected.inc();
        return;
      case 'config-reload-failed':
        reloadFailures.inc({ config: event.config });
        return;
      case 'unlisted-object':
        unlisted.inc();
        return;
      case 'users-loaded':
        users.set({ entry: 'valid' }, event.users);
        users.set({ entry: 'invalid' }, event.problems.length);
        return;
      case 'worker-ended':
        workersEnded.inc();
        return;
      case 'session-closed':
        closed.inc(causeLabels(event.cause));
        return;
      case 'partner-summary':
      case 'storage-recovered':
      case 'variable-misspelt':
      case 'port-busy':
      case 'gateway-started':
      case 'workers-limited':
      case 'worker-started':
      case 'descriptors-insufficient':
      case 'drain-started':
      case 'drain-requested':
      case 'drain-cancelled':
      case 'session-while-draining':
      case 'readiness-timeout':
      case 'gateway-stopped':
      case 'certificate-loaded':
      case 'certificate-expiring':
      case 'abandoned-uploads-aborted':
        return;
    }
  };
}
