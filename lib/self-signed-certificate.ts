/**
 * The certificate of a gateway without one of its own: self-signed, made once when the stack is first deployed, and kept in a
 * secret from then on. Clients trust it by its fingerprint.
 */
import { fileURLToPath } from 'node:url';
import { CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Code, Function } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import { nodeRuntime } from './lambda-runtime.ts';

export type SelfSignedCertificateProps = {
  /** The host name and the IPv4 addresses that clients connect to. */
  readonly names: readonly string[];
  readonly logRetention: RetentionDays;
};

export class SelfSignedCertificate extends Construct {
  /** `{"certificate":"PEM","privateKey":"PEM"}`. */
  readonly secret: ISecret;
  /** SHA-256 of the certificate: hexadecimal, separated by colons. */
  readonly fingerprint: string;
  /** SHA-256 of the public key as curl takes it: `sha256//...`. */
  readonly publicKeyPin: string;
  /** Has made the certificate: services that read it depend on this. */
  readonly made: CustomResource;

  constructor(scope: Construct, id: string, { names, logRetention }: SelfSignedCertificateProps) {
    super(scope, id);
    const secret = new Secret(this, 'Secret', {
      description: 'Self-signed certificate and private key of the FTP gateway',
      // Clients have pinned it: a stack that is deployed again can use it (tls.certificate).
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    acknowledge(secret, {
      id: 'AwsSolutions-SMG4',
      reason: 'Clients pin the certificate: another one would lock them out.',
    });
    this.secret = secret as ISecret;
    const handler = this.#makeFunction(logRetention);
    secret.grantRead(handler);
    secret.grantWrite(handler);
    this.made = new CustomResource(this, 'Certificate', {
      resourceType: 'Custom::SelfSignedCertificate',
      serviceToken: handler.functionArn,
      properties: { SecretArn: secret.secretArn, Names: names },
      // A function that cannot answer would hold up the deployment for an hour.
      serviceTimeout: Duration.minutes(3),
    });
    // The permissions of the function are resources of their own.
    this.made.node.addDependency(handler);
    this.fingerprint = this.made.getAttString('Fingerprint');
    this.publicKeyPin = this.made.getAttString('PublicKeyPin');
  }

  #makeFunction(logRetention: RetentionDays): Function {
    const handler = new Function(this, 'Function', {
      description: 'Makes the self-signed certificate of the FTP gateway once',
      runtime: nodeRuntime,
      handler: 'index.handler',
      code: Code.fromAsset(fileURLToPath(new URL('lambda/self-signed-certificate', import.meta.url))),
      timeout: Duration.minutes(1),
      memorySize: 256,
      logGroup: new LogGroup(this, 'Log', { retention: logRetention, removalPolicy: RemovalPolicy.DESTROY }),
    });
    acknowledge(handler, {
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]',
      reason: 'Logs, as every function needs them.',
    });
    return handler;
  }
}
