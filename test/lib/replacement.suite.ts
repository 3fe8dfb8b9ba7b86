/**
 * What CloudFormation would replace when the passive range or a size changes. A replaced load balancer or
 * address means new firewall rules at every partner; a replaced listener or group means broken sessions.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { type DeployedPlan, deployedPlanOf } from '../../lib/deployed-plan.ts';
import { type Resource, type Resources, resources, synthApp } from './synth.ts';

/**
 * The properties that cannot be changed in place ("createOnlyProperties" of the CloudFormation registry schemas, read
 * November 2026), for each type of which an instance exists before and after with another value.
 */
const createOnly: Readonly<Record<string, readonly string[]>> = {
  'AWS::EC2::EIP': ['NetworkBorderGroup', 'TransferAddress', 'IpamPoolId', 'Address'],
  'AWS::EC2::SecurityGroup': ['GroupDescription', 'GroupName', 'VpcId'],
  'AWS::ECS::Service': ['Cluster', 'Role', 'SchedulingStrategy', 'ServiceName'],
  // A revision is a new resource whatever changes; the old one stays until its service has left it.
  'AWS::ECS::TaskDefinition': [
    'ContainerDefinitions',
    'Cpu',
    'Memory',
    'TaskRoleArn',
    'ExecutionRoleArn',
    'Family',
  ],
  'AWS::ElasticLoadBalancingV2::Listener': ['LoadBalancerArn'],
  'AWS::ElasticLoadBalancingV2::LoadBalancer': ['Name', 'Type', 'Scheme'],
  'AWS::ElasticLoadBalancingV2::TargetGroup': [
    'Name',
    'Port',
    'Protocol',
    'TargetType',
    'VpcId',
    'IpAddressType',
  ],
  'AWS::CloudWatch::Alarm': ['AlarmName'],
  'AWS::CloudWatch::Dashboard': ['DashboardName'],
};

type Change = {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly updated: readonly string[];
  readonly replaced: readonly string[];
};

/** `running`: what is deployed, where operators have started and stopped slots since. */
function change(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
  running?: DeployedPlan,
): Change {
  const deployed = synthApp(before);
  const changed = synthApp(after, running ?? deployedPlanOf(deployed.stack.gateway.plan));
  const [old, next] = [deployed.template, changed.template].map((template: Template) =>
    resources(template),
  ) as [Resources, Resources];
  const both = Object.keys(old).filter((id) => id in next);
  const different = both.filter((id) => !same(old[id]?.Properties, next[id]?.Properties));
  const replaced = different.filter((id) => isReplaced(old[id]!, next[id]!));
  return {
    added: Object.keys(next).filter((id) => !(id in old)),
    removed: Object.keys(old).filter((id) => !(id in next)),
    updated: different.filter((id) => !replaced.includes(id)),
    replaced,
  };
}

function isReplaced(before: Resource, after: Resource): boolean {
  if (before.Type !== after.Type) return true;
  const properties = createOnly[before.Type];
  assert.ok(properties, `${before.Type} changes, and this test does not know what replaces it`);
  return properties.some((name) => !same(before.Properties[name], after.Properties[name]));
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Logical ids without their hashes, sorted: what a person would call them. */
function names(ids: readonly string[]): readonly string[] {
  return ids.map((id) => id.replace(/[0-9A-F]{8}$/, '').replace(/^Gateway/, '')).sort();
}

function ofPorts(first: number, last: number): readonly string[] {
  const ports = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return ports
    .flatMap((port) => [`LoadBalancerNlbPassive${port}Listener`, `LoadBalancerPassive${port}TargetGroup`])
    .sort();
}

const listenersAndGroups = (ids: readonly string[]) =>
  names(ids).filter((name) => /Listener|TargetGroup/.test(name));

// Rules of security groups carry the range in their ids: the new one is made before the old one goes.
const rules = ['LoadBalancerSecurityGroupto', 'NetworkTaskSecurityGroupfrom', 'LoadBalancerfrom'];
const isRule = (name: string) => rules.some((rule) => name.startsWith(rule));
const ofSlots = (ids: readonly string[]) => names(ids).filter((name) => name.startsWith('Slot'));

describe('8 passive ports become 12', () => {
  const made = change({}, { passivePorts: '50000-50011' });

  it('Growing from 8 to 12 passive ports adds ports and slots, and leaves listeners, groups and slots of the old ones unchanged', () => {
    assert.deepEqual(listenersAndGroups(made.added), ofPorts(50_008, 50_011));
    assert.deepEqual(ofSlots(made.added), [
      'Slot50008Service',
      'Slot50008TaskDefinition',
      'Slot50010Service',
      'Slot50010TaskDefinition',
    ]);
    assert.deepEqual(names(made.replaced), []);
    assert.ok(names(made.removed).every(isRule), names(made.removed).join());
  });

  it('Growing from 8 to 12 passive ports updates only the dashboard in place', () => {
    assert.deepEqual(names(made.updated), ['MonitoringDashboard']);
  });
});

describe('7 passive ports become 8', () => {
  it('Growing from 7 to 8 passive ports changes in place only the last slot, which gets its second port', () => {
    const made = change({ passivePorts: '50000-50006' }, {});
    assert.deepEqual(ofSlots([...made.added, ...made.removed]), []);
    assert.deepEqual(ofSlots(made.updated), ['Slot50006Service']);
    assert.deepEqual(names(made.replaced), ['Slot50006TaskDefinition']);
  });
});

describe('the range moves', () => {
  const made = change({}, { passivePorts: '51000-51007' });

  it('Moving the passive range creates slots beside the two that run, which keep their listeners until they have been stopped', () => {
    assert.deepEqual(listenersAndGroups(made.added), ofPorts(51_000, 51_007));
    assert.deepEqual(listenersAndGroups(made.removed), ofPorts(50_004, 50_007));
    assert.deepEqual(ofSlots(made.removed), [
      'Slot50004Service',
      'Slot50004TaskDefinition',
      'Slot50006Service',
      'Slot50006TaskDefinition',
    ]);
  });

  it('Moving the passive range changes neither a running slot nor the load balancer and its addresses', () => {
    assert.deepEqual(ofSlots([...made.updated, ...made.replaced]), []);
    assert.deepEqual(names(made.replaced), []);
  });
});

describe('12 passive ports become 8', () => {
  it('Shrinking from 12 to 8 passive ports removes the last slots and their ports when they stand by, and changes no other slot', () => {
    const made = change({ passivePorts: '50000-50011' }, {});
    assert.deepEqual(listenersAndGroups(made.removed), ofPorts(50_008, 50_011));
    assert.deepEqual(ofSlots([...made.removed, ...made.updated, ...made.replaced]), [
      'Slot50008Service',
      'Slot50008TaskDefinition',
      'Slot50010Service',
      'Slot50010TaskDefinition',
    ]);
  });

  it('Shrinking from 12 to 8 passive ports removes no running slot', () => {
    const running = Array.from({ length: 6 }, (_, index) => ({
      firstPort: 50_000 + 2 * index,
      ports: 2,
      zone: 1 + (index % 2),
      running: true,
    }));
    const made = change({ passivePorts: '50000-50011', slots: '6' }, {}, running);
    assert.deepEqual(ofSlots([...made.removed, ...made.updated, ...made.replaced]), []);
  });
});

describe('another size of the tasks', () => {
  it('Another size of the tasks makes new revisions of the task definitions and changes no service', () => {
    const made = change({}, { cpu: '1024', memoryMiB: '2048' });
    assert.deepEqual(ofSlots(made.updated), []);
    assert.equal(names(made.replaced).length, 4);
    assert.ok(names(made.replaced).every((name) => name.endsWith('TaskDefinition')));
  });
});
