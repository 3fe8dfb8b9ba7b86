/** The files outlive the stack, are private, and the tasks may do no more with them than the filesystem does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { resourcesOfType, synthGateway } from './synth.ts';

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

  it('is kept when the stack is deleted', () => {
    assert.equal(bucket.DeletionPolicy, 'Retain');
  });

  it('is encrypted, versioned, private, on EventBridge, and gives up abandoned uploads after two days', () => {
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

  it('refuses connections without TLS', () => {
    const [, policy] = resourcesOfType(template, 'AWS::S3::BucketPolicy')[0]!;
    assert.match(
      JSON.stringify(policy.Properties),
      /"Deny".*"aws:SecureTransport":"false"|"aws:SecureTransport":"false".*"Deny"/,
    );
  });

  it('needs no Lambda function to be made', () => {
    template.resourceCountIs('AWS::Lambda::Function', 0);
  });
});

describe('the task role', () => {
  const { template } = synthGateway((stack) => ({
    bucket: Bucket.fromBucketName(stack, 'Own', 'partner-files'),
    prefix: 'in/',
    otherHomes: [{ bucket: Bucket.fromBucketName(stack, 'Other', 'archive') }],
  }));
  const statements = taskStatements(template).filter(({ Action }) => JSON.stringify(Action).includes('s3:'));

  it('reads, writes and deletes below the prefix only', () => {
    const objects = statements.filter(({ Action }) => [Action].flat().includes('s3:PutObject'));
    const arns = JSON.stringify(objects.map(({ Resource }) => Resource));
    assert.match(arns, /partner-files\/in\/\*/);
    assert.match(arns, /archive\/\*/);
    assert.doesNotMatch(arns, /partner-files\/\*/);
  });

  it('lists below the prefix only', () => {
    const lists = statements.filter(({ Action }) => Action === 's3:ListBucket');
    assert.deepEqual(
      lists.map(({ Condition }) => Condition),
      [{ StringLike: { 's3:prefix': ['in/*'] } }, undefined],
    );
  });

  it('has no action of S3 beyond those of the filesystem, and none on every resource', () => {
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

  it('finds what may be continued: open uploads of each bucket with a home, their parts below the prefix only', () => {
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

  it('refuses a prefix that is not a folder', () => {
    assert.throws(() => synthGateway({ prefix: 'in' }), /ends in "\/".*got "in".*like "partners\/"/);
  });
});

describe('the users secret made here', () => {
  it('starts with nobody in it and is kept when the stack is deleted', () => {
    const [, secret] = resourcesOfType(synthGateway().template, 'AWS::SecretsManager::Secret')[0]!;
    assert.equal(secret.Properties['SecretString'], '{"users":[]}');
    assert.equal(secret.DeletionPolicy, 'Retain');
  });
});
