/**
 * The suites of the app and its stacks, in one process: loading aws-cdk-lib takes seconds. One suite alone:
 * `npx node --test test/lib/nag.suite.ts`.
 */
import './app.suite.ts';
import './nag.suite.ts';
import './names.suite.ts';
import './replacement.suite.ts';
import './rights.suite.ts';
import './snapshot.suite.ts';
