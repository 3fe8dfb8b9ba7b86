/** A function in the VPC through which operators reach the operations ports of the tasks (`npm run slots`). */
import { fileURLToPath } from 'node:url';
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Code, Function } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import { nodeRuntime } from './lambda-runtime.ts';
import type { Network } from './network.ts';

export type OperationsRelayProps = {
  readonly network: Network;
  readonly operationsPort: number;
  readonly logRetention: RetentionDays;
};

export class OperationsRelay extends Construct {
  readonly function: Function;

  constructor(scope: Construct, id: string, { network, operationsPort, logRetention }: OperationsRelayProps) {
    super(scope, id);
    const securityGroup = new SecurityGroup(this, 'SecurityGroup', {
      vpc: network.vpc,
      description: 'FTP gateway operations relay: out to the operations ports of the tasks only',
      allowAllOutbound: false,
    });
    const port = Port.tcp(operationsPort);
    securityGroup.addEgressRule(network.taskSecurityGroup, port, 'Operations ports of the tasks');
    network.taskSecurityGroup.addIngressRule(securityGroup, port, 'Operations relay');
    this.function = new Function(this, 'Function', {
      description: 'Reaches the operations port of a slot of the FTP gateway',
      runtime: nodeRuntime,
      handler: 'index.handler',
      code: Code.fromAsset(fileURLToPath(new URL('lambda/operations-relay', import.meta.url))),
      environment: { OPERATIONS_PORT: String(operationsPort) },
      timeout: Duration.seconds(30),
      memorySize: 128,
      vpc: network.vpc,
      vpcSubnets: { subnets: [...network.taskSubnets] },
      // In a public subnet it has no address of its own, and needs none.
      allowPublicSubnet: true,
      securityGroups: [securityGroup],
      logGroup: new LogGroup(this, 'Log', {
        retention: logRetention,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
    for (const policy of ['AWSLambdaBasicExecutionRole', 'AWSLambdaVPCAccessExecutionRole']) {
      acknowledge(this.function, {
        id: `AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/${policy}]`,
        reason: 'Logs and network interfaces, as every function in a VPC needs them.',
      });
    }
  }
}
