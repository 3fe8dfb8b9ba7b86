/** The record of what is deployed: one file per environment, which no deployment of another one changes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readPlan, recordOutputs, writePlan } from '../../lib/plan-file.ts';

let folder: string;
let outputsFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ftp-gateway-plans-'));
  outputsFile = join(folder, 'cdk.outputs.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

const slot = (firstPort: number, running = true) => ({ firstPort, ports: 2, zone: 1, running });

/** As `cdk deploy` leaves it: the stacks of its last run, and no others. */
function deployed(environment: string, ...slots: readonly object[]): void {
  writeFileSync(
    outputsFile,
    JSON.stringify({ [`ftp-gateway-${environment}`]: { PassivePortPlan: JSON.stringify(slots) } }),
  );
}

describe('the plan of an environment', () => {
  it('The plan of an environment is recorded from its outputs and survives the deployment of another environment', () => {
    deployed('production', slot(50_000), slot(50_002));
    recordOutputs(outputsFile, folder);
    deployed('staging', slot(50_000));
    recordOutputs(outputsFile, folder);
    assert.deepEqual(readPlan(folder, 'production'), [slot(50_000), slot(50_002)]);
    assert.deepEqual(readPlan(folder, 'staging'), [slot(50_000)]);
  });

  it('The plan of an environment keeps which slots are stopped when outputs are recorded again', () => {
    writePlan(folder, 'production', [slot(50_000, false), slot(50_002)]);
    deployed('production', slot(50_000), slot(50_002), slot(50_004, false));
    recordOutputs(outputsFile, folder);
    assert.deepEqual(readPlan(folder, 'production'), [
      slot(50_000, false),
      slot(50_002),
      slot(50_004, false),
    ]);
  });

  it('The plan file has one line per slot, so that a review can read it', () => {
    writePlan(folder, 'production', [slot(50_000), slot(50_002)]);
    assert.equal(
      readFileSync(join(folder, 'production.json'), 'utf8'),
      '{\n  "slots": [\n' +
        '    {"firstPort":50000,"ports":2,"zone":1,"running":true},\n' +
        '    {"firstPort":50002,"ports":2,"zone":1,"running":true}\n' +
        '  ]\n}\n',
    );
  });

  it('A missing plan file is an error that explains how to create it, not an empty plan', () => {
    assert.throws(
      () => readPlan(folder, 'production'),
      /production\.json is missing: .*npm run deploy -- -c environment=production.*If nothing is deployed yet/,
    );
  });

  for (const [what, text] of [
    ['is empty', ''],
    ['is truncated', '{"slots":[{"firstPort":500'],
    ['has no slots', '{}'],
  ] as const) {
    it(`A plan file that ${what} is rejected with the name of the file`, () => {
      writeFileSync(join(folder, 'production.json'), text);
      assert.throws(() => readPlan(folder, 'production'), /production\.json is invalid: /);
    });
  }

  it('An invalid outputs file is rejected with the name of the file', () => {
    writeFileSync(outputsFile, '');
    assert.throws(() => recordOutputs(outputsFile, folder), /cdk\.outputs\.json is invalid: /);
  });
});
