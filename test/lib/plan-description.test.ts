/** What `npm run plan` prints before a deployment. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deployedPlanOf } from '../../lib/deployed-plan.ts';
import { planOf } from './plan.ts';
import { describePlan, type Template, taskReplacements } from '../../scripts/plan-description.ts';

function description(before: string, after: string): string {
  const deployed = deployedPlanOf(planOf(before));
  return describePlan(deployed, planOf(after, deployed));
}

describe('the description of a change', () => {
  it('The description of a change from 7 to 8 ports reports one more port on a standby slot and nothing else', () => {
    assert.equal(
      description('50000-50006', '50000-50007'),
      [
        'slot   zone  ports                 state    what happens',
        '50000  1     50000-50001           runs     nothing; its sessions continue',
        '50002  2     50002-50003           runs     nothing; its sessions continue',
        '50004  1     50004-50005           standby  nothing; it stands by',
        '50006  2     50006 -> 50006-50007  standby  gets a port more; it stands by, no session is on it',
        '',
        'Listeners: 50007 made, none removed.',
        'Firewalls of partners: 50000-50007; announce 50007 to them first.',
      ].join('\n'),
    );
  });

  it('The description of a change to a disjoint range names the two steps for the running slots', () => {
    assert.equal(
      description('50000-50007', '51000-51003'),
      [
        'slot   zone  ports             state         what happens',
        '50000  1     50000-50001       runs          continues until it is drained and stopped (npm run slots -- drain 50000); the next deployment removes it',
        '50002  2     50002-50003       runs          continues until it is drained and stopped (npm run slots -- drain 50002); the next deployment removes it',
        '50004  1     50004-50005 -> -  standby -> -  is removed; it has no task and no sessions',
        '50006  2     50006-50007 -> -  standby -> -  is removed; it has no task and no sessions',
        '51000  1     - -> 51000-51001  - -> runs     is made and started',
        '51002  2     - -> 51002-51003  - -> runs     is made and started',
        '',
        'Listeners: 51000-51003 made, 50004-50007 removed.',
        'Firewalls of partners: 50000-50003, 51000-51003; announce 51000-51003 to them first.',
      ].join('\n'),
    );
  });

  it('The description of a change from 8 to 48 ports adds 20 standby slots', () => {
    const lines = description('50000-50007', '50000-50047').split('\n');
    assert.equal(lines.filter((line) => line.endsWith('is made and stands by')).length, 20);
    assert.equal(lines.filter((line) => line.endsWith('nothing; its sessions continue')).length, 2);
    assert.equal(lines.filter((line) => line.endsWith('nothing; it stands by')).length, 2);
  });

  it('The description of a change names the running services that CloudFormation would change, with the properties', () => {
    const service = (name: string, properties: object) => ({
      Type: 'AWS::ECS::Service',
      Properties: { ServiceName: name, ...properties },
    });
    const before: Template = {
      Resources: {
        One: service('slot-50000', { LoadBalancers: [1], Tags: [] }),
        Two: service('slot-50002', { LoadBalancers: [1], DesiredCount: 0 }),
        Three: service('slot-50004', { LoadBalancers: [1] }),
      },
    };
    const after: Template = {
      Resources: {
        One: service('slot-50000', { LoadBalancers: [1, 2], Tags: [1] }),
        Two: service('slot-50002', { LoadBalancers: [1], DesiredCount: 1 }),
        Three: service('slot-50004', { LoadBalancers: [1, 2] }),
        New: service('slot-50006', {}),
      },
    };
    assert.deepEqual(taskReplacements(before, after, deployedPlanOf(planOf('50000-50007'))), [
      'slot-50000: LoadBalancers, Tags changed',
    ]);
  });

  it('A slot that was started by hand is replaced where its new desired count is deployed together with a new task definition', () => {
    const template = (DesiredCount: number, image: string): Template => ({
      Resources: {
        Slot: {
          Type: 'AWS::ECS::Service',
          Properties: { ServiceName: 'slot-50000', TaskDefinition: 'family', DesiredCount },
        },
        Definition: { Type: 'AWS::ECS::TaskDefinition', Properties: { Family: 'family', Image: image } },
      },
    });
    const deployed = deployedPlanOf(planOf('50000-50007'));
    assert.deepEqual(taskReplacements(template(0, 'old'), template(1, 'new'), deployed), [
      'slot-50000: DesiredCount and the task definition changed',
    ]);
    assert.deepEqual(taskReplacements(template(0, 'old'), template(1, 'old'), deployed), []);
    assert.deepEqual(taskReplacements(template(1, 'old'), template(1, 'new'), deployed), []);
  });
});
