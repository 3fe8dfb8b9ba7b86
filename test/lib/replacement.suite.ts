/**
 * What CloudFormation would replace when the passive range or the number of slots changes. A replaced load balancer or
 * address means new firewall rules at every partner; a replaced listener or group means broken sessions.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
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

function change(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): Change {
  const [old, next] = [synthApp(before).template, synthApp(after).template].map((template: Template) =>
    resources(template),
  ) as [Resources, Resources];
  const both = Object.keys(old).filter((id) => id in next);
  const changed = both.filter((id) => !same(old[id]?.Properties, next[id]?.Properties));
  const replaced = changed.filter((id) => isReplaced(old[id]!, next[id]!));
  return {
    added: Object.keys(next).filter((id) => !(id in old)),
    removed: Object.keys(old).filter((id) => !(id in next)),
    updated: changed.filter((id) => !replaced.includes(id)),
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

// The rules between load balancer and tasks carry the range in their ids: the new one is made before the old one goes.
const rules = ['LoadBalancerSecurityGroupto', 'NetworkTaskSecurityGroupfrom'];
const isRule = (name: string) => rules.some((rule) => name.startsWith(rule));

describe('8 passive ports on 2 slots become 12 on 3', () => {
  const made = change({}, { passivePorts: '50000-50011' });

  it('adds the new ports and the new slot, and leaves every listener, group and task of the old ones alone', () => {
    assert.deepEqual(listenersAndGroups(made.added), ofPorts(50_008, 50_011));
    assert.deepEqual(
      names(made.added).filter((name) => name.startsWith('Slot')),
      ['Slot3Service', 'Slot3TaskDefinition'],
    );
    assert.deepEqual(names(made.replaced), []);
    assert.ok(names(made.removed).every(isRule), names(made.removed).join());
  });

  it('updates in place only the range that clients may use, and the dashboard', () => {
    assert.deepEqual(names(made.updated), ['LoadBalancerSecurityGroup', 'MonitoringDashboard']);
  });
});

describe('8 passive ports on 2 slots become the same 8 on 4 slots', () => {
  const made = change({}, { slots: '4' });

  it('keeps every listener and group, and gives the old slots new task definitions', () => {
    assert.deepEqual(listenersAndGroups([...made.added, ...made.removed, ...made.replaced]), []);
    assert.deepEqual(names(made.replaced), ['Slot1TaskDefinition', 'Slot2TaskDefinition']);
    assert.deepEqual(
      names(made.updated).filter((name) => name.startsWith('Slot')),
      ['Slot1Service', 'Slot2Service'],
    );
  });
});

describe('the range moves', () => {
  const made = change({}, { passivePorts: '51000-51007' });

  it('makes new listeners and groups beside the old ones, which CloudFormation removes last', () => {
    assert.deepEqual(listenersAndGroups(made.added), ofPorts(51_000, 51_007));
    assert.deepEqual(listenersAndGroups(made.removed), ofPorts(50_000, 50_007));
  });

  it('replaces the task definitions and nothing else: load balancer, addresses and services stay', () => {
    assert.deepEqual(names(made.replaced), ['Slot1TaskDefinition', 'Slot2TaskDefinition']);
  });
});

describe('12 passive ports on 3 slots become 8 on 2', () => {
  const made = change({ passivePorts: '50000-50011' }, {});

  it('removes the last slot and its ports, and touches no other slot', () => {
    assert.deepEqual(listenersAndGroups(made.removed), ofPorts(50_008, 50_011));
    assert.deepEqual(
      names([...made.removed, ...made.updated, ...made.replaced]).filter((name) => name.startsWith('Slot')),
      ['Slot3Service', 'Slot3TaskDefinition'],
    );
  });
});
