/** The CDK's command line on the app of this repository, unchanged, with an emulator in the place of AWS. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writePlan } from '../../../lib/plan-file.ts';
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
    const values = Object.entries(context).flatMap(([key, value]) => [
      '-c',
      `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ]);
    return await this.node([
      cdk,
      ...args,
      '--app',
      `${process.execPath} ${repository}/bin/ftp-gateway.ts`,
      ...values,
    ]);
  }

  async deploy(context: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return await this.run(['deploy', '--require-approval', 'never'], context);
  }

  /** `npm run slots -- ARGUMENTS`. */
  async slots(...args: readonly string[]): Promise<string> {
    return await this.node([join(repository, 'scripts', 'slots.ts'), ...args, '--plans', this.plans]);
  }

  /** `npm run plan -- -c key=value`. */
  async plan(...args: readonly string[]): Promise<string> {
    return await this.node([join(repository, 'scripts', 'plan.ts'), ...args, '--plans', this.plans]);
  }

  async node(args: readonly string[]): Promise<string> {
    return await run(
      {
        program: process.execPath,
        arguments: args,
        directory: this.#emulator.folder,
        environment: { ...this.#emulator.environment, FTP_GATEWAY_PLANS: this.plans },
      },
      300_000,
    );
  }
}
