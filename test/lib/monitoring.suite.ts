/** Alarms: each on a metric that exists, each with a recipient, a sentence and a page. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import { parseConfig } from '../../src/config/config.ts';
import { embeddedMetricLine, primaryMetricLine } from '../../src/observability/emf.ts';
import { gatewayMetricNames } from '../../lib/gateway-metrics.ts';
import { readTopology } from '../system/topology/topology.ts';
import { resourcesOfType, synthGateway } from './synth.ts';

type AlarmProperties = {
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Threshold: number;
  readonly Period: number;
  readonly EvaluationPeriods: number;
  readonly TreatMissingData: string;
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
  readonly Metrics?: unknown;
};

type Statement = {
  readonly Effect: string;
  readonly Action: unknown;
  readonly Principal?: { readonly Service?: string };
  readonly Resource: unknown;
  readonly Condition?: unknown;
};

const { template } = synthGateway();
const alarms = resourcesOfType(template, 'AWS::CloudWatch::Alarm').map(
  ([id, { Properties }]) => [id, Properties as unknown as AlarmProperties] as const,
);
const named = (name: string) => alarms.find(([id]) => id.includes(name))![1];

function namesIn(line: string): readonly string[] {
  const { _aws } = JSON.parse(line) as {
    _aws: { CloudWatchMetrics: readonly { Metrics: readonly { Name: string }[] }[] };
  };
  return _aws.CloudWatchMetrics.flatMap(({ Metrics }) => Metrics.map(({ Name }) => Name));
}

/** What the primary of worker processes writes once a minute. */
const primaryNames = namesIn(primaryMetricLine('Gateway', 0, new Map(), 2));

/** What a task of the template writes once a minute. */
function embeddedMetrics(): { readonly namespace: string; readonly names: readonly string[] } {
  const { services } = readTopology(template.toJSON() as Parameters<typeof readTopology>[0], {
    publicAddresses: ['198.51.100.1', '198.51.100.2'],
    bucketName: 'files',
  });
  const namespace = parseConfig(services[0]!.environment).metricsNamespace!;
  const gauges = {
    sessions: 0,
    passivePortLeases: 0,
    passivePortWaiters: 0,
    transferMemoryBytes: 0,
    waitingUploads: 0,
    certificateSecondsLeft: 8_640_000,
  };
  return { namespace, names: namesIn(embeddedMetricLine(namespace, 0, new Map(), gauges)) };
}

describe('the alarms', () => {
  it('The alarms on counters of the gateway use metrics that it writes, in its namespace', () => {
    const { namespace, names } = embeddedMetrics();
    const own = alarms.filter(
      ([, { Namespace }]) => Namespace !== undefined && !Namespace.startsWith('AWS/'),
    );
    assert.deepEqual(own.map(([, { MetricName }]) => MetricName).sort(), [
      'CertificateDaysLeft',
      'ConfigReloadFailures',
      'LoginsRefused',
      'PassivePortsExhausted',
      'StorageErrors',
      'StorageFailingSeconds',
      'UnexpectedErrors',
    ]);
    for (const [, { Namespace, MetricName, Dimensions }] of own) {
      assert.equal(Namespace, namespace);
      assert.ok(names.includes(MetricName ?? ''), MetricName);
      assert.equal(Dimensions, undefined);
    }
  });

  it('The construct has a metric for each one that the gateway writes, and no other', () => {
    const written = new Set([...embeddedMetrics().names, ...primaryNames]);
    assert.deepEqual([...gatewayMetricNames].sort(), [...written].sort());
  });

  it('Slots of several worker processes have an alarm on workers that end, on a metric that their primary writes', () => {
    const isOnWorkers = ([id]: readonly [string, unknown]): boolean => id.includes('WorkersEnded');
    assert.ok(!alarms.some(isOnWorkers), 'a single process has no workers');
    const { template: ofWorkers } = synthGateway({ cpu: 2048, memoryMiB: 4096 });
    const [, { Properties }] = resourcesOfType(ofWorkers, 'AWS::CloudWatch::Alarm').find(isOnWorkers)!;
    const { namespace } = embeddedMetrics();
    assert.partialDeepStrictEqual(Properties, {
      Namespace: namespace,
      MetricName: 'WorkersEnded',
      Threshold: 1,
    });
    assert.match(String(Properties['AlarmDescription']), /See docs\/troubleshooting\.md, "WorkersEnded"\.$/);
    assert.ok(primaryNames.includes('WorkersEnded'));
  });

  it('No alarm is about a single slot, because a standby slot is down by design', () => {
    for (const [id, alarm] of alarms) assert.doesNotMatch(`${id} ${JSON.stringify(alarm)}`, /500\d\d/);
  });

  it('An alarm fires when fewer slots are ready than the minimum, by the group in which every slot registers', () => {
    const alarm = named('FewSlotsReady');
    assert.equal(alarm.MetricName, 'HealthyHostCount');
    assert.match(JSON.stringify(alarm.Dimensions), /ControlTargetGroup/);
    assert.equal(alarm.TreatMissingData, 'breaching');
    assert.deepEqual([alarm.Threshold, alarm.Period, alarm.EvaluationPeriods], [2, 60, 10]);
  });

  it('The alarm that no slot is ready fires sooner than the one for a single slot', () => {
    const alarm = named('NoSlotReady');
    assert.deepEqual([alarm.Threshold, alarm.EvaluationPeriods], [1, 3]);
    assert.match(JSON.stringify(alarm.Dimensions), /ControlTargetGroup/);
  });

  it('The alarms on CPU and memory use the maximum among the services of the cluster', () => {
    const [[cluster]] = resourcesOfType(template, 'AWS::ECS::Cluster') as [[string, unknown]];
    for (const name of ['TaskCpu', 'TaskMemory']) {
      const { Metrics } = named(name);
      const [{ Expression }] = Metrics as [{ Expression: { 'Fn::Join': [string, unknown[]] } }];
      const [, [query, reference]] = Expression['Fn::Join'];
      assert.match(
        String(query),
        /^SELECT MAX\((CPU|Memory)Utilization\) FROM SCHEMA\("AWS\/ECS", ClusterName, ServiceName\) WHERE ClusterName = '$/,
      );
      assert.deepEqual(reference, { Ref: cluster });
    }
  });

  it('An alarm fires when a quarter of the transfers fail, by metrics that the gateway writes, and not for a few failures', () => {
    const { namespace, names } = embeddedMetrics();
    const { Metrics, Threshold, EvaluationPeriods, TreatMissingData } = named('FailingTransfers');
    assert.deepEqual([Threshold, EvaluationPeriods, TreatMissingData], [25, 3, 'notBreaching']);
    const [share, ...inputs] = Metrics as readonly [
      { readonly Expression: string },
      ...{ readonly Id: string; readonly MetricStat: Readonly<Record<string, unknown>> }[],
    ];
    assert.equal(share.Expression, 'IF(failed >= 5, 100 * failed / (failed + completed), 0)');
    for (const [id, name] of [
      ['failed', 'TransfersFailed'],
      ['completed', 'TransfersCompleted'],
    ] as const) {
      assert.ok(names.includes(name), name);
      assert.deepEqual(inputs.find(({ Id }) => Id === id)?.MetricStat, {
        Metric: { MetricName: name, Namespace: namespace },
        Period: 300,
        Stat: 'Sum',
      });
    }
  });

  it('The alarms may publish to the topic, whose policy replaces the default one that allows it', () => {
    const [[topic]] = resourcesOfType(template, 'AWS::SNS::Topic') as [[string, unknown]];
    const policies = resourcesOfType(template, 'AWS::SNS::TopicPolicy').filter(([, { Properties }]) =>
      JSON.stringify(Properties['Topics']).includes(topic),
    );
    const statements = policies.flatMap(
      ([, { Properties }]) => (Properties['PolicyDocument'] as { Statement: readonly Statement[] }).Statement,
    );
    const allowed = (service: string) =>
      statements.find(
        ({ Effect, Action, Principal }) =>
          Effect === 'Allow' && Action === 'sns:Publish' && Principal?.Service === service,
      );
    assert.deepEqual(allowed('cloudwatch.amazonaws.com')?.Condition, {
      StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
    });
    assert.deepEqual(allowed('cloudwatch.amazonaws.com')?.Resource, { Ref: topic });
    assert.ok(allowed('events.amazonaws.com'), 'notices of failed deployments and stopped tasks');
  });

  it('An alarm warns of a certificate that expires in less than 21 days, where there is one', () => {
    synthGateway({ tls: 'off' }).template.resourcePropertiesCountIs(
      'AWS::CloudWatch::Alarm',
      { MetricName: 'CertificateDaysLeft' },
      0,
    );
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'CertificateDaysLeft',
      Threshold: 21,
      ComparisonOperator: 'LessThanThreshold',
      Statistic: 'Minimum',
    });
  });

  it('An alarm fires when the uploads of an expected partner, counted in the log, are missing', () => {
    const { template: expecting } = synthGateway({ expectedPartners: { alice: Duration.hours(26) } });
    expecting.hasResourceProperties('AWS::Logs::MetricFilter', {
      FilterPattern:
        '{ ($.event = "transfer") && ($.username = "alice") && ($.outcome = "completed") && (($.verb = "STOR") || ($.verb = "STOU") || ($.verb = "APPE")) }',
      MetricTransformations: [{ MetricName: 'UploadsOf-alice', MetricValue: '1' }],
    });
    expecting.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'UploadsOf-alice',
      Period: 3600,
      EvaluationPeriods: 26,
      TreatMissingData: 'breaching',
    });
    assert.throws(
      () => synthGateway({ expectedPartners: { bob: Duration.days(8) } }),
      /"bob" is expected within 8 days, but an alarm looks back whole hours, 1 to 168/,
    );
  });

  it('The alarms notify the topic and name a section of docs/troubleshooting.md, which has no alarm besides', () => {
    const page = readFileSync(new URL('../../docs/troubleshooting.md', import.meta.url), 'utf8');
    const [, alarmsOfPage = ''] = /^## Alarms\n([^]*?)(?=^## |(?![^]))/m.exec(page) ?? [];
    const sections = [...alarmsOfPage.matchAll(/^### (.*)$/gm)].map(([, name = '']) => name);
    const [[topic]] = resourcesOfType(template, 'AWS::SNS::Topic') as [[string, unknown]];
    for (const [id, { AlarmActions, AlarmDescription }] of alarms) {
      assert.deepEqual(AlarmActions, [{ Ref: topic }], id);
      const section = /See docs\/troubleshooting\.md, "(\w+)"\.$/.exec(AlarmDescription)?.[1];
      assert.ok(section !== undefined && sections.includes(section), AlarmDescription);
    }
    const named = alarms.map(([, { AlarmDescription }]) => /"(\w+)"\.$/.exec(AlarmDescription)?.[1]);
    // Those that the template of the other tests has not.
    assert.deepEqual(sections.sort(), [...named, 'NoUpload', 'WorkersEnded'].sort());
  });
});

describe('operators', () => {
  it('Operators are notified of deployments that fail and of tasks that end unexpectedly', () => {
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        source: ['aws.ecs'],
        detail: { eventName: ['SERVICE_DEPLOYMENT_FAILED'] },
      },
    });
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        source: ['aws.ecs'],
        detail: {
          lastStatus: ['STOPPED'],
          stopCode: [{ 'anything-but': ['ServiceSchedulerInitiated', 'UserInitiated'] }],
        },
      },
    });
  });

  it('Queries by partner, by file and for failures are saved for the log group', () => {
    const saved = resourcesOfType(template, 'AWS::Logs::QueryDefinition').map(([, { Properties }]) => [
      String(Properties['Name']).split('/')[1],
      Properties['LogGroupNames'],
    ]);
    const [[logGroup]] = resourcesOfType(template, 'AWS::Logs::LogGroup').filter(([id]) =>
      /GatewayLog[0-9A-F]{8}$/.test(id),
    ) as [[string, unknown]];
    assert.deepEqual(saved, [
      ['transfers of a partner', [{ Ref: logGroup }]],
      ['transfers of a file', [{ Ref: logGroup }]],
      ['failures', [{ Ref: logGroup }]],
      ['partners with failures', [{ Ref: logGroup }]],
      ['bytes by partner', [{ Ref: logGroup }]],
    ]);
  });
});
