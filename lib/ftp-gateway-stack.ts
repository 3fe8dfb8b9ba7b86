/** The stack of one environment: one gateway, named outputs, and the subscribers of alarms. */
import { Stack, type StackProps, Tags } from 'aws-cdk-lib';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import type { DeployedPlan } from './deployed-plan.ts';
import { type Deployment, gatewayProps } from './deployment.ts';
import { FtpGateway } from './ftp-gateway.ts';

export type FtpGatewayStackProps = StackProps & {
  readonly deployment: Deployment;
  /** The plan of the last deployment of this stack; undefined before the first. */
  readonly deployedPlan?: DeployedPlan | undefined;
};

export class FtpGatewayStack extends Stack {
  readonly gateway: FtpGateway;

  constructor(scope: Construct, id: string, { deployment, deployedPlan, ...props }: FtpGatewayStackProps) {
    super(scope, id, props);
    // Tags on listeners and dashboards are recent: cfn-lint and some partitions reject them.
    Tags.of(this).add('application', 'ftp-gateway', {
      excludeResourceTypes: ['AWS::ElasticLoadBalancingV2::Listener', 'AWS::CloudWatch::Dashboard'],
    });
    this.gateway = new FtpGateway(this, 'Gateway', {
      ...gatewayProps(this, deployment),
      deployedPlan: deployment.acceptPassivePortMove ? undefined : deployedPlan,
    });
    this.gateway.outputs.useBareNames();
    const { alarmTopic } = this.gateway;
    if (deployment.alarmEmail !== undefined && alarmTopic instanceof Topic) {
      alarmTopic.addSubscription(new EmailSubscription(deployment.alarmEmail));
    }
  }
}
