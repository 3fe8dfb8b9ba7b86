/**
 * A certificate of AWS Certificate Manager as the secret that the tasks read: requested for a domain unless one is given, and
 * exported when the stack is deployed, when ACM has issued or renewed it, and once a day.
 */
import { fileURLToPath } from 'node:url';
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Certificate, CertificateValidation, type ICertificate } from 'aws-cdk-lib/aws-certificatemanager';
import { Rule, type RuleProps, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Code, Function, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { IHostedZone } from 'aws-cdk-lib/aws-route53';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Trigger } from 'aws-cdk-lib/triggers';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import { nodeRuntime } from './lambda-runtime.ts';

export type CertificateExportProps = {
  /** An exportable certificate; undefined: one is requested for `domainName`. */
  readonly certificate?: ICertificate | undefined;
  readonly domainName: string;
  /** Where the records that validate a requested certificate are made. */
  readonly zone: IHostedZone | undefined;
  readonly logRetention: RetentionDays;
};

export class CertificateExport extends Construct {
  /** `{"certificate":"PEM chain","privateKey":"PEM"}`. */
  readonly secret: ISecret;
  /** Exists as soon as the secret has its first value: services that read it depend on this. */
  readonly exported: Trigger;

  constructor(scope: Construct, id: string, props: CertificateExportProps) {
    super(scope, id);
    const certificate = props.certificate ?? this.#requestCertificate(props);
    const secret = new Secret(this, 'Secret', {
      description: 'Certificate and private key of the FTP gateway, exported from AWS Certificate Manager',
      // The secret can be recreated: the next deployment exports the certificate again.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    acknowledge(secret, {
      id: 'AwsSolutions-SMG4',
      reason:
        'AWS Certificate Manager renews the certificate, and the function here replaces the value then.',
    });
    this.secret = secret as ISecret;
    const handler = this.#makeFunction(certificate, props.logRetention);
    secret.grantRead(handler);
    secret.grantWrite(handler);
    this.#runOn('Issued', handler, {
      eventPattern: {
        source: ['aws.acm'],
        detailType: ['ACM Certificate Available'],
        resources: [certificate.certificateArn],
      },
    });
    this.#runOn('Daily', handler, { schedule: Schedule.rate(Duration.days(1)) });
    this.exported = new Trigger(this, 'FirstExport', {
      handler,
      timeout: Duration.minutes(2),
    });
  }

  #requestCertificate({ domainName, zone }: CertificateExportProps): ICertificate {
    return new Certificate(this, 'Certificate', {
      domainName,
      allowExport: true,
      validation: CertificateValidation.fromDns(zone),
    });
  }

  #makeFunction(certificate: ICertificate, logRetention: RetentionDays): Function {
    const handler = new Function(this, 'Function', {
      description: 'Exports the certificate of the FTP gateway into its secret',
      runtime: nodeRuntime,
      handler: 'index.handler',
      code: Code.fromAsset(fileURLToPath(new URL('lambda/certificate-export', import.meta.url))),
      environment: { CERTIFICATE_ARN: certificate.certificateArn, SECRET_ARN: this.secret.secretArn },
      timeout: Duration.minutes(1),
      memorySize: 256,
      logGroup: new LogGroup(this, 'Log', {
        retention: logRetention,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
    acknowledge(handler, {
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]',
      reason: 'Logs, as every function needs them.',
    });
    handler.addToRolePolicy(
      new PolicyStatement({
        actions: ['acm:ExportCertificate'],
        resources: [certificate.certificateArn],
      }),
    );
    return handler;
  }

  #runOn(id: string, handler: IFunction, when: RuleProps): void {
    new Rule(this, id, { ...when, targets: [new LambdaFunction(handler)] });
  }
}

/** Whether it is a certificate of AWS Certificate Manager, and not a secret. */
export function isAcmCertificate(certificate: ISecret | ICertificate): certificate is ICertificate {
  return 'certificateArn' in certificate;
}
