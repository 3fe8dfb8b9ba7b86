/** The ECS settings by which a slot is one task, alone with its ports, that ends without losing a transfer. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import type { Template } from 'aws-cdk-lib/assertions';
import { ContainerImage, CpuArchitecture } from 'aws-cdk-lib/aws-ecs';
import { slotName, type SlotPlan } from '../../lib/slot-plan.ts';
import { PassivePortRange } from '../../lib/passive-port-range.ts';
import { updateGroups } from '../../lib/update-groups.ts';
import { parseConfig } from '../../src/config/config.ts';
import { variables } from '../../src/config/variables.ts';
import { readTopology } from '../system/topology/topology.ts';
import {
  certificateIn,
  dependsOn,
  type Resource,
  resources,
  resourcesOfType,
  synthGateway,
} from './synth.ts';

type LoadBalancers = readonly {
  readonly TargetGroupArn: { readonly Ref: string };
  readonly ContainerPort: number;
}[];
type Container = Readonly<Record<string, unknown>>;

function container(task: Resource): Container {
  const [first] = task.Properties['ContainerDefinitions'] as readonly Container[];
  assert.ok(first);
  return first;
}

const { template } = synthGateway();
const services = resourcesOfType(template, 'AWS::ECS::Service');
const tasks = resourcesOfType(template, 'AWS::ECS::TaskDefinition').map(([, task]) => task);

describe('the worker processes in the template', () => {
  const workersOf = (props: Parameters<typeof synthGateway>[0]) =>
    readTopology(synthGateway(props).template.toJSON() as Parameters<typeof readTopology>[0], {
      publicAddresses: ['127.0.0.1', '127.0.0.2'],
      bucketName: 'bucket',
    }).services.map(({ environment }) => [environment['PASSIVE_PORTS'], environment['WORKERS']]);

  it('Each slot has a worker process for each core, and the slot with the remaining ports one for each of its ports', () => {
    const props = { passivePorts: PassivePortRange.of(50_000, 50_002), portsPerSlot: 2, slots: 1 };
    assert.deepEqual(workersOf({ ...props, cpu: 512 }), [
      ['50000-50001', '1'],
      ['50002-50002', '1'],
    ]);
    assert.deepEqual(workersOf({ ...props, cpu: 2048, memoryMiB: 4096 }), [
      ['50000-50001', '2'],
      ['50002-50002', '1'],
    ]);
  });
});

describe('a slot', () => {
  it('A slot registers in the control group and in the groups of its own ports, never in more than 5', () => {
    const full = synthGateway({
      passivePorts: PassivePortRange.of(50_000, 50_047),
      portsPerSlot: 4,
    }).template;
    const registered = resourcesOfType(full, 'AWS::ECS::Service').map(
      ([, { Properties }]) => Properties['LoadBalancers'] as LoadBalancers,
    );
    assert.equal(registered.length, 12);
    for (const loadBalancers of registered) {
      assert.equal(loadBalancers.length, 5);
      for (const { TargetGroupArn, ContainerPort } of loadBalancers) {
        assert.equal(resources(full)[TargetGroupArn.Ref]?.Properties['Port'], ContainerPort);
      }
    }
    const passiveGroups = registered.flat().filter(({ ContainerPort }) => ContainerPort !== 2121);
    assert.equal(new Set(passiveGroups.map(({ TargetGroupArn }) => TargetGroupArn.Ref)).size, 48);
  });

  it('A slot is named after its first port in the service, the construct and the log stream', () => {
    assert.deepEqual(
      services.map(([id, { Properties }]) => [/Slot(\d+)/.exec(id)?.[1], Properties['ServiceName']]),
      [50_000, 50_002, 50_004, 50_006].map((port) => [String(port), `slot-${port}`]),
    );
    for (const task of tasks) {
      const { LogConfiguration, Environment } = container(task) as {
        LogConfiguration: { Options: Record<string, unknown> };
        Environment: readonly { Name: string; Value: string }[];
      };
      const ports = Environment.find(({ Name }) => Name === 'PASSIVE_PORTS')?.Value;
      assert.equal(LogConfiguration.Options['awslogs-stream-prefix'], `slot-${ports?.split('-')[0]}`);
    }
  });

  it('A slot has at most one task, because two would share ports and exchange data connections', () => {
    assert.deepEqual(
      services.map(([, { Properties }]) => Properties['DesiredCount']),
      [1, 1, 0, 0],
    );
    for (const [, { Properties }] of services) {
      assert.deepEqual(Properties['DeploymentConfiguration'], {
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
        MinimumHealthyPercent: 0,
        MaximumPercent: 100,
      });
    }
  });

  it('A slot is the same service with another image, size or setting, so CloudFormation replaces no running task for it', () => {
    const changed = synthGateway({
      image: ContainerImage.fromRegistry('another-version'),
      cpu: 1024,
      memoryMiB: 2048,
      logLevel: 'debug',
    }).template;
    assert.deepEqual(
      resourcesOfType(changed, 'AWS::ECS::Service').map(([, { Properties }]) => Properties),
      services.map(([, { Properties }]) => Properties),
    );
    assert.notDeepEqual(
      resourcesOfType(changed, 'AWS::ECS::TaskDefinition'),
      resourcesOfType(template, 'AWS::ECS::TaskDefinition'),
    );
  });

  it('A slot keeps the revision that it runs on, and a task that ends is started again on it', () => {
    for (const task of tasks) assert.equal(task.DeletionPolicy, 'RetainExceptOnCreate');
  });

  it('A slot is never moved between zones by ECS, which would end its sessions', () => {
    for (const [, { Properties }] of services)
      assert.equal(Properties['AvailabilityZoneRebalancing'], 'DISABLED');
  });

  it('Each slot is in one zone and the next slot in the next zone, because otherwise one zone may hold all of them', () => {
    const subnets = services.map(([, { Properties }]) => {
      const { AwsvpcConfiguration } = Properties['NetworkConfiguration'] as {
        AwsvpcConfiguration: { Subnets: readonly { Ref: string }[] };
      };
      return AwsvpcConfiguration.Subnets.map(({ Ref }) => Ref);
    });
    assert.equal(subnets.length, 4);
    for (const subnet of subnets) assert.equal(subnet.length, 1);
    assert.notDeepEqual(subnets[0], subnets[1]);
  });

  it('A slot waits for the group of slots before it, and is never in a group with all others of its zone', () => {
    const many = synthGateway({
      passivePorts: PassivePortRange.of(50_000, 50_047),
      slots: 24,
    });
    const groups = updateGroups(many.gateway.slots);
    assert.ok(groups.length > 3 && groups.length < 12, `${groups.length} groups`);
    const zonesOf = (slots: readonly { readonly plan: SlotPlan }[]) => slots.map(({ plan }) => plan.zone);
    for (const group of groups) {
      for (const zone of [1, 2]) {
        assert.ok(zonesOf(group).filter((one) => one === zone).length < 12);
      }
    }
    const ids = resourcesOfType(many.template, 'AWS::ECS::Service').map(([id]) => id);
    const idsOf = (index: number) =>
      (groups[index] ?? []).map(({ plan }) => ids.find((id) => id.includes(`Slot${slotName(plan)}`))!);
    groups.forEach((_, index) => {
      for (const id of idsOf(index)) {
        const before = resources(many.template)[id]!.DependsOn!.filter((other) => ids.includes(other));
        assert.deepEqual(before, index === 0 ? [] : idsOf(index - 1));
      }
    });
  });

  it('A slot is in a group of its own when it is one of two that run', () => {
    const { gateway } = synthGateway();
    for (const group of updateGroups(gateway.slots)) {
      assert.ok(group.filter(({ plan }) => plan.running).length <= 1);
    }
  });

  it('A slot waits for the endpoints, the routes and the permissions that its task needs to start', () => {
    const needed = [
      ...resourcesOfType(template, 'AWS::EC2::VPCEndpoint').filter(([id]) => !id.includes('DynamoDb')),
      ...resourcesOfType(template, 'AWS::EC2::SubnetRouteTableAssociation'),
      ...resourcesOfType(template, 'AWS::IAM::Policy').filter(([id]) => /ExecutionRole|TaskRole/.test(id)),
    ].map(([id]) => id);
    assert.ok(needed.length >= 5 + 4 + 2, needed.join());
    for (const [id] of services) {
      const before = dependsOn(template, id);
      for (const other of needed) assert.ok(before.has(other), `${id} does not wait for ${other}`);
    }
  });

  it('A slot waits for its listeners, because ECS refuses a target group that no load balancer uses', () => {
    const [, service] = services[0]!;
    for (const port of ['Control', 'Passive50000', 'Passive50001']) {
      assert.ok(
        service.DependsOn?.some((id) => id.includes(`${port}Listener`)),
        port,
      );
    }
  });

  it('A slot is never stopped by ECS for its health, because a draining slot fails its checks for hours', () => {
    for (const [, { Properties }] of services)
      assert.equal(Properties['HealthCheckGracePeriodSeconds'], 2_147_483_647);
  });
});

describe('the container', () => {
  it('The container runs as non-root, cannot write to its file system and has no capabilities', () => {
    for (const task of tasks) {
      const { User, ReadonlyRootFilesystem, LinuxParameters, Privileged } = container(task);
      assert.equal(User, '10001:10001');
      assert.equal(ReadonlyRootFilesystem, true);
      assert.deepEqual(LinuxParameters, { Capabilities: { Drop: ['ALL'] } });
      assert.equal(Privileged, undefined);
    }
  });

  it('The container has 120 seconds from SIGTERM to SIGKILL, and 110 of them are for transfers', () => {
    for (const task of tasks) assert.equal(container(task)['StopTimeout'], 120);
    assert.equal(environments(template)[0]?.['DRAIN_SECONDS'], '110');
  });

  it('The container may open 65,535 files, and never blocks on a log that cannot be written', () => {
    for (const task of tasks) {
      const { Ulimits, LogConfiguration } = container(task);
      assert.deepEqual(Ulimits, [{ Name: 'nofile', SoftLimit: 65_535, HardLimit: 65_535 }]);
      assert.equal(
        (LogConfiguration as { Options: Record<string, unknown> }).Options['mode'],
        'non-blocking',
      );
    }
  });

  it('The container maps every port separately, because a port inside a containerPortRange cannot be registered', () => {
    const ports = tasks.map((task) =>
      (container(task)['PortMappings'] as readonly { ContainerPort: number }[]).map(
        ({ ContainerPort }) => ContainerPort,
      ),
    );
    assert.deepEqual(ports, [
      [2121, 50_000, 50_001, 8080],
      [2121, 50_002, 50_003, 8080],
      [2121, 50_004, 50_005, 8080],
      [2121, 50_006, 50_007, 8080],
    ]);
  });

  it('The container runs on ARM on request', () => {
    const { template: arm } = synthGateway({ cpuArchitecture: CpuArchitecture.ARM64 });
    for (const [, { Properties }] of resourcesOfType(arm, 'AWS::ECS::TaskDefinition')) {
      assert.deepEqual(Properties['RuntimePlatform'], {
        CpuArchitecture: 'ARM64',
        OperatingSystemFamily: 'LINUX',
      });
    }
  });

  for (const seconds of [5, 300]) {
    it(`A stop timeout of ${seconds} seconds is refused with an explanation`, () => {
      assert.throws(
        () => synthGateway({ stopTimeout: Duration.seconds(seconds) }),
        new RegExp(`stop timeout is ${seconds} seconds.*from 20 to 120 seconds`),
      );
    });
  }
});

describe("the container's environment", () => {
  const names = Object.values(variables).map(({ name }) => name);

  for (const [what, { template: made }] of [
    ['by default', synthGateway()],
    ['with TLS, implicit TLS and a prefix', withEverything()],
    ['when internal', synthGateway({ internetFacing: false })],
  ] as const) {
    it(`${what} has only environment variables that the gateway knows, and the gateway accepts them`, () => {
      for (const environment of environments(made)) {
        for (const name of Object.keys(environment)) assert.ok(names.includes(name), name);
        const config = parseConfig(environment);
        assert.equal(config.proxyProtocol, 'v2');
        assert.equal(config.activeMode, 'off');
        assert.equal(config.users.kind, 'secretsmanager');
      }
    });
  }

  it('Each slot gets its share of the sessions, and every slot gets the address of each zone', () => {
    const configs = environments(template).map((environment) => parseConfig(environment));
    assert.deepEqual(
      configs.map(({ passivePorts }) => passivePorts),
      [
        [50_000, 50_001],
        [50_002, 50_003],
        [50_004, 50_005],
        [50_006, 50_007],
      ],
    );
    for (const { advertisedAddress } of configs) {
      assert.deepEqual(advertisedAddress, {
        kind: 'by-subnet',
        subnets: [
          { network: '10.21.0.0', prefixBits: 26, address: '198.51.100.1' },
          { network: '10.21.0.64', prefixBits: 26, address: '198.51.100.2' },
        ],
      });
    }
  });

  it('TLS is required when a certificate is given, unless configured otherwise', () => {
    const [environment] = environments(withEverything().template);
    assert.equal(environment?.['TLS'], 'required');
    assert.equal(environment['IMPLICIT_TLS_PORT'], '2990');
    assert.equal(environment['S3_PREFIX'], 'partners/');
  });
});

function withEverything() {
  return synthGateway((stack) => ({
    passivePorts: PassivePortRange.of(50_000, 50_005),
    tls: { certificate: certificateIn(stack), implicit: true },
    prefix: 'partners/',
  }));
}

function environments(made: Template): readonly Readonly<Record<string, string>>[] {
  const topology = readTopology(made.toJSON() as Parameters<typeof readTopology>[0], {
    publicAddresses: ['198.51.100.1', '198.51.100.2'],
    bucketName: 'files',
  });
  return topology.services.map(({ environment }) => environment);
}
