/** The files outlive the stack, are private, and the tasks may do no more with them than the filesystem does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { resourcesOfType, synthApp, synthGateway } from './synth.ts';

type Statement = {
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
};

function taskStatements(template: Template): readonly Statement[] {
  return resourcesOfType(template, 'AWS::IAM::Policy')
    .filter(([id]) => id.includes('TaskRole'))
    .flatMap(
      ([, { Properties }]) => (Properties['PolicyDocument'] as { Statement: readonly Statement[] }).Statement,
    );
}

describe('the bucket made here', () => {
  const { template } = synthGateway();
  const [, bucket] = resourcesOfType(template, 'AWS::S3::Bucket')[0]!;

  it('The created bucket is kept when the stack is deleted, but not when its creation is rolled back', () => {
    assert.equal(bucket.DeletionPolicy, 'RetainExceptOnCreate');
  });

  it('The created bucket is encrypted, versioned, private, sends events to EventBridge and removes abandoned uploads after two days', () => {
    template.hasResourceProperties('AWS::S3::Bucket', {
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
      },
      VersioningConfiguration: { Status: 'Enabled' },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } },
    });
    assert.match(JSON.stringify(bucket.Properties['LifecycleConfiguration']), /"DaysAfterInitiation":2/);
  });

  it('The created bucket refuses connections without TLS', () => {
    const [, policy] = resourcesOfType(template, 'AWS::S3::BucketPolicy')[0]!;
    assert.match(
      JSON.stringify(policy.Properties),
      /"Deny".*"aws:SecureTransport":"false"|"aws:SecureTransport":"false".*"Deny"/,
    );
  });

  it('The created bucket needs no Lambda function: the certificate and the operations relay have one', () => {
    assert.deepEqual(
      resourcesOfType(template, 'AWS::Lambda::Function').map(
        ([id]) => /SelfSignedCertificate|OperationsRelay/.exec(id)?.[0],
      ),
      ['SelfSignedCertificate', 'OperationsRelay'],
    );
  });
});

describe('the task role', () => {
  const { template } = synthGateway((stack) => ({
    bucket: Bucket.fromBucketName(stack, 'Own', 'partner-files'),
    prefix: 'in/',
    otherHomes: [{ bucket: Bucket.fromBucketName(stack, 'Other', 'archive') }],
  }));
  const statements = taskStatements(template).filter(({ Action }) => JSON.stringify(Action).includes('s3:'));

  it('The task role reads, writes and deletes only below the prefix', () => {
    const objects = statements.filter(({ Action }) => [Action].flat().includes('s3:PutObject'));
    const arns = JSON.stringify(objects.map(({ Resource }) => Resource));
    assert.match(arns, /partner-files\/in\/\*/);
    assert.match(arns, /archive\/\*/);
    assert.doesNotMatch(arns, /partner-files\/\*/);
  });

  it('The task role lists only below the prefix', () => {
    const lists = statements.filter(({ Action }) => Action === 's3:ListBucket');
    assert.deepEqual(
      lists.map(({ Condition }) => Condition),
      [{ StringLike: { 's3:prefix': ['in/*'] } }, undefined],
    );
  });

  it('The task role allows only the S3 actions of the filesystem, and none on every resource', () => {
    const actions = new Set(statements.flatMap(({ Action }) => [Action].flat()));
    assert.deepEqual([...actions].sort(), [
      's3:AbortMultipartUpload',
      's3:DeleteObject',
      's3:GetObject',
      's3:GetObjectTagging',
      's3:ListBucket',
      's3:ListBucketMultipartUploads',
      's3:ListMultipartUploadParts',
      's3:PutObject',
      's3:PutObjectTagging',
    ]);
    for (const { Resource } of taskStatements(template)) assert.notEqual(Resource, '*');
  });

  it('The task role may list open uploads of each bucket with a home, and their parts only below the prefix', () => {
    const resourcesFor = (action: string) =>
      JSON.stringify(
        statements.filter(({ Action }) => [Action].flat().includes(action)).map(({ Resource }) => Resource),
      );
    const parts = resourcesFor('s3:ListMultipartUploadParts');
    assert.match(parts, /:::partner-files\/in\/\*"/);
    assert.match(parts, /:::archive\/\*"/);
    assert.doesNotMatch(parts, /partner-files\/\*/);
    const uploads = resourcesFor('s3:ListBucketMultipartUploads');
    assert.match(uploads, /:::partner-files"/);
    assert.match(uploads, /:::archive"/);
    assert.doesNotMatch(uploads, /\*/);
  });

  it('A prefix that is not a directory is refused', () => {
    assert.throws(() => synthGateway({ prefix: 'in' }), /ends in "\/".*got "in".*like "partners\/"/);
  });
});

describe('customer managed keys of an existing bucket and secrets', () => {
  const key = (id: string) => `arn:aws:kms:eu-central-1:111122223333:key/${id}`;
  const secret = (name: string) => `arn:aws:secretsmanager:eu-central-1:111122223333:secret:${name}-AbCdEf`;
  const { template } = synthApp({
    bucketName: 'partner-files',
    bucketKmsKeyArn: key('bucket'),
    usersSecretArn: secret('users'),
    usersSecretKmsKeyArn: key('users'),
    tls: { certificateSecretArn: secret('certificate'), certificateSecretKmsKeyArn: key('certificate') },
  });
  const allowed = (id: string) =>
    taskStatements(template)
      .filter(({ Resource }) => JSON.stringify(Resource).includes(key(id)))
      .flatMap(({ Action }) => Action);

  it('The tasks may use customer managed keys of an existing bucket and secrets to encrypt and decrypt objects and to read the secrets', () => {
    assert.deepEqual(allowed('bucket').sort(), [
      'kms:Decrypt',
      'kms:Encrypt',
      'kms:GenerateDataKey*',
      'kms:ReEncrypt*',
    ]);
    assert.ok(allowed('users').includes('kms:Decrypt'));
    assert.ok(allowed('certificate').includes('kms:Decrypt'));
  });
});

describe('the endpoints of the VPC made here', () => {
  const { template } = synthGateway((stack) => ({
    bucket: Bucket.fromBucketName(stack, 'Own', 'partner-files'),
    otherHomes: [{ bucket: Bucket.fromBucketName(stack, 'Other', 'archive') }],
  }));
  const endpoint = (service: string) =>
    resourcesOfType(template, 'AWS::EC2::VPCEndpoint').find(([, { Properties }]) =>
      JSON.stringify(Properties['ServiceName']).includes(`.${service}"`),
    )![1].Properties;
  const statements = (service: string) =>
    (endpoint(service)['PolicyDocument'] as { Statement: readonly Statement[] }).Statement;

  it('The created VPC can reach in S3 only the buckets with homes and the layers of container images', () => {
    const [buckets, layers] = statements('s3');
    const arns = JSON.stringify(buckets?.Resource);
    assert.match(arns, /:::partner-files"/);
    assert.match(arns, /:::archive\/\*"/);
    assert.doesNotMatch(arns, /"\*"/);
    assert.equal(layers?.Action, 's3:GetObject');
    assert.match(JSON.stringify(layers.Resource), /starport-layer-bucket/);
  });

  it('The created VPC can reach in DynamoDB only tables of this account', () => {
    const [tables] = statements('dynamodb');
    assert.deepEqual(tables?.Condition, {
      StringEquals: { 'aws:ResourceAccount': { Ref: 'AWS::AccountId' } },
    });
  });

  it('The endpoints of the created VPC are reached from the tasks on port 443, which is all that they may reach', () => {
    const [, tasks] = resourcesOfType(template, 'AWS::EC2::SecurityGroup').find(([id]) =>
      id.includes('TaskSecurityGroup'),
    )!;
    assert.deepEqual(
      (tasks.Properties['SecurityGroupEgress'] as readonly Record<string, unknown>[]).map(
        ({ CidrIp, FromPort, ToPort, IpProtocol }) => [CidrIp, FromPort, ToPort, IpProtocol],
      ),
      [['0.0.0.0/0', 443, 443, 'tcp']],
    );
  });
});

describe('the users secret made here', () => {
  it('The created users secret is empty at first and is kept when the stack is deleted, but not when its creation is rolled back', () => {
    const [, secret] = resourcesOfType(synthGateway().template, 'AWS::SecretsManager::Secret')[0]!;
    assert.equal(secret.Properties['SecretString'], '{"users":[]}');
    assert.equal(secret.DeletionPolicy, 'RetainExceptOnCreate');
  });
});
