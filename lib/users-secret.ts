/** The users file as a secret: created empty, then edited by operators and read by the running tasks. */
import { RemovalPolicy, SecretValue } from 'aws-cdk-lib';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';

export class Users extends Construct {
  readonly secret: Secret;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.secret = new Secret(this, 'Secret', {
      description: 'Users of the FTP gateway: names, password hashes, homes, permissions',
      // The template contains no secret: the list of users starts empty. CloudFormation writes it once; a deployment that
      // does not change this text keeps the changes of operators.
      secretStringValue: SecretValue.unsafePlainText('{"users":[]}'),
      // Deleting the stack by mistake must not lock every partner out permanently.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    acknowledge(this.secret, {
      id: 'AwsSolutions-SMG4',
      reason: "It holds hashes of the partners' passwords; only a partner can change the password itself.",
    });
  }
}
