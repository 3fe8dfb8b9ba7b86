/** Each attribute without which something breaks that no error message would explain. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { Peer } from 'aws-cdk-lib/aws-ec2';
import { PassivePortRange } from '../../lib/passive-port-range.ts';
import { certificateIn, dependsOn, resourcesOfType, synthGateway } from './synth.ts';

type Attributes = readonly { readonly Key: string; readonly Value: string }[];
function attributes(
  properties: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, string>> {
  return Object.fromEntries(((properties[name] ?? []) as Attributes).map(({ Key, Value }) => [Key, Value]));
}

function targetGroups(template: Template) {
  return resourcesOfType(template, 'AWS::ElasticLoadBalancingV2::TargetGroup').map(
    ([id, { Properties }]) => ({
      id,
      port: Properties['Port'] as number,
      properties: Properties,
      attributes: attributes(Properties, 'TargetGroupAttributes'),
    }),
  );
}

const { template } = synthGateway();
const groups = targetGroups(template);
const control = groups.filter(({ id }) => id.includes('Control'));
const passive = groups.filter(({ id }) => id.includes('Passive'));

describe('the target groups', () => {
  it('There is one target group for control and one for each passive port, whose target port is the listener port', () => {
    assert.equal(control.length, 1);
    assert.deepEqual(
      passive.map(({ port }) => port),
      PassivePortRange.of(50_000, 50_007).ports,
    );
  });

  for (const [key, value, without] of [
    [
      'preserve_client_ip.enabled',
      'true',
      'a data connection shows a node of the load balancer, and no lease is found for it',
    ],
    [
      'load_balancing.cross_zone.enabled',
      'true',
      'a client in the zone without the slot gets a reset for every data connection',
    ],
    [
      'target_group_health.dns_failover.minimum_healthy_targets.count',
      'off',
      'one empty slot takes all addresses out of DNS',
    ],
    [
      'deregistration_delay.connection_termination.enabled',
      'false',
      'a deployment resets transfers that would have finished',
    ],
    [
      'target_health_state.unhealthy.connection_termination.enabled',
      'false',
      'three late health checks cut every transfer of the slot',
    ],
    [
      'target_health_state.unhealthy.draining_interval_seconds',
      '360000',
      'a slot that drains loses its sessions when the load balancer finds it unhealthy',
    ],
    [
      'deregistration_delay.timeout_seconds',
      '0',
      'sessions keep passive ports that no longer respond, and do not notice for minutes',
    ],
  ] as const) {
    it(`All target groups have ${key} = ${value}: otherwise ${without}`, () => {
      for (const group of groups) assert.equal(group.attributes[key], value, group.id);
    });
  }

  it('The control target groups send a PROXY header, without which 227 cannot name the address of the zone that the client used', () => {
    for (const group of control) assert.equal(group.attributes['proxy_protocol_v2.enabled'], 'true');
  });

  it('The passive target groups send no PROXY header, for which a download in clear would wait forever', () => {
    for (const group of passive)
      assert.equal(group.attributes['proxy_protocol_v2.enabled'], 'false', group.id);
  });

  it('The target groups check health over HTTP on the operations port, because a probe of a passive port would be a data connection', () => {
    for (const { properties, id } of groups) {
      assert.equal(properties['HealthCheckProtocol'], 'HTTP', id);
      assert.equal(properties['HealthCheckPort'], '8080', id);
    }
  });

  it('The target groups check /readyz for control and /healthz with the port for passive ports, as a draining task still serves its sessions', () => {
    for (const { properties } of control) assert.equal(properties['HealthCheckPath'], '/readyz');
    for (const { port, properties } of passive)
      assert.equal(properties['HealthCheckPath'], `/healthz/${port}`);
  });

  it('The target groups have names from CloudFormation, because a fixed name would make it impossible to replace one', () => {
    for (const { properties } of groups) assert.equal(properties['Name'], undefined);
  });
});

describe('the listeners', () => {
  const listeners = resourcesOfType(template, 'AWS::ElasticLoadBalancingV2::Listener').map(
    ([, { Properties }]) => ({
      port: Properties['Port'] as number,
      protocol: Properties['Protocol'],
      attributes: attributes(Properties, 'ListenerAttributes'),
      target: (Properties['DefaultActions'] as readonly { TargetGroupArn: { Ref: string } }[])[0]
        ?.TargetGroupArn.Ref,
    }),
  );

  it('There is a listener for port 21 and one for each passive port, each with its own group', () => {
    assert.deepEqual(
      listeners.map(({ port }) => port),
      [21, ...PassivePortRange.of(50_000, 50_007).ports],
    );
    for (const { port, target } of listeners) {
      const expected = port === 21 ? control : passive.filter((group) => group.port === port);
      assert.equal(target, expected.at(0)?.id);
    }
  });

  it('The listeners pass TLS through to the task, because AUTH TLS begins in clear', () => {
    for (const { protocol } of listeners) assert.equal(protocol, 'TCP');
  });

  it('The listeners keep a silent control connection for 6000 seconds, because the default of 350 ends it during a long transfer', () => {
    assert.equal(listeners[0]?.attributes['tcp.idle_timeout.seconds'], '6000');
  });

  it('Implicit TLS adds a listener for port 990 with its own control group', () => {
    const { template: withImplicit } = synthGateway((stack) => ({
      passivePorts: PassivePortRange.of(50_000, 50_005),
      tls: { certificate: certificateIn(stack), implicit: true },
    }));
    const group = targetGroups(withImplicit).find(({ id }) => id.includes('ImplicitTlsTargetGroup'));
    assert.equal(group?.attributes['proxy_protocol_v2.enabled'], 'true');
    withImplicit.hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', {
      Port: 990,
      DefaultActions: [{ TargetGroupArn: { Ref: group.id } }],
      ListenerAttributes: [{ Key: 'tcp.idle_timeout.seconds', Value: '6000' }],
    });
  });
});

describe('the load balancer', () => {
  it('The load balancer is internet-facing with one Elastic IP per zone, which is kept when the stack is deleted', () => {
    const eips = resourcesOfType(template, 'AWS::EC2::EIP');
    assert.equal(eips.length, 2);
    for (const [, eip] of eips) assert.equal(eip.DeletionPolicy, 'RetainExceptOnCreate');
    template.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', {
      Scheme: 'internet-facing',
      Type: 'network',
      SubnetMappings: eips.map(([id]) => ({ AllocationId: { 'Fn::GetAtt': [id, 'AllocationId'] } })),
    });
  });

  it('The load balancer and its addresses wait for the internet gateway, without which Elastic Load Balancing refuses the subnets', () => {
    const attachment = resourcesOfType(template, 'AWS::EC2::VPCGatewayAttachment')[0]![0];
    const [nlb] = resourcesOfType(template, 'AWS::ElasticLoadBalancingV2::LoadBalancer');
    assert.ok(dependsOn(template, nlb![0]).has(attachment));
    for (const [id] of resourcesOfType(template, 'AWS::EC2::EIP')) {
      assert.ok(dependsOn(template, id).has(attachment), id);
    }
  });

  it('The load balancer allows a failing zone to be taken out of service, and is protected from deletion on request', () => {
    const loadBalancerAttributes = (made: Template) =>
      attributes(
        resourcesOfType(made, 'AWS::ElasticLoadBalancingV2::LoadBalancer')[0]![1].Properties,
        'LoadBalancerAttributes',
      );
    assert.equal(loadBalancerAttributes(template)['zonal_shift.config.enabled'], 'true');
    assert.equal(loadBalancerAttributes(template)['deletion_protection.enabled'], 'false');
    const { template: kept } = synthGateway({ deletionProtection: true });
    assert.equal(loadBalancerAttributes(kept)['deletion_protection.enabled'], 'true');
  });

  it('An internal load balancer has no public address, and the gateway advertises the address that the client used', () => {
    const { template: internal } = synthGateway({ internetFacing: false });
    internal.resourceCountIs('AWS::EC2::EIP', 0);
    internal.hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', { Scheme: 'internal' });
    assert.match(JSON.stringify(internal.toJSON()), /"ADVERTISED_ADDRESS","Value":"auto"/);
  });
});

function clientRules(made: Template): readonly (readonly unknown[])[] {
  return resourcesOfType(made, 'AWS::EC2::SecurityGroupIngress')
    .filter(([, { Properties }]) => 'CidrIp' in Properties)
    .map(([, { Properties }]) => [Properties['CidrIp'], Properties['FromPort'], Properties['ToPort']]);
}

describe('the security groups', () => {
  const { template: narrow } = synthGateway({
    clients: [Peer.ipv4('203.0.113.0/24'), Peer.ipv4('198.51.100.7/32')],
  });
  const balancer = resourcesOfType(narrow, 'AWS::EC2::SecurityGroup').find(([id]) =>
    id.includes('LoadBalancer'),
  );

  it('The load balancer accepts only the clients, on port 21 and the passive range', () => {
    assert.equal(balancer?.[1].Properties['SecurityGroupIngress'], undefined);
    assert.deepEqual(clientRules(narrow), [
      ['203.0.113.0/24', 21, 21],
      ['203.0.113.0/24', 50_000, 50_007],
      ['198.51.100.7/32', 21, 21],
      ['198.51.100.7/32', 50_000, 50_007],
    ]);
  });

  it('The security groups open the old and the new range in separate resources, so that the old one closes only after the slots have moved', () => {
    const rules = (passivePorts: PassivePortRange) =>
      resourcesOfType(synthGateway({ passivePorts }).template, 'AWS::EC2::SecurityGroupIngress')
        .filter(([, { Properties }]) => 'CidrIp' in Properties && Properties['FromPort'] !== 21)
        .map(([id]) => id);
    const [before] = rules(PassivePortRange.of(50_000, 50_007));
    const [after] = rules(PassivePortRange.of(51_000, 51_007));
    assert.ok(before !== undefined && after !== undefined);
    assert.notEqual(before, after);
  });

  it('The security groups open the ports of slots that still run outside of the range', () => {
    const moved = synthGateway({
      passivePorts: PassivePortRange.of(51_000, 51_003),
      deployedPlan: [{ firstPort: 50_000, ports: 2, zone: 1, running: true }],
    }).template;
    assert.deepEqual(
      clientRules(moved).map(([, first, last]) => [first, last]),
      [
        [21, 21],
        [50_000, 50_001],
        [51_000, 51_003],
      ],
    );
  });

  it('The security groups accept prefix lists as clients', () => {
    const { template: listed } = synthGateway({ clients: [Peer.prefixList('pl-0123')] });
    listed.hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
      SourcePrefixListId: 'pl-0123',
      FromPort: 21,
    });
  });

  it('The security groups are refused with the limit when they would need more rules than AWS allows', () => {
    const clients = Array.from({ length: 31 }, (_, index) => Peer.ipv4(`203.0.113.${index}/32`));
    assert.throws(
      () => synthGateway({ clients }),
      /31 client networks need 62 inbound rules, 2 each, but a security group holds 60. Use at most 30 networks/,
    );
    synthGateway({ clients: clients.slice(0, 30) });
  });

  it('The tasks accept only the load balancer, on exactly the ports that it uses', () => {
    const ranges = (type: string, group: string) =>
      resourcesOfType(narrow, type)
        .filter(([, { Properties }]) => JSON.stringify(Properties['GroupId']).includes(group))
        .map(([, { Properties }]) => [Properties['FromPort'], Properties['ToPort']]);
    const expected = [
      [2121, 2121],
      [50_000, 50_007],
      [8080, 8080],
    ];
    // The last is the operations relay.
    assert.deepEqual(ranges('AWS::EC2::SecurityGroupIngress', 'TaskSecurityGroup'), [
      ...expected,
      [8080, 8080],
    ]);
    assert.deepEqual(ranges('AWS::EC2::SecurityGroupEgress', 'LoadBalancerSecurityGroup'), expected);
    const tasks = resourcesOfType(narrow, 'AWS::EC2::SecurityGroup').find(([id]) =>
      id.includes('TaskSecurityGroup'),
    );
    assert.equal(tasks?.[1].Properties['SecurityGroupIngress'], undefined);
  });
});
