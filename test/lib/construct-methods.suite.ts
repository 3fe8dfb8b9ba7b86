/** What users of the construct expect beside its properties: connections, grants and metrics. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Alarm } from 'aws-cdk-lib/aws-cloudwatch';
import { Peer, Port } from 'aws-cdk-lib/aws-ec2';
import { ContainerImage } from 'aws-cdk-lib/aws-ecs';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { FtpGateway } from '../../lib/ftp-gateway.ts';
import { makeApp } from './synth.ts';

/** Not synthesised yet, so that more can be added. */
function make() {
  const stack = new Stack(makeApp(), 'Test');
  const image = ContainerImage.fromRegistry('ftp-object-gateway');
  return { stack, gateway: new FtpGateway(stack, 'Gateway', { image }) };
}

describe('The construct', () => {
  it('The construct has connections, which are those of its load balancer', () => {
    const { gateway, stack } = make();
    gateway.connections.allowFrom(Peer.ipv4('198.51.100.0/24'), Port.tcp(21));
    assert.match(JSON.stringify(Template.fromStack(stack).toJSON()), /"CidrIp":"198\.51\.100\.0\/24"/);
  });

  it('grantUsersWrite lets a grantee read and write the users', () => {
    const { gateway, stack } = make();
    const role = new Role(stack, 'Admin', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    gateway.grantUsersWrite(role).assertSuccess();
    const policies = JSON.stringify(Template.fromStack(stack).findResources('AWS::IAM::Policy'));
    assert.match(policies, /secretsmanager:PutSecretValue/);
  });

  it('The construct has metrics in the namespace that its tasks write to', () => {
    const { gateway, stack } = make();
    const metrics = {
      Sessions: gateway.metricSessions(),
      UploadBytes: gateway.metricUploadBytes(),
      DownloadBytes: gateway.metricDownloadBytes(),
      UploadsCompleted: gateway.metricUploadsCompleted(),
      UploadsNotCompleted: gateway.metricUploadsNotCompleted(),
      LoginsRefused: gateway.metricLoginsRefused({ statistic: 'Maximum' }),
    };
    for (const [name, metric] of Object.entries(metrics)) {
      new Alarm(stack, `On${name}`, { metric, threshold: 1, evaluationPeriods: 1 });
    }
    const template = Template.fromStack(stack);
    for (const name of Object.keys(metrics)) {
      template.hasResourceProperties('AWS::CloudWatch::Alarm', {
        Namespace: stack.resolve(gateway.metricsNamespace) as string,
        MetricName: name,
        Statistic: name === 'LoginsRefused' ? 'Maximum' : 'Sum',
      });
    }
  });
});
