/** The bucket of the partners' files, and the permissions of the tasks in it. */
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  type IBucket,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge.ts';

/** A bucket, or a part of it, that users' homes may lie in. */
export type HomeLocation = {
  readonly bucket: IBucket;
  /**
   * Empty, or ends in `/`.
   * @default - the whole bucket
   */
  readonly prefix?: string | undefined;
};

/**
 * Age at which the parts of an unfinished upload are deleted, from the start of the upload: they cost money and appear in no
 * listing. An upload cannot take longer.
 */
export const abandonedUploadsAfter = Duration.days(2);

/** The bucket made when none is given: retained, encrypted, TLS only, versioned, with events on EventBridge. */
export class Storage extends Construct {
  readonly bucket: Bucket;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.bucket = new Bucket(this, 'Bucket', {
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      // A file that a partner overwrites or deletes by mistake can be restored for a month.
      versioned: true,
      lifecycleRules: [
        { id: 'AbandonedUploads', abortIncompleteMultipartUploadAfter: abandonedUploadsAfter },
        {
          id: 'ReplacedFiles',
          noncurrentVersionExpiration: Duration.days(30),
          expiredObjectDeleteMarker: true,
        },
      ],
    });
    acknowledge(this.bucket, {
      id: 'AwsSolutions-S1',
      reason:
        'Every access of a partner is a line of the gateway log, with user and session, which S3 cannot know.',
    });
    // The property itself, because the L2's way to set it deploys a Lambda function.
    const resource = this.bucket.node.defaultChild as CfnBucket;
    resource.addPropertyOverride(
      'NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled',
      true,
    );
  }
}

/**
 * Allows the role exactly what the S3 filesystem does, below the prefix only: read, write (tags, because CopyObject keeps
 * them on a rename), delete, finish or abandon multipart uploads, and list.
 */
export function grantHome(role: IRole, { bucket, prefix = '' }: HomeLocation): void {
  if (prefix !== '' && (!prefix.endsWith('/') || prefix.startsWith('/'))) {
    throw new Error(
      `A home prefix ends in "/" and does not begin with it, got ${JSON.stringify(prefix)}. Write it like "partners/".`,
    );
  }
  const objects = bucket.arnForObjects(`${prefix}*`);
  role.addToPrincipalPolicy(
    new PolicyStatement({
      actions: [
        's3:GetObject',
        's3:GetObjectTagging',
        's3:PutObject',
        's3:PutObjectTagging',
        's3:DeleteObject',
        's3:AbortMultipartUpload',
        's3:ListMultipartUploadParts',
      ],
      resources: [objects],
    }),
  );
  role.addToPrincipalPolicy(
    new PolicyStatement({
      actions: ['s3:ListBucket'],
      resources: [bucket.bucketArn],
      ...(prefix === '' ? {} : { conditions: { StringLike: { 's3:prefix': [`${prefix}*`] } } }),
    }),
  );
  // Needed to resume and to abort interrupted uploads; S3 supports no prefix condition for this action.
  role.addToPrincipalPolicy(
    new PolicyStatement({ actions: ['s3:ListBucketMultipartUploads'], resources: [bucket.bucketArn] }),
  );
  bucket.encryptionKey?.grantEncryptDecrypt(role);
  acknowledge(role, {
    id: `AwsSolutions-IAM5[Resource::${readable(Stack.of(role).resolve(objects))}]`,
    reason: 'A home is a prefix: the objects below it cannot be named one by one.',
  });
}

/** An ARN as cdk-nag writes it: what is only known when deployed is its logical id between angle brackets. */
function readable(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const [[name, argument] = ['', '']] = Object.entries(value);
  if (name === 'Fn::Join')
    return (argument as readonly [string, readonly unknown[]])[1].map(readable).join('');
  return `<${[argument].flat().join('.')}>`;
}
