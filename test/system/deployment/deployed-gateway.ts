/** A stack on the emulator, with the load balancer's data plane and ECS played on loopback around it. */
import { writeFile } from 'node:fs/promises';
import { BlockList } from 'node:net';
import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { DeregisterTargetsCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { S3Client } from '@aws-sdk/client-s3';
import {
  CreateSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { PasswordHash } from '../../../src/users/password.ts';
import { createCertificate } from '../../support/certificate.ts';
import type { Security, Server } from '../clients/client.ts';
import { type LoopbackNetwork, takeLoopbackNetwork } from '../topology/loopback-network.ts';
import { NetworkLoadBalancer } from '../topology/network-load-balancer.ts';
import { type Apis, type IngressRule, makeApis, readBalancer, readIngress } from './api-topology.ts';
import { Cdk } from './cdk.ts';
import { Ecs, type RunningTask } from './ecs.ts';
import { type Emulator, type ResourceChange, startEmulator } from './emulator.ts';

/** How long a second of AWS lasts here: health checks every 10 s become 200 ms. */
const secondMs = 20;

/** As measured and reported by others; docs/decisions/0012 names the sources. */
const habits = { registrationSeconds: 90, unhealthySeconds: 35, deregistrationSeconds: 120 };

const username = 'partner';
const password = 'secret';

/** Three health checks and their answers take longer than their scaled times where the processor is busy. */
const busyProcessorSeconds = 4;

/** Times of the gateway at the same scale, in the whole seconds that it takes. */
const scaledTimes = {
  DRAIN_PROPAGATION_SECONDS: String(Math.ceil((180 * secondMs) / 1000) + busyProcessorSeconds),
  DRAIN_IDLE_SECONDS: String(Math.ceil((300 * secondMs) / 1000)),
  DRAIN_SECONDS: String(Math.ceil((110 * secondMs) / 1000)),
  RELOAD_INTERVAL_SECONDS: '1',
};

export class DeployedGateway {
  readonly emulator: Emulator;
  readonly cdk: Cdk;
  readonly apis: Apis;
  readonly s3: S3Client;
  readonly balancer: NetworkLoadBalancer;
  readonly #secrets = new SecretsManagerClient();
  readonly #network: LoopbackNetwork;
  readonly #ecs: Ecs;
  #ingress: readonly IngressRule[] = [];

  private constructor(emulator: Emulator, cdk: Cdk, network: LoopbackNetwork) {
    this.emulator = emulator;
    this.cdk = cdk;
    this.#network = network;
    this.apis = makeApis();
    this.s3 = new S3Client({ forcePathStyle: true });
    this.balancer = new NetworkLoadBalancer(
      { nodes: [], listeners: [], targetGroups: new Map(), services: [] },
      secondMs,
      {
        ...habits,
        admits: (address, port) => this.#ingress.some((rule) => admits(rule, address, port)),
      },
    );
    this.#ecs = this.#makeEcs();
    emulator.onChange = (change) => this.#changed(change);
  }

  /** Starts the emulator and bootstraps it; nothing is deployed yet. */
  static async start(python: string): Promise<DeployedGateway> {
    const network = await takeLoopbackNetwork();
    const emulator = await startEmulator(python, network.prefix);
    Object.assign(process.env, emulator.environment, { HOME: process.env['HOME'] });
    const cdk = await Cdk.prepare(emulator);
    await cdk.run(['bootstrap']);
    return new DeployedGateway(emulator, cdk, network);
  }

  get tasks(): readonly RunningTask[] {
    return [...this.#ecs.tasks.values()];
  }

  /** Names of services whose task ECS stopped because a target was unhealthy. */
  get unhealthyStops(): readonly string[] {
    return this.#ecs.unhealthyStops;
  }

  /** The outputs of the stack, by name. */
  async outputs(): Promise<Readonly<Record<string, string>>> {
    const { Stacks } = await new CloudFormationClient().send(
      new DescribeStacksCommand({ StackName: 'ftp-gateway-production' }),
    );
    return Object.fromEntries(
      (Stacks?.[0]?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? '']),
    );
  }

  /** The names of all log groups. */
  async logGroups(): Promise<readonly string[]> {
    // One request; the client for CloudWatch Logs would be another dependency.
    const response = await fetch(this.emulator.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'Logs_20140328.DescribeLogGroups',
      },
      body: '{}',
    });
    const { logGroups } = (await response.json()) as { logGroups: readonly { logGroupName: string }[] };
    return logGroups.map(({ logGroupName }) => logGroupName);
  }

  /** Puts a partner into the users secret that the stack has made. */
  async addPartner(): Promise<void> {
    const { UsersSecret } = await this.outputs();
    const users = [
      { name: username, password: await PasswordHash.create(password), permissions: 'read-write' },
    ];
    await this.#secrets.send(
      new PutSecretValueCommand({ SecretId: UsersSecret, SecretString: JSON.stringify({ users }) }),
    );
    // The tasks read the secret again every second here.
    await new Promise((resolve) => setTimeout(resolve, 2500));
  }

  /** Makes a secret with a certificate for the load balancer's addresses, and returns its ARN. */
  async makeCertificate(): Promise<string> {
    const addresses = this.balancer.nodes.map(({ publicAddress }) => publicAddress);
    const { chain, key: privateKey } = await createCertificate('localhost', 'ec', addresses);
    await writeFile(join(this.emulator.folder, 'ca.pem'), chain);
    const { ARN } = await this.#secrets.send(
      new CreateSecretCommand({
        Name: 'ftp-certificate',
        SecretString: JSON.stringify({ certificate: chain, privateKey }),
      }),
    );
    return ARN ?? '';
  }

  /** Takes the certificate that the running tasks read as the one that clients trust, and returns it. */
  async trustServedCertificate(): Promise<string> {
    const arn = this.tasks[0]?.service.environment['TLS_CERTIFICATE']?.replace('secretsmanager:', '');
    const { SecretString } = await this.#secrets.send(new GetSecretValueCommand({ SecretId: arn }));
    const { certificate } = JSON.parse(SecretString ?? '{}') as { certificate: string };
    await writeFile(join(this.emulator.folder, 'ca.pem'), certificate);
    return certificate;
  }

  /**
   * Takes a slot's task out of its target groups, as something other than ECS would, and waits until the load balancer sends
   * nothing to it any more.
   */
  async deregister(name: string): Promise<void> {
    const task = this.tasks.find(({ service }) => service.id === name);
    if (task === undefined) throw new Error(`${name} does not run.`);
    for (const { targetGroup } of task.service.registrations) {
      await this.apis.balancing.send(
        new DeregisterTargetsCommand({ TargetGroupArn: targetGroup, Targets: [{ Id: task.address }] }),
      );
      void this.balancer.deregister(targetGroup, task.address);
    }
    await new Promise((resolve) => setTimeout(resolve, habits.deregistrationSeconds * secondMs));
  }

  /** The gateway as clients know it, through one of the load balancer's addresses. */
  server(security: Security = 'plain', zone = 0): Server {
    const node = this.balancer.nodes[zone];
    if (node === undefined) throw new Error('The load balancer has no address.');
    return {
      host: node.publicAddress,
      port: this.balancer.portOf(node, security === 'implicit' ? 990 : 21),
      security,
      username,
      password,
      caFile: join(this.emulator.folder, 'ca.pem'),
    };
  }

  /** Another grace period than that of the services, for the control that must fail; undefined takes theirs again. */
  set gracePeriodSeconds(seconds: number | undefined) {
    this.#ecs.gracePeriodSeconds = seconds;
  }

  /** Resolves when every running task is used by the load balancer. */
  async serving(): Promise<void> {
    for (const { service, address } of this.tasks) {
      const groups = service.registrations.map(({ targetGroup }) => targetGroup);
      await this.balancer.becomes('healthy', address, groups, AbortSignal.timeout(60_000));
    }
    await new Promise((resolve) => setTimeout(resolve, habits.registrationSeconds * secondMs));
  }

  async close(): Promise<void> {
    await this.#ecs.close();
    this.balancer.close();
    await this.emulator.close();
    this.#network.release();
  }

  #makeEcs(): Ecs {
    return new Ecs({
      apis: this.apis,
      balancer: this.balancer,
      secondMs,
      network: this.#network.prefix,
      environment: {
        ...scaledTimes,
        S3_ENDPOINT: this.emulator.endpoint,
        S3_FORCE_PATH_STYLE: 'true',
        AWS_ENDPOINT_URL_SECRETS_MANAGER: this.emulator.endpoint,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: this.emulator.environment['AWS_ACCESS_KEY_ID'] ?? '',
        AWS_SECRET_ACCESS_KEY: this.emulator.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
      },
    });
  }

  async #changed({ operation, type, physicalId }: ResourceChange): Promise<void> {
    if (type.startsWith('AWS::EC2::')) {
      this.#ingress = await readIngress(this.apis);
      return;
    }
    if (type === 'AWS::ElasticLoadBalancingV2::Listener') {
      const topology = await readBalancer(this.apis);
      if (topology === undefined) return;
      this.#ingress = await readIngress(this.apis);
      await this.balancer.addListeners({ ...topology, services: [] });
      if (operation === 'delete') await this.balancer.removeListeners();
      return;
    }
    await this.#ecs.sync(physicalId);
  }
}

function admits({ cidr, firstPort, lastPort }: IngressRule, address: string, port: number): boolean {
  if (port < firstPort || port > lastPort) return false;
  const [network = '', bits = '32'] = cidr.split('/');
  const list = new BlockList();
  list.addSubnet(network, Number(bits));
  return list.check(address);
}
