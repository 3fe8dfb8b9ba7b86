/**
 * The suites of the construct, in one process: loading aws-cdk-lib takes seconds. One suite alone:
 * `npx node --test test/lib/slot.suite.ts`.
 */
import './construct-methods.suite.ts';
import './certificate-export.suite.ts';
import './gateway-settings.suite.ts';
import './load-balancer.suite.ts';
import './monitoring.suite.ts';
import './resume-window.suite.ts';
import './self-signed-certificate.suite.ts';
import './slot.suite.ts';
import './storage.suite.ts';
