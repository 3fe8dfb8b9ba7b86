/** The CDK app: an environment of cdk.json, the command line over it, and one stack. */
import type { App } from 'aws-cdk-lib';
import type { DeployedPlan } from './deployed-plan.ts';
import { deploymentKeys, parseDeployment } from './deployment.ts';
import { FtpGatewayStack } from './ftp-gateway-stack.ts';
import { nearestName } from './nearest-name.ts';
import { stackNameOf } from './plan-file.ts';

/** Reads the recorded plan of an environment (`plans/`); throws if there is no record. */
export type ReadPlan = (environment: string) => DeployedPlan;

/**
 * Makes the stack of the environment that `-c environment=NAME` names (`production` if none).
 * @throws with every problem of the environment, the command line, or the passive ports.
 */
export function addGatewayStack(app: App, readPlan: ReadPlan): FtpGatewayStack {
  const environments = (app.node.tryGetContext('environments') ?? {}) as Record<
    string,
    Record<string, unknown>
  >;
  const name = environmentOf(app);
  const values = environments[name];
  if (values === undefined || name.startsWith('//')) {
    const known = Object.keys(environments).filter((key) => !key.startsWith('//'));
    throw new Error(
      `cdk.json has no environment "${name}"; it has ${known.join(', ') || 'none'}. Choose one with -c environment=NAME.`,
    );
  }
  const deployment = parseDeployment(name, values, commandLine(app));
  const stackName = stackNameOf(name);
  return new FtpGatewayStack(app, stackName, {
    stackName,
    description: 'FTP and FTPS gateway in front of Amazon S3',
    deployment,
    deployedPlan: readPlan(name),
    terminationProtection: deployment.deletionProtection,
    env: {
      ...(deployment.account !== undefined && { account: deployment.account }),
      ...(deployment.region !== undefined && { region: deployment.region }),
    },
  });
}

/** The environment that the command line selects. */
export function environmentOf(app: App): string {
  return (app.node.tryGetContext('environment') ?? 'production') as string;
}

/**
 * The settings given with `-c`. Context also holds feature flags (`@aws-cdk/...`), what the CLI adds (`aws:cdk:...`),
 * results of look-ups (`availability-zones:account=...`) and comments.
 * @throws for a key that no setting has.
 */
function commandLine(app: App): Record<string, unknown> {
  const given = Object.entries(app.node.getAllContext() as Record<string, unknown>).filter(
    ([key]) => key !== 'environments' && key !== 'environment' && !/^@|:|^\/\//.test(key),
  );
  const unknown = given.filter(([key]) => !deploymentKeys.includes(key)).map(([key]) => key);
  if (unknown.length > 0) {
    throw new Error(
      unknown
        .map((key) => {
          const nearest = nearestName(key, ['environment', ...deploymentKeys]);
          return `-c ${key}: unknown setting` + (nearest === undefined ? '.' : `; did you mean ${nearest}?`);
        })
        .join('\n'),
    );
  }
  return Object.fromEntries(given.map(([key, value]) => [key, parsed(key, value)]));
}

/** Objects and lists come from a command line as JSON. */
function parsed(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch (error) {
    throw new Error(`-c ${key}: invalid JSON: ${value}`, { cause: error });
  }
}
