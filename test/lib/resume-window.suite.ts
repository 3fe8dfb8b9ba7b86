/** The window that a stack asks for is one that the gateway takes, and that the bucket's lifecycle rule leaves something to. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Duration, Stack } from 'aws-cdk-lib';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { checkedResumeWindow } from '../../lib/resume-window.ts';
import { abandonedUploadsAfter } from '../../lib/bucket.ts';
import { variables } from '../../src/config/variables.ts';
import { synthGateway } from './synth.ts';

const given = { bucket: Bucket.fromBucketName(new Stack(), 'Given', 'partner-files') };

describe('the resume window', () => {
  it('The resume window is in whole minutes, limited by the lifetime of parts in the created bucket, and may be longer in a given one', () => {
    assert.equal(checkedResumeWindow({}), 0);
    assert.equal(checkedResumeWindow({ resumeWindow: Duration.hours(6) }), 360);
    assert.equal(checkedResumeWindow({ resumeWindow: Duration.seconds(120) }), 2);
    assert.equal(checkedResumeWindow({ resumeWindow: abandonedUploadsAfter }), 2880);
    assert.equal(checkedResumeWindow({ resumeWindow: Duration.days(7), ...given }), 10_080);
  });

  it('The gateway accepts resume windows up to the same maximum as the construct', () => {
    const parse = (text: string) => variables.resumeWindowMs.parse(text);
    const longest = checkedResumeWindow({ resumeWindow: Duration.days(7), ...given });
    assert.equal(parse(String(longest)), Duration.days(7).toMilliseconds());
    assert.throws(() => parse(String(longest + 1)));
  });

  for (const [what, window, sentence] of [
    [
      'no whole number of minutes',
      { resumeWindow: Duration.seconds(90) },
      'The resume window is 1 minute 30 seconds, but the gateway counts whole minutes. Use a duration such as Duration.minutes(90).',
    ],
    [
      'longer than the bucket made here keeps parts',
      { resumeWindow: abandonedUploadsAfter.plus(Duration.minutes(1)) },
      'The resume window is 2 days 1 minute, but the bucket made here removes an unfinished upload 2 days after it was begun. ' +
        'Use at most 2 days, or a bucket of your own whose lifecycle rule waits longer.',
    ],
    [
      'longer than the gateway takes',
      { resumeWindow: Duration.days(8), ...given },
      'The resume window is 8 days, but the gateway takes at most 7 days. Use that or less.',
    ],
  ] as const) {
    it(`The resume window is refused when it is ${what}`, () => {
      assert.throws(() => checkedResumeWindow(window), { message: sentence });
    });
  }

  it('The construct validates the resume window, and its bucket keeps parts for as long as it says', () => {
    assert.throws(
      () => synthGateway({ resumeWindow: Duration.days(3) }),
      /^Error: The resume window is 3 days, but /,
    );
    const { template } = synthGateway({ resumeWindow: abandonedUploadsAfter });
    const text = JSON.stringify(template.toJSON());
    assert.match(text, /"AbortIncompleteMultipartUpload":\{"DaysAfterInitiation":2\}/);
    assert.match(text, /"Name":"RESUME_WINDOW_MINUTES","Value":"2880"/);
  });

  it('The tasks get no resume window when none is requested', () => {
    assert.doesNotMatch(JSON.stringify(synthGateway().template.toJSON()), /RESUME_WINDOW_MINUTES/);
  });
});
