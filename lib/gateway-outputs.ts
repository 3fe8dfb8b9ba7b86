/** Outputs of a deployment: what partners need, and what the next deployment is compared with. */
import { CfnOutput } from 'aws-cdk-lib';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { deployedPlanOf } from './deployed-plan.ts';
import type { ControlPort } from './load-balancer.ts';
import type { LoadBalancerZone } from './network.ts';
import { portRanges } from './passive-port-plan.ts';
import type { SelfSignedCertificate } from './self-signed-certificate.ts';
import { listenerPorts, type PassivePortPlan } from './slot-plan.ts';

export type GatewayOutputsProps = {
  readonly host: string;
  readonly plan: PassivePortPlan;
  readonly zones: readonly LoadBalancerZone[];
  readonly controlPorts: readonly ControlPort[];
  readonly tls: boolean;
  /** The certificate that clients cannot verify but by its fingerprint; undefined where they can. */
  readonly selfSigned?: Pick<SelfSignedCertificate, 'fingerprint' | 'publicKeyPin'> | undefined;
  readonly bucket: IBucket;
  readonly users: ISecret;
  readonly alarmTopic: ITopic;
  readonly clusterName: string;
  readonly relayName: string;
};

export class GatewayOutputs extends Construct {
  readonly #outputs = new Map<string, CfnOutput>();

  constructor(scope: Construct, id: string, props: GatewayOutputsProps) {
    super(scope, id);
    const { host, plan, zones, controlPorts, selfSigned } = props;
    const addresses = zones.flatMap(({ elasticIp }) => (elasticIp === undefined ? [] : [elasticIp.address]));
    const ports = [
      ...controlPorts.map(({ listenerPort }) => listenerPort),
      ...portRanges(listenerPorts(plan)).map((range) => range.toString()),
    ].join(', ');
    const firewall = addresses.length === 0 ? host : addresses.join(', ');

    this.#output('Host', 'What partners connect to', host);
    if (addresses.length > 0) this.#output('Addresses', 'The fixed public addresses', addresses.join(', '));
    this.#output(
      'FirewallRule',
      'Outbound rules for firewalls of partners; no inbound rule is needed',
      `TCP to ${firewall}, ports ${ports}`,
    );
    this.#output(
      'TryIt',
      'A first upload, after a user was added to the secret',
      `curl ${tlsOptions(props)}--user NAME -T FILE ftp://${host}/`,
    );
    if (selfSigned !== undefined) {
      this.#output(
        'CertificateFingerprint',
        'SHA-256 of the self-signed certificate; clients trust it once',
        selfSigned.fingerprint,
      );
    }
    this.#output(
      'PassivePortPlan',
      'Slots with their ports and zones; the next deployment reads it',
      JSON.stringify(deployedPlanOf(plan)),
    );
    this.#output('Cluster', 'Where the services of the slots are', props.clusterName);
    this.#output('SlotsMaximum', 'Most slots that may serve at once', String(plan.maximumSlots));
    this.#output(
      'OperationsRelay',
      'The function that reaches the operations port of a slot',
      props.relayName,
    );
    this.#output('Bucket', 'Where the files are', props.bucket.bucketName);
    this.#output('UsersSecret', 'The users file', props.users.secretArn);
    this.#output('AlarmTopic', 'Subscribe to this topic to receive alarms', props.alarmTopic.topicArn);
  }

  #output(id: string, description: string, value: string): void {
    this.#outputs.set(id, new CfnOutput(this, id, { description, value }));
  }

  /** Calls each output by its bare name (`Host`, `PassivePortPlan`): for a stack that holds one gateway and no more. */
  useBareNames(): void {
    for (const [name, output] of this.#outputs) output.overrideLogicalId(name);
  }
}

// The pin takes the place of the verification that --insecure switches off.
function tlsOptions({ tls, selfSigned }: Pick<GatewayOutputsProps, 'tls' | 'selfSigned'>): string {
  if (!tls) return '';
  return selfSigned === undefined
    ? '--ssl-reqd '
    : `--ssl-reqd --insecure --pinnedpubkey ${selfSigned.publicKeyPin} `;
}
