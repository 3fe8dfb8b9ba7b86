/** How long an interrupted upload may be resumed, checked against the lifecycle rule of the bucket. Pure. */
import { Duration } from 'aws-cdk-lib';
import type { FtpGatewayProps } from './ftp-gateway-props.ts';
import { abandonedUploadsAfter } from './bucket.ts';

/** The longest window that the gateway accepts (RESUME_WINDOW_MINUTES). */
const longestWindow = Duration.days(7);

/**
 * The window in minutes; 0 keeps nothing of an interrupted upload.
 * @throws with a message for a window that the gateway, or the bucket of the construct, does not support.
 */
export function checkedResumeWindow({
  resumeWindow = Duration.minutes(0),
  bucket,
}: Pick<FtpGatewayProps, 'resumeWindow' | 'bucket'>): number {
  const minutes = resumeWindow.toMinutes({ integral: false });
  const refuse = (why: string): never => {
    throw new Error(`The resume window is ${resumeWindow.toHumanString()}, but ${why}`);
  };
  if (!Number.isInteger(minutes)) {
    refuse('the gateway counts whole minutes. Use a duration such as Duration.minutes(90).');
  }
  if (bucket === undefined && minutes > abandonedUploadsAfter.toMinutes()) {
    const days = abandonedUploadsAfter.toHumanString();
    refuse(
      `the bucket made here removes an unfinished upload ${days} after it was begun. Use at most ${days}, or a bucket ` +
        'of your own whose lifecycle rule waits longer.',
    );
  }
  if (minutes > longestWindow.toMinutes()) {
    refuse(`the gateway takes at most ${longestWindow.toHumanString()}. Use that or less.`);
  }
  return minutes;
}
