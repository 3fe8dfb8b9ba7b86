/**
 * A whole deployment on loopback, from the template that `cdk synth` makes and nothing else: load balancer, one gateway
 * process a slot, S3, Secrets Manager. Only what AWS itself provides is replaced.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PasswordHash } from '../../../src/users/password.ts';
import type { Security, Server } from '../clients/client.ts';
import { synthApp } from '../../lib/synth.ts';
import { createCertificate } from '../../support/certificate.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';
import { Fargate } from './fargate.ts';
import { type LoopbackNetwork, takeLoopbackNetwork } from './loopback-network.ts';
import { NetworkLoadBalancer } from './network-load-balancer.ts';
import { type SecretsManager, startSecretsManager } from './secrets-manager.ts';
import { type Node, readTopology, secretArn, type Service, type Topology } from './topology.ts';

/** As `cdk deploy -c name=value` gives them. */
export type Context = Readonly<Record<string, unknown>>;

/** How long a second of the template lasts here: health checks every 10 s become 200 ms. */
const secondMs = 20;

const username = 'partner';
const password = 'secret';
const certificateArn = secretArn('Certificate');

/** Turns TLS on, as an environment of cdk.json does. */
export const withTls = { certificateSecretArn: certificateArn, mode: 'optional', implicit: false };

/** Why no such deployment can be made here, or undefined. */
export const unsupported =
  process.platform === 'linux' ? undefined : 'only Linux has all of 127.0.0.0/8 on its loopback interface';

export class LocalDeployment {
  readonly loadBalancer: NetworkLoadBalancer;
  readonly fargate: Fargate;
  readonly s3: S3Server;
  /** A folder for the test's files. */
  readonly folder: string;
  topology: Topology;
  readonly #network: LoopbackNetwork;
  readonly #slotNumbers = new Map<string, number>();
  readonly #secretsManager: SecretsManager;

  private constructor(
    topology: Topology,
    network: LoopbackNetwork,
    folder: string,
    s3: S3Server,
    secretsManager: SecretsManager,
  ) {
    this.topology = topology;
    this.folder = folder;
    this.s3 = s3;
    this.#network = network;
    this.#secretsManager = secretsManager;
    this.loadBalancer = new NetworkLoadBalancer(topology, secondMs);
    this.fargate = new Fargate({
      loadBalancer: this.loadBalancer,
      secondMs,
      addressOf: (service) => this.#taskAddress(service),
      environment: {
        S3_ENDPOINT: s3.endpoint,
        S3_FORCE_PATH_STYLE: 'true',
        AWS_ENDPOINT_URL_SECRETS_MANAGER: secretsManager.endpoint,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: process.env['AWS_ACCESS_KEY_ID'] ?? '',
        AWS_SECRET_ACCESS_KEY: process.env['AWS_SECRET_ACCESS_KEY'] ?? '',
        ...(process.env['NODE_EXTRA_CA_CERTS'] && {
          NODE_EXTRA_CA_CERTS: process.env['NODE_EXTRA_CA_CERTS'],
        }),
      },
    });
  }

  /** Deploys for the first time; resolves when every slot is healthy. */
  static async start(context: Context): Promise<LocalDeployment> {
    // Test files run at the same time: each deployment has a network of its own.
    const network = await takeLoopbackNetwork();
    const s3 = await startS3Server();
    const secretsManager = await startSecretsManager();
    const folder = await mkdtemp(join(tmpdir(), 'ftp-gateway-topology-'));
    const topology = readTopology(templateOf(context), physicalNames(network.prefix, s3));
    const deployment = new LocalDeployment(topology, network, folder, s3, secretsManager);
    await deployment.#putSecrets();
    await deployment.loadBalancer.addListeners(topology);
    await deployment.fargate.deploy(topology);
    return deployment;
  }

  /** A further deployment: new listeners first, then slot after slot, then what is no longer wanted goes. */
  async redeploy(context: Context): Promise<void> {
    const topology = readTopology(templateOf(context), physicalNames(this.#network.prefix, this.s3));
    await this.loadBalancer.addListeners(topology);
    await this.fargate.deploy(topology);
    await this.loadBalancer.removeListeners();
    this.topology = topology;
  }

  get nodes(): readonly Node[] {
    return this.topology.nodes;
  }

  /** An address of the loopback network that is neither a node nor a task: a partner's. */
  clientAddress(number: number): string {
    return `${this.#network.prefix}.${3 + Math.floor(number / 250)}.${1 + (number % 250)}`;
  }

  /** The gateway as clients know it, through one node. */
  server(security: Security = 'plain', node = this.#firstNode()): Server {
    return {
      host: node.publicAddress,
      port: this.loadBalancer.portOf(node, security === 'implicit' ? 990 : 21),
      security,
      username,
      password,
      caFile: join(this.folder, 'ca.pem'),
    };
  }

  /** The events of a name that the slots' logs hold, of running and of stopped tasks. */
  events(name: string): readonly Readonly<Record<string, unknown>>[] {
    const tasks = [...this.fargate.stopped, ...this.fargate.tasks.values()];
    return tasks.flatMap(({ log }) => log.filter(({ event }) => event === name));
  }

  async close(): Promise<void> {
    await this.fargate.close();
    this.loadBalancer.close();
    await Promise.all([this.s3.close(), this.#secretsManager.close()]);
    await rm(this.folder, { recursive: true, force: true });
    this.#network.release();
  }

  #firstNode(): Node {
    const [node] = this.nodes;
    if (node === undefined) throw new Error('The load balancer has no node.');
    return node;
  }

  #taskAddress({ id }: Service): string {
    const number = this.#slotNumbers.get(id) ?? this.#slotNumbers.size + 1;
    this.#slotNumbers.set(id, number);
    return `${this.#network.prefix}.2.${number}`;
  }

  async #putSecrets(): Promise<void> {
    const users = JSON.stringify({
      users: [{ name: username, password: await PasswordHash.create(password), permissions: 'read-write' }],
    });
    const [service] = this.topology.services;
    const usersArn = service?.environment['USERS']?.replace(/^secretsmanager:/, '') ?? '';
    this.#secretsManager.secrets.set(usersArn, users);
    // The first client address too: another balancer may stand there, in front of the same slots.
    const addresses = [...this.nodes.map(({ publicAddress }) => publicAddress), this.clientAddress(0)];
    const { chain: certificate, key: privateKey } = await createCertificate('localhost', 'ec', addresses);
    // The one that is given with `withTls`, and the one that a stack without a certificate makes for itself.
    const own = service?.environment['TLS_CERTIFICATE']?.replace(/^secretsmanager:/, '');
    for (const arn of [certificateArn, ...(own === undefined ? [] : [own])]) {
      this.#secretsManager.secrets.set(arn, JSON.stringify({ certificate, privateKey }));
    }
    await writeFile(join(this.folder, 'ca.pem'), certificate);
  }
}

type Template = Parameters<typeof readTopology>[0];

function templateOf(context: Context): Template {
  return synthApp(context).template.toJSON() as Template;
}

function physicalNames(network: string, { bucket }: S3Server) {
  return { publicAddresses: [`${network}.1.1`, `${network}.1.2`, `${network}.1.3`], bucketName: bucket };
}
