/** Writes the table of rights into docs/operations.md: from the template, with the reason for each action. */
import { readFile, writeFile } from 'node:fs/promises';
import { format } from 'prettier';
import { App } from 'aws-cdk-lib';
import { addGatewayStack } from '../lib/app.ts';

const page = new URL('../docs/operations.md', import.meta.url);
const begin = '<!-- rights -->';
const end = '<!-- end of rights -->';

const roles = {
  TaskRole: 'task role',
  ExecutionRole: 'execution role (ECS itself)',
  OperationsRelay: '`OperationsRelay`',
  CertificateExport: '`CertificateExport`',
  SelfSignedCertificate: '`SelfSignedCertificate`',
  FlowLog: 'flow log',
} as const;

/** Why each action is needed; an action of the template that is not here is an error. */
const reasons: Readonly<Record<string, string>> = {
  's3:GetObject': 'downloads, and the source of a rename',
  's3:GetObjectTagging': 'a rename copies the tags',
  's3:PutObject': 'uploads, folders, and the copy of a rename; starting and completing multipart uploads',
  's3:PutObjectTagging': 'a rename copies the tags',
  's3:DeleteObject': 'DELE, RMD, and the source of a rename',
  's3:AbortMultipartUpload': 'an upload that breaks leaves no parts',
  's3:ListMultipartUploadParts': 'continuing an interrupted upload',
  's3:ListBucketMultipartUploads': 'finding interrupted uploads',
  's3:ListBucket': 'listings, below the prefix only',
  'secretsmanager:GetSecretValue': 'reading users and certificate',
  'secretsmanager:DescribeSecret': 'part of what the CDK grants for reading a secret',
  'secretsmanager:PutSecretValue': 'writing the certificate',
  'secretsmanager:UpdateSecret': 'part of what the CDK grants for writing a secret',
  'secretsmanager:UpdateSecretVersionStage': 'part of what the CDK grants for writing a secret',
  'acm:ExportCertificate': 'exporting that one certificate',
  'ecr:BatchCheckLayerAvailability': 'pulling the image',
  'ecr:BatchGetImage': 'pulling the image',
  'ecr:GetDownloadUrlForLayer': 'pulling the image',
  'ecr:GetAuthorizationToken': 'pulling the image; knows no resource',
  'logs:CreateLogStream': 'a stream per task',
  'logs:PutLogEvents': 'writing the log',
  'logs:DescribeLogStreams': 'finding the stream of a network interface',
  'iam:PassRole': 'part of what the CDK grants for a flow log',
};

type Statement = { readonly Action: string | readonly string[] };
type Template = {
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties?: Readonly<Record<string, unknown>> }>
  >;
};

/** The rights of the stack: role, action, reason. */
function rights(): readonly (readonly [role: string, action: string, reason: string])[] {
  // With and without a domain: each has a certificate of its own kind.
  const resources = [{}, { domain: { zoneName: 'example.com', hostedZoneId: 'Z1' } }].flatMap(
    (production) => {
      const app = new App({
        context: { environments: { production }, '@aws-cdk/aws-iam:minimizePolicies': true },
        analyticsReporting: false,
      });
      const stack = addGatewayStack(app, () => []);
      return Object.entries((app.synth().getStackByName(stack.stackName).template as Template).Resources);
    },
  );
  const rows = new Map<string, readonly [string, string, string]>();
  for (const [id, { Type, Properties }] of resources) {
    if (Type !== 'AWS::IAM::Policy') continue;
    const role = Object.entries(roles).find(([name]) => id.includes(name))?.[1];
    if (role === undefined) throw new Error(`The role of the policy ${id} has no name here.`);
    const { Statement } = Properties?.['PolicyDocument'] as { Statement: readonly Statement[] };
    for (const action of Statement.flatMap(({ Action }) => Action)) {
      const reason = reasons[action];
      if (reason === undefined) throw new Error(`There is no reason for ${action}, which ${role} has.`);
      rows.set(`${role} ${action}`, [role, `\`${action}\``, reason]);
    }
  }
  return [...rows.values()].sort(([one, first], [other, second]) =>
    `${one} ${first}`.localeCompare(`${other} ${second}`),
  );
}

/** The page as it is, and as it should be. */
export async function renderRights(): Promise<{ readonly current: string; readonly wanted: string }> {
  const current = await readFile(page, 'utf8');
  const [from, to] = [current.indexOf(begin), current.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/operations.md has no place between ${begin} and ${end}.`);
  const rows = rights().map((row) => `| ${row.join(' | ')} |`);
  const table = await format(['| role | action | why |', '| --- | --- | --- |', ...rows].join('\n'), {
    parser: 'markdown',
  });
  return { current, wanted: `${current.slice(0, from + begin.length)}\n\n${table}\n${current.slice(to)}` };
}

if (import.meta.main) await writeFile(page, (await renderRights()).wanted);
