/**
 * Monitoring for operators: a dashboard, saved queries, notices of failed deployments and stopped tasks,
 * and alarms that each describe the problem and the action. Alarms cover the whole gateway: a standby slot is down by
 * design.
 */
import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  LogQueryWidget,
  MathExpression,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { ICluster } from 'aws-cdk-lib/aws-ecs';
import { Rule } from 'aws-cdk-lib/aws-events';
import { SnsTopic } from 'aws-cdk-lib/aws-events-targets';
import { FilterPattern, type ILogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { gatewayMetric, type GatewayMetricName } from './gateway-metrics.ts';
import type { LoadBalancer } from './load-balancer.ts';
import { slotName } from './slot-plan.ts';
import { saveQueries } from './saved-queries.ts';
import type { Slot } from './slot.ts';

export type MonitoringProps = {
  readonly loadBalancer: LoadBalancer;
  readonly cluster: ICluster;
  readonly slots: readonly Slot[];
  readonly minimumSlots: number;
  readonly tls: boolean;
  readonly logGroup: ILogGroup;
  /** The CloudWatch namespace of the tasks' own metrics (METRICS_NAMESPACE). */
  readonly metricsNamespace: string;
  readonly expectedPartners: Readonly<Record<string, Duration>>;
  readonly topic: ITopic;
};

type AlarmWhen = {
  readonly metric: IMetric;
  readonly threshold: number;
  readonly comparison: ComparisonOperator;
  /** Periods of the metric in a row. */
  readonly periods: number;
  /** Describes the problem and links to the documentation. */
  readonly meaning: string;
  readonly missing?: TreatMissingData;
  /** The section of docs/troubleshooting.md, where it is not the alarm's name. */
  readonly section?: string;
};

const minute = Duration.minutes(1);
const { GREATER_THAN_OR_EQUAL_TO_THRESHOLD: atLeast, LESS_THAN_THRESHOLD: below } = ComparisonOperator;

/** Days before expiry by which AWS Certificate Manager should have renewed a certificate: it starts 60 days before. */
const certificateDays = 21;

export class Monitoring extends Construct {
  readonly #topic: ITopic;
  readonly #namespace: string;

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    this.#topic = props.topic;
    this.#namespace = props.metricsNamespace;
    const ready = this.#alarmOnReadySlots(props);
    this.#alarmOnTasks(props.cluster);
    const events = this.#alarmOnEvents();
    if (props.tls) this.#alarmOnCertificate();
    if (props.slots.some(({ workers }) => workers > 1)) this.#alarmOnWorkers();
    for (const [username, longest] of Object.entries(props.expectedPartners)) {
      this.#alarmOnPartner(username, longest, props.logGroup);
    }
    this.#notifyOfTasks(props.cluster);
    saveQueries(this, props.logGroup);
    this.#makeDashboard(props, ready, events);
  }

  #alarmOnReadySlots({ loadBalancer, minimumSlots }: MonitoringProps): readonly IMetric[] {
    const [control] = loadBalancer.controlTargetGroups.values();
    if (control === undefined) return [];
    const ready = (statistic: string) => control.metrics.healthyHostCount({ period: minute, statistic });
    this.#alarm('FewSlotsReady', {
      metric: ready(Stats.MAXIMUM),
      threshold: minimumSlots,
      comparison: below,
      periods: 10,
      missing: TreatMissingData.BREACHING,
      meaning: `Fewer than ${minimumSlots} slots have been ready for 10 minutes; the others serve.`,
    });
    this.#alarm('NoSlotReady', {
      metric: ready(Stats.MAXIMUM),
      threshold: 1,
      comparison: below,
      periods: 3,
      missing: TreatMissingData.BREACHING,
      meaning: 'No slot is ready: partners cannot connect, or reach tasks that do not serve.',
    });
    return [ready(Stats.MINIMUM)];
  }

  #alarmOnTasks(cluster: ICluster): void {
    this.#alarm('TaskCpu', {
      metric: highestOf('CPUUtilization', cluster),
      threshold: 85,
      comparison: atLeast,
      periods: 15,
      meaning:
        'A slot has used over 85% of its CPU for 15 minutes; its transfers are slowed. Start another slot, or add CPU.',
    });
    this.#alarm('TaskMemory', {
      metric: highestOf('MemoryUtilization', cluster),
      threshold: 90,
      comparison: atLeast,
      periods: 5,
      meaning: 'A slot uses over 90% of its memory; at 100% the task is killed with its transfers.',
    });
  }

  /** The counters that tasks write to the log in embedded metric format (src/observability/emf.ts). */
  #alarmOnEvents(): readonly IMetric[] {
    const exhausted = this.#counted('PassivePortsExhausted');
    this.#alarm('PassivePortsExhausted', {
      metric: exhausted,
      threshold: 10,
      comparison: atLeast,
      periods: 5,
      meaning:
        'Clients got no passive port in time (425): many start transfers at once from one address. Start another slot, or give each more ports.',
    });
    const failingShare = this.#failingShare();
    this.#alarm('FailingTransfers', {
      metric: failingShare,
      threshold: 25,
      comparison: atLeast,
      periods: 3,
      meaning:
        'For 15 minutes a quarter of the transfers, and 5 at least in 5 minutes, have failed or been aborted, ABOR left aside.',
    });
    this.#alarm('StorageFailing', {
      metric: this.#counted('StorageFailingSeconds'),
      threshold: 180,
      comparison: atLeast,
      periods: 2,
      meaning:
        'An operation of the storage has failed for over 3 minutes without a success, on one slot at least.',
    });
    const storageErrors = this.#counted('StorageErrors');
    this.#alarm('StorageErrors', {
      metric: storageErrors,
      threshold: 10,
      comparison: atLeast,
      periods: 5,
      meaning: 'S3 has answered with errors for 5 minutes: throttling, permissions, or an outage.',
    });
    const reloadFailures = this.#counted('ConfigReloadFailures');
    this.#alarm('ConfigReloadFailures', {
      metric: reloadFailures,
      threshold: 1,
      comparison: atLeast,
      periods: 1,
      meaning: 'The users or the certificate could not be reloaded; the last valid version stays in use.',
    });
    const unexpected = this.#counted('UnexpectedErrors');
    this.#alarm('UnexpectedErrors', {
      metric: unexpected,
      threshold: 1,
      comparison: atLeast,
      periods: 1,
      meaning: 'The gateway met an unexpected error, a defect. The log line has the stack.',
    });
    this.#alarm('LoginFlood', {
      metric: this.#counted('LoginsRefused'),
      threshold: 60,
      comparison: atLeast,
      periods: 5,
      meaning:
        'Over 60 logins a minute have been refused for 5 minutes: a password guessing attack, or a partner with an old password.',
    });
    return [exhausted, storageErrors, reloadFailures, unexpected];
  }

  /** In percent. A few failures are no share: with little traffic one partner's mistake would be all of it. */
  #failingShare(): IMetric {
    const period = Duration.minutes(5);
    return new MathExpression({
      expression: 'IF(failed >= 5, 100 * failed / (failed + completed), 0)',
      usingMetrics: {
        failed: this.#counted('TransfersFailed').with({ period }),
        completed: this.#counted('TransfersCompleted').with({ period }),
      },
      period,
      label: 'Transfers that fail (%)',
    });
  }

  #alarmOnCertificate(): void {
    this.#alarm('CertificateDaysLeft', {
      metric: this.#counted('CertificateDaysLeft').with({ period: Duration.hours(1) }),
      threshold: certificateDays,
      comparison: below,
      periods: 1,
      meaning: `The certificate that partners see expires in less than ${certificateDays} days and has not been renewed.`,
    });
  }

  #alarmOnWorkers(): void {
    this.#alarm('WorkersEnded', {
      metric: this.#counted('WorkersEnded'),
      threshold: 1,
      comparison: atLeast,
      periods: 1,
      meaning:
        'A worker process ended without being asked to, and its sessions with it; it is started again, and the others of its task go on.',
    });
  }

  #alarmOnPartner(username: string, longest: Duration, logGroup: ILogGroup): void {
    const hours = longest.toHours({ integral: false });
    // An alarm looks back 7 days at most with periods of an hour (CloudWatch API, PutMetricAlarm, EvaluationPeriods).
    if (!Number.isInteger(hours) || hours < 1 || hours > 168) {
      throw new Error(
        `The partner ${JSON.stringify(username)} is expected within ${longest.toHumanString()}, but an alarm looks back whole hours, 1 to 168.`,
      );
    }
    const filter = new MetricFilter(this, `UploadsOf${username}`, {
      logGroup,
      filterPattern: FilterPattern.all(
        FilterPattern.stringValue('$.event', '=', 'transfer'),
        FilterPattern.stringValue('$.username', '=', username),
        FilterPattern.stringValue('$.outcome', '=', 'completed'),
        FilterPattern.any(
          ...['STOR', 'STOU', 'APPE'].map((verb) => FilterPattern.stringValue('$.verb', '=', verb)),
        ),
      ),
      metricNamespace: this.#namespace,
      metricName: `UploadsOf-${username}`,
      metricValue: '1',
    });
    this.#alarm(`NoUploadOf${username}`, {
      metric: filter.metric({ statistic: Stats.SUM, period: Duration.hours(1) }),
      threshold: 1,
      comparison: below,
      periods: hours,
      missing: TreatMissingData.BREACHING,
      section: 'NoUpload',
      meaning: `The partner ${username} has completed no upload for ${hours} hours.`,
    });
  }

  #notifyOfTasks(cluster: ICluster): void {
    const targets = [new SnsTopic(this.#topic)];
    new Rule(this, 'DeploymentFailed', {
      description: 'A slot could not be started or changed',
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Deployment State Change'],
        resources: [{ wildcard: `arn:*:ecs:*:*:service/${cluster.clusterName}/*` }] as unknown as string[],
        detail: { eventName: ['SERVICE_DEPLOYMENT_FAILED'] },
      },
      targets,
    });
    new Rule(this, 'TaskStopped', {
      description: 'A task of a slot ended by itself, could not start, or was ended by AWS',
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Task State Change'],
        detail: {
          clusterArn: [cluster.clusterArn],
          lastStatus: ['STOPPED'],
          // Stops by operators and deployments need no notice.
          stopCode: [{ 'anything-but': ['ServiceSchedulerInitiated', 'UserInitiated'] }],
        },
      },
      targets,
    });
  }

  #counted(metricName: GatewayMetricName) {
    return gatewayMetric(this.#namespace, metricName);
  }

  #alarm(name: string, when: AlarmWhen): void {
    const alarm = new Alarm(this, name, {
      metric: when.metric,
      threshold: when.threshold,
      comparisonOperator: when.comparison,
      evaluationPeriods: when.periods,
      treatMissingData: when.missing ?? TreatMissingData.NOT_BREACHING,
      alarmDescription: `${when.meaning} See docs/troubleshooting.md, "${when.section ?? name}".`,
    });
    alarm.addAlarmAction(new SnsAction(this.#topic));
    alarm.addOkAction(new SnsAction(this.#topic));
  }

  #makeDashboard(
    { loadBalancer, slots, logGroup }: MonitoringProps,
    ready: readonly IMetric[],
    events: readonly IMetric[],
  ): void {
    const { nlb } = loadBalancer;
    const graph = (title: string, left: readonly IMetric[], right: readonly IMetric[] = []) =>
      new GraphWidget({ title, left: [...left], right: [...right], width: 12, period: minute });
    const ofSlots = (metric: 'metricCpuUtilization' | 'metricMemoryUtilization') =>
      slots.map(({ plan, service }) => service[metric]({ label: `slot ${slotName(plan)}` }));
    const dashboard = new Dashboard(this, 'Dashboard');
    dashboard.addWidgets(
      graph('Ready slots', ready),
      graph('Failures (events per minute)', events),
      graph('Connections: open, and new', [nlb.metrics.activeFlowCount()], [nlb.metrics.newFlowCount()]),
      graph('Sessions, and sessions opened while draining', [
        this.#counted('Sessions'),
        this.#counted('SessionsWhileDraining'),
      ]),
      graph('Bytes per minute', [this.#counted('UploadBytes'), this.#counted('DownloadBytes')]),
      graph('Files per minute', [this.#counted('UploadsCompleted'), this.#counted('DownloadsCompleted')]),
      graph('CPU (%)', ofSlots('metricCpuUtilization')),
      graph('Memory (%)', ofSlots('metricMemoryUtilization')),
      new LogQueryWidget({
        title: 'Transfers that did not complete',
        logGroupNames: [logGroup.logGroupName],
        queryLines: [
          'fields @timestamp, username, verb, pathname, outcome, cause, side, sizeBytes, sessionId',
          'filter event = "transfer" and outcome != "completed"',
          'sort @timestamp desc',
          'limit 100',
        ],
        width: 24,
      }),
    );
  }
}

/** The highest among the services of the cluster: a query, because an alarm on a formula takes ten metrics at most. */
function highestOf(metricName: string, { clusterName }: ICluster): IMetric {
  return new MathExpression({
    expression: `SELECT MAX(${metricName}) FROM SCHEMA("AWS/ECS", ClusterName, ServiceName) WHERE ClusterName = '${clusterName}'`,
    period: minute,
    label: metricName,
  });
}
