/** Synthesises gateways the way the app does: with cdk.json's feature flags, without an account or a network. */
import { readFileSync } from 'node:fs';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { ContainerImage } from 'aws-cdk-lib/aws-ecs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { addGatewayStack } from '../../lib/app.ts';
import type { DeployedPlan } from '../../lib/deployed-plan.ts';
import { FtpGateway } from '../../lib/ftp-gateway.ts';
import type { FtpGatewayProps } from '../../lib/ftp-gateway-props.ts';

export type Resource = {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: string;
};
export type Resources = Readonly<Record<string, Resource>>;

type CdkJson = { readonly context: Readonly<Record<string, unknown>> };

export function cdkJson(): CdkJson {
  return JSON.parse(readFileSync(new URL('../../cdk.json', import.meta.url), 'utf8')) as CdkJson;
}

/** An app with cdk.json's context, and what `-c name=value` would add to it. */
export function makeApp(context: Readonly<Record<string, unknown>> = {}): App {
  return new App({ context: { ...cdkJson().context, ...context }, analyticsReporting: false });
}

/** The construct alone, in a stack of its own; the image is a name, so that nothing is staged. */
export function synthGateway(makeProps: FtpGatewayProps | ((stack: Stack) => FtpGatewayProps) = {}) {
  const stack = new Stack(makeApp(), 'Test');
  const props = typeof makeProps === 'function' ? makeProps(stack) : makeProps;
  const gateway = new FtpGateway(stack, 'Gateway', {
    image: ContainerImage.fromRegistry('ftp-object-gateway'),
    ...props,
  });
  return { gateway, stack, template: Template.fromStack(stack) };
}

/** The app's stack, as `cdk synth -c name=value ...` makes it where the plan is deployed. */
export function synthApp(context: Readonly<Record<string, unknown>> = {}, deployed: DeployedPlan = []) {
  const stack = addGatewayStack(makeApp(context), () => deployed);
  return { stack, template: Template.fromStack(stack) };
}

export function certificateIn(stack: Stack) {
  return Secret.fromSecretNameV2(stack, 'Certificate', 'certificate');
}

export function resources(template: Template): Resources {
  return (template.toJSON() as { Resources: Resources }).Resources;
}

export function resourcesOfType(template: Template, type: string): readonly (readonly [string, Resource])[] {
  return Object.entries(resources(template)).filter(([, resource]) => resource.Type === type);
}

/** Everything that CloudFormation makes before the resource: what it depends on or refers to, and so on. */
export function dependsOn(template: Template, id: string): ReadonlySet<string> {
  const all = resources(template);
  const found = new Set<string>();
  const visit = (resource: Resource | undefined): void => {
    const text = JSON.stringify([resource?.Properties, resource?.DependsOn]);
    for (const [, next] of text.matchAll(/"(\w+)"/g)) {
      if (next === undefined || found.has(next) || !(next in all)) continue;
      found.add(next);
      visit(all[next]);
    }
  };
  visit(all[id]);
  return found;
}
