/**
 * Synthesises stacks with the oldest aws-cdk-lib of the peer range and with the repository's, and compares their resources: an old
 * version ignores a property that it does not know, without an error. Exit code 1 where they differ.
 * Usage: npm run test:oldest-cdk
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writePlan } from '../lib/plan-file.ts';

type Resource = { readonly Type: string; readonly Properties?: Record<string, unknown> };
type Resources = Record<string, Resource>;
type PackageJson = { readonly peerDependencies: Readonly<Record<string, string>> };

const repository = fileURLToPath(new URL('..', import.meta.url));
const cache = `${repository}.cache/oldest-cdk`;

/** Settings that use every part of the construct. */
const environments = {
  default: {},
  everything: {
    passivePorts: '50000-50008',
    portsPerSlot: 3,
    slots: { minimum: 2, maximum: 3 },
    domain: { zoneName: 'example.com', hostedZoneId: 'Z1', recordName: 'ftp' },
    tls: { implicit: true },
    deletionProtection: true,
    clientPrefixLists: ['pl-0123456789abcdef0'],
    expectedPartners: { alice: 24 },
    alarmEmail: 'operators@example.com',
  },
  'existing network': {
    network: {
      vpcId: 'vpc-0123456789abcdef0',
      zones: [
        {
          availabilityZone: 'eu-central-1a',
          loadBalancerSubnetId: 'subnet-0123456789abcdef0',
          loadBalancerSubnetCidr: '10.0.0.0/24',
          taskSubnetId: 'subnet-0123456789abcdef1',
        },
      ],
    },
    elasticIps: [{ allocationId: 'eipalloc-0123456789abcdef0', address: '203.0.113.10' }],
  },
};

/** Installs the lowest version of each peer range, once. */
function installOldest(): readonly [folder: string, versions: string] {
  const { peerDependencies } = JSON.parse(readFileSync(`${repository}package.json`, 'utf8')) as PackageJson;
  const wanted = Object.entries(peerDependencies).map(([name, range]) => `${name}@${range.replace('^', '')}`);
  const folder = `${cache}/${wanted.join('-')}`;
  if (!existsSync(`${folder}/node_modules/aws-cdk-lib/package.json`)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/package.json`, '{ "private": true }\n');
    execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--ignore-scripts', ...wanted], {
      cwd: folder,
      stdio: 'inherit',
    });
  }
  return [folder, wanted.join(', ')];
}

function synthesise(environment: string, oldest: string | undefined): Resources {
  const out = `${cache}/out`;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const { context } = JSON.parse(readFileSync(`${repository}cdk.json`, 'utf8')) as { context: object };
  const name = environment.replaceAll(' ', '-');
  writePlan(out, name, []);
  const hook = oldest === undefined ? [] : ['--import', `${repository}scripts/oldest-cdk-hook.mjs`];
  execFileSync(process.execPath, [...hook, 'bin/ftp-gateway.ts'], {
    cwd: repository,
    // Warnings of deprecated properties, which old versions print about themselves.
    stdio: ['ignore', 'inherit', 'ignore'],
    env: {
      ...process.env,
      FTP_GATEWAY_PLANS: out,
      CDK_OUTDIR: out,
      CDK_CONTEXT_JSON: JSON.stringify({
        ...context,
        environment: name,
        environments: { [name]: environments[environment as keyof typeof environments] },
      }),
      ...(oldest !== undefined && { OLDEST_CDK: oldest }),
    },
  });
  const template = JSON.parse(readFileSync(`${out}/ftp-gateway-${name}.template.json`, 'utf8')) as {
    Resources: Resources;
  };
  return template.Resources;
}

/** What may differ: the CDK's own function behind a trigger, and what the CDK grants the role of a flow log. */
function comparable(resources: Resources): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(resources)
      .filter(
        ([id, { Type }]) => Type !== 'AWS::CDK::Metadata' && !/^AWSCDKTriggerCustomResourceProvider/.test(id),
      )
      .filter(([id]) => !/FlowLogIAMRoleDefaultPolicy/.test(id))
      .map(([id, { Properties }]) => [id, JSON.stringify(Properties, undefined, 1)]),
  );
}

const [folder, versions] = installOldest();
for (const environment of Object.keys(environments)) {
  const [old, current] = [folder, undefined].map((cdk) => comparable(synthesise(environment, cdk)));
  const ids = [...new Set([...Object.keys(old ?? {}), ...Object.keys(current ?? {})])];
  const differing = ids.filter((id) => old?.[id] !== current?.[id]);
  process.stdout.write(
    `${environment}: ${ids.length} resources, ${differing.length} differ with ${versions}\n`,
  );
  for (const id of differing) {
    process.exitCode = 1;
    process.stdout.write(
      `  ${id}\n--- ${versions}\n${old?.[id] ?? 'missing'}\n+++\n${current?.[id] ?? 'missing'}\n`,
    );
  }
}
