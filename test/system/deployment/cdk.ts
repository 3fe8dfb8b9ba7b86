/** The CDK's command line on the app of this repository, unchanged, with an emulator in the place of AWS. */
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planPath, writePlan } from '../../../lib/plan-file.ts';
import { run } from '../clients/client.ts';
import type { Emulator } from './emulator.ts';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const cdk = join(repository, 'node_modules', '.bin', 'cdk');

export class Cdk {
  /** Where the plans of the environments are recorded, instead of the repository's own `plans/`. */
  readonly plans: string;
  readonly #emulator: Emulator;

  private constructor(emulator: Emulator, plans: string) {
    this.#emulator = emulator;
    this.plans = plans;
  }

  /** Prepares a folder in which the CLI may write, with the `cdk.json` of the repository. */
  static async prepare(emulator: Emulator): Promise<Cdk> {
    const plans = join(emulator.folder, 'plans');
    await mkdir(plans);
    for (const environment of ['production', 'staging']) writePlan(plans, environment, []);
    await copyFile(join(repository, 'cdk.json'), join(emulator.folder, 'cdk.json'));
    return new Cdk(emulator, plans);
  }

  /** As `npx cdk ARGUMENTS -c key=value`; rejects with what it printed where it fails. */
  async run(args: readonly string[], context: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return await this.#withApp([cdk, ...args], context);
  }

  async deploy(context: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return await this.run(['deploy', '--require-approval', 'never'], context);
  }

  /** `npm run deploy -- -c key=value`, as in a fresh checkout: no plan of the environment is there. */
  async deployFreshCheckout(context: Readonly<Record<string, unknown>>): Promise<string> {
    await rm(planPath(this.plans, 'production'));
    return await this.#withApp(
      [join(repository, 'scripts', 'deploy.ts'), '--require-approval', 'never'],
      context,
    );
  }

  /** `FTP_PASSWORD=... npm run verify -- ARGUMENTS`; rejects where a claim does not hold. */
  async verify(password: string, ...args: readonly string[]): Promise<string> {
    return await this.node([join(repository, 'scripts', 'verify-deployment.ts'), ...args], {
      FTP_PASSWORD: password,
    });
  }

  /** `npm run slots -- ARGUMENTS`. */
  async slots(...args: readonly string[]): Promise<string> {
    return await this.node([join(repository, 'scripts', 'slots.ts'), ...args, '--plans', this.plans]);
  }

  /** `npm run plan -- -c key=value`. */
  async plan(...args: readonly string[]): Promise<string> {
    return await this.node([join(repository, 'scripts', 'plan.ts'), ...args, '--plans', this.plans]);
  }

  async #withApp(args: readonly string[], context: Readonly<Record<string, unknown>>): Promise<string> {
    const values = Object.entries(context).flatMap(([key, value]) => [
      '-c',
      `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ]);
    return await this.node([
      ...args,
      '--app',
      `${process.execPath} ${repository}/bin/ftp-gateway.ts`,
      ...values,
    ]);
  }

  async node(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
    return await run(
      {
        program: process.execPath,
        arguments: args,
        directory: this.#emulator.folder,
        environment: { ...this.#emulator.environment, FTP_GATEWAY_PLANS: this.plans, ...environment },
      },
      300_000,
    );
  }
}
