/** The CDK app: an environment of cdk.json, the command line over it, and one stack. */
import { existsSync, readFileSync } from 'node:fs';
import type { App } from 'aws-cdk-lib';
import { deploymentKeys, parseDeployment } from './deployment.ts';
import { FtpGatewayStack } from './ftp-gateway-stack.ts';
import { type DeployedPlan, parseDeployedPlan } from './passive-port-change.ts';

/**
 * Makes the stack of the environment that `-c environment=NAME` names (`production` if none).
 * `outputsFile` is what `cdk deploy` wrote last (cdk.json, "outputsFile"); it need not exist.
 * @throws with every problem of the environment, or of the passive ports.
 */
export function addGatewayStack(app: App, outputsFile: string): FtpGatewayStack {
  const environments = (app.node.tryGetContext('environments') ?? {}) as Record<
    string,
    Record<string, unknown>
  >;
  const name = (app.node.tryGetContext('environment') ?? 'production') as string;
  const values = environments[name];
  if (values === undefined || name.startsWith('//')) {
    const known = Object.keys(environments).filter((key) => !key.startsWith('//'));
    throw new Error(
      `cdk.json has no environment "${name}"; it has ${known.join(', ') || 'none'}. Choose one with -c environment=NAME.`,
    );
  }
  const deployment = parseDeployment(name, { ...values, ...commandLine(app) });
  const stackName = `ftp-gateway-${name}`;
  return new FtpGatewayStack(app, stackName, {
    stackName,
    description: 'FTP and FTPS gateway in front of Amazon S3',
    deployment,
    deployedPlan: readDeployedPlan(outputsFile, stackName),
    env: {
      ...(deployment.account !== undefined && { account: deployment.account }),
      ...(deployment.region !== undefined && { region: deployment.region }),
    },
  });
}

function commandLine(app: App): Record<string, unknown> {
  return Object.fromEntries(
    deploymentKeys
      .map((key) => [key, app.node.tryGetContext(key) as unknown] as const)
      .filter(([, value]) => value !== undefined),
  );
}

function readDeployedPlan(outputsFile: string, stackName: string): DeployedPlan | undefined {
  if (!existsSync(outputsFile)) return undefined;
  const outputs = JSON.parse(readFileSync(outputsFile, 'utf8')) as Record<string, Record<string, string>>;
  const plan = outputs[stackName]?.['PassivePortPlan'];
  return plan === undefined ? undefined : parseDeployedPlan(plan);
}
