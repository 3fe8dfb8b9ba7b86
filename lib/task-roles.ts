/** The two roles of a task: what the gateway may do, and what ECS may do to start it. */
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';
import { grantHome, type HomeLocation } from './bucket.ts';

export type TaskAccess = {
  readonly homes: readonly HomeLocation[];
  /** The users, and the certificate where there is one. */
  readonly secrets: readonly ISecret[];
};

/** The role of the gateway itself. */
export function taskRole(scope: Construct, { homes, secrets }: TaskAccess): Role {
  const role = new Role(scope, 'TaskRole', {
    assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com'),
    description: 'FTP gateway: the homes in S3, the users, the certificate',
  });
  for (const home of homes) grantHome(role, home);
  for (const secret of secrets) {
    secret.grantRead(role);
    // grantRead changes the policy of the key alone, which an imported key does not have here.
    secret.encryptionKey?.grantDecrypt(role);
  }
  return role;
}

/** The role with which ECS starts a task. */
export function executionRole(scope: Construct): Role {
  const role = new Role(scope, 'ExecutionRole', {
    assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com'),
    description: 'FTP gateway: pulls the image and writes the log',
  });
  acknowledge(role, {
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'ecr:GetAuthorizationToken, to pull the image, supports no resource-level permissions.',
  });
  return role;
}
