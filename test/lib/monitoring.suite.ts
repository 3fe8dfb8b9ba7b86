/** Alarms: each on a metric that exists, each told to somebody, each with a sentence and a page. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.ts';
import { embeddedMetricLine } from '../../src/observability/emf.ts';
import { readTopology } from '../system/topology/topology.ts';
import { resources, resourcesOfType, synthGateway } from './synth.ts';

type AlarmProperties = {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Threshold: number;
  readonly Period: number;
  readonly EvaluationPeriods: number;
  readonly TreatMissingData: string;
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
};

const { template } = synthGateway();
const alarms = resourcesOfType(template, 'AWS::CloudWatch::Alarm').map(
  ([id, { Properties }]) => [id, Properties as unknown as AlarmProperties] as const,
);
const named = (name: string) => alarms.find(([id]) => id.includes(name))![1];

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
  };
  const line = JSON.parse(embeddedMetricLine(namespace, 0, new Map(), gauges)) as {
    _aws: { CloudWatchMetrics: readonly { Namespace: string; Metrics: readonly { Name: string }[] }[] };
  };
  const [metrics] = line._aws.CloudWatchMetrics;
  return { namespace: metrics!.Namespace, names: metrics!.Metrics.map(({ Name }) => Name) };
}

describe('the alarms', () => {
  it('on what the gateway counts are on metrics that it writes, in its namespace', () => {
    const { namespace, names } = embeddedMetrics();
    const own = alarms.filter(([, { Namespace }]) => !Namespace.startsWith('AWS/'));
    assert.deepEqual(own.map(([, { MetricName }]) => MetricName).sort(), [
      'ConfigReloadFailures',
      'PassivePortsExhausted',
      'StorageErrors',
      'UnexpectedErrors',
    ]);
    for (const [, { Namespace, MetricName, Dimensions }] of own) {
      assert.equal(Namespace, namespace);
      assert.ok(names.includes(MetricName), MetricName);
      assert.equal(Dimensions, undefined);
    }
  });

  it('say of each slot that it is down, by the group that only this slot registers in', () => {
    for (const [slot, port] of [
      ['Slot1Down', 50_000],
      ['Slot2Down', 50_004],
    ] as const) {
      const alarm = named(slot);
      assert.equal(alarm.MetricName, 'HealthyHostCount');
      const group = alarm.Dimensions?.find(({ Name }) => Name === 'TargetGroup')?.Value;
      const [id] = (group as { 'Fn::GetAtt': readonly [string, string] })['Fn::GetAtt'];
      assert.equal(resources(template)[id]?.Properties['Port'], port);
      assert.equal(alarm.TreatMissingData, 'breaching');
      assert.deepEqual([alarm.Threshold, alarm.Period, alarm.EvaluationPeriods], [1, 60, 10]);
    }
  });

  it('say when no slot serves, sooner than of one slot', () => {
    const alarm = named('NoSlotServes');
    assert.equal(alarm.EvaluationPeriods, 3);
    assert.match(JSON.stringify(alarm.Dimensions), /ControlTargetGroup/);
  });

  it('go to the topic, and name a section of docs/operations.md', () => {
    const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const [[topic]] = resourcesOfType(template, 'AWS::SNS::Topic') as [[string, unknown]];
    for (const [id, { AlarmActions, AlarmDescription }] of alarms) {
      assert.deepEqual(AlarmActions, [{ Ref: topic }], id);
      const section = /See docs\/operations\.md, "(\w+)"\.$/.exec(AlarmDescription)?.[1];
      assert.ok(section !== undefined && page.includes(`### ${section}\n`), AlarmDescription);
    }
  });
});
