/** What an operator watches, and what wakes them: a dashboard, and alarms that each say what is wrong and what to do. */
import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  LogQueryWidget,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { LoadBalancer } from './load-balancer.ts';
import type { Slot } from './slot.ts';

export type MonitoringProps = {
  readonly loadBalancer: LoadBalancer;
  readonly slots: readonly Slot[];
  readonly logGroup: ILogGroup;
  /** The CloudWatch namespace of the tasks' own metrics (METRICS_NAMESPACE). */
  readonly metricsNamespace: string;
  readonly topic: ITopic;
};

type AlarmWhen = {
  readonly metric: IMetric;
  readonly threshold: number;
  readonly comparison: ComparisonOperator;
  /** Minutes in a row. */
  readonly minutes: number;
  /** Says what is wrong and where to read on. */
  readonly meaning: string;
  readonly missing?: TreatMissingData;
};

const minute = Duration.minutes(1);
const { GREATER_THAN_OR_EQUAL_TO_THRESHOLD: atLeast, LESS_THAN_THRESHOLD: below } = ComparisonOperator;

export class Monitoring extends Construct {
  readonly #topic: ITopic;
  readonly #namespace: string;

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    this.#topic = props.topic;
    this.#namespace = props.metricsNamespace;
    const healthy = props.slots.map((slot) => this.alarmOnSlot(slot));
    this.alarmOnAllSlots(props.loadBalancer);
    this.makeDashboard(props, healthy, this.alarmOnEvents());
  }

  private alarmOnSlot(slot: Slot): IMetric {
    const { number, passivePorts } = slot.plan;
    const healthy = slot.healthTargetGroup.metrics.healthyHostCount({
      period: minute,
      statistic: Stats.MINIMUM,
    });
    this.alarm(`Slot${number}Down`, {
      metric: healthy,
      threshold: 1,
      comparison: below,
      minutes: 10,
      missing: TreatMissingData.BREACHING,
      meaning: `Slot ${number} (passive ports ${passivePorts.toString()}) has had no healthy task for 10 minutes; the other slots serve.`,
    });
    this.alarm(`Slot${number}Cpu`, {
      metric: slot.service.metricCpuUtilization({ period: minute }),
      threshold: 85,
      comparison: atLeast,
      minutes: 15,
      meaning: `Slot ${number} has used over 85% of its CPU for 15 minutes; transfers are slowed. Add slots or CPU.`,
    });
    this.alarm(`Slot${number}Memory`, {
      metric: slot.service.metricMemoryUtilization({ period: minute }),
      threshold: 90,
      comparison: atLeast,
      minutes: 5,
      meaning: `Slot ${number} uses over 90% of its memory; at 100% the task is killed with its transfers.`,
    });
    return healthy.with({ label: `slot ${number}` });
  }

  private alarmOnAllSlots({ controlTargetGroups }: LoadBalancer): void {
    const [control] = controlTargetGroups.values();
    if (control === undefined) return;
    this.alarm('NoSlotServes', {
      metric: control.metrics.healthyHostCount({ period: minute, statistic: Stats.MAXIMUM }),
      threshold: 1,
      comparison: below,
      minutes: 3,
      missing: TreatMissingData.BREACHING,
      meaning: 'No slot is healthy: partners cannot connect at all.',
    });
  }

  /** What the tasks count themselves, and write to the log in embedded metric format (src/observability/emf.ts). */
  private alarmOnEvents(): readonly IMetric[] {
    const exhausted = this.counted('PassivePortsExhausted');
    this.alarm('PassivePortsExhausted', {
      metric: exhausted,
      threshold: 10,
      comparison: atLeast,
      minutes: 5,
      meaning:
        'Clients waited for a passive port in vain (425): many start transfers at once from one address. Give each slot more ports, or add slots.',
    });
    const storageErrors = this.counted('StorageErrors');
    this.alarm('StorageErrors', {
      metric: storageErrors,
      threshold: 10,
      comparison: atLeast,
      minutes: 5,
      meaning: 'S3 has answered with errors for 5 minutes: throttling, permissions, or an outage.',
    });
    const reloadFailures = this.counted('ConfigReloadFailures');
    this.alarm('ConfigReloadFailures', {
      metric: reloadFailures,
      threshold: 1,
      comparison: atLeast,
      minutes: 1,
      meaning: 'The users or the certificate could not be reloaded; the last valid version stays in use.',
    });
    const unexpected = this.counted('UnexpectedErrors');
    this.alarm('UnexpectedErrors', {
      metric: unexpected,
      threshold: 1,
      comparison: atLeast,
      minutes: 1,
      meaning: 'The gateway met an unexpected error, a defect. The log line has the stack.',
    });
    return [exhausted, storageErrors, reloadFailures, unexpected];
  }

  private counted(metricName: string): Metric {
    return new Metric({ namespace: this.#namespace, metricName, statistic: Stats.SUM, period: minute });
  }

  private alarm(name: string, { metric, threshold, comparison, minutes, meaning, missing }: AlarmWhen): void {
    const alarm = new Alarm(this, name, {
      metric,
      threshold,
      comparisonOperator: comparison,
      evaluationPeriods: minutes,
      treatMissingData: missing ?? TreatMissingData.NOT_BREACHING,
      alarmDescription: `${meaning} See docs/operations.md, "${name.replace(/\d+/, '')}".`,
    });
    alarm.addAlarmAction(new SnsAction(this.#topic));
    alarm.addOkAction(new SnsAction(this.#topic));
  }

  private makeDashboard(
    { loadBalancer, slots, logGroup }: MonitoringProps,
    healthy: readonly IMetric[],
    events: readonly IMetric[],
  ): void {
    const { nlb } = loadBalancer;
    const graph = (title: string, left: readonly IMetric[], right: readonly IMetric[] = []) =>
      new GraphWidget({ title, left: [...left], right: [...right], width: 12, period: minute });
    const dashboard = new Dashboard(this, 'Dashboard');
    dashboard.addWidgets(
      graph('Slots with a healthy task', healthy),
      graph('What goes wrong (events a minute)', events),
      graph('Connections: open, and new', [nlb.metrics.activeFlowCount()], [nlb.metrics.newFlowCount()]),
      graph('Bytes a minute', [this.counted('UploadBytes'), this.counted('DownloadBytes')]),
      graph('Files a minute', [this.counted('UploadsCompleted'), this.counted('DownloadsCompleted')]),
      graph(
        'CPU (%)',
        slots.map((slot) => slot.service.metricCpuUtilization({ label: `slot ${slot.plan.number}` })),
      ),
      graph(
        'Memory (%)',
        slots.map((slot) => slot.service.metricMemoryUtilization({ label: `slot ${slot.plan.number}` })),
      ),
      new LogQueryWidget({
        title: 'Transfers that did not complete',
        logGroupNames: [logGroup.logGroupName],
        queryLines: [
          'fields @timestamp, username, verb, pathname, outcome, reason, sizeBytes, sessionId',
          'filter event = "transfer" and outcome != "completed"',
          'sort @timestamp desc',
          'limit 100',
        ],
        width: 24,
      }),
    );
  }
}
