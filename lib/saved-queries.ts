/** Queries for CloudWatch Logs Insights, saved beside the log group. */
import { type ILogGroup, QueryDefinition, QueryString } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

const transferFields = [
  '@timestamp',
  'username',
  'verb',
  'pathname',
  'sizeBytes',
  'durationMs',
  'outcome',
  'cause',
  'side',
  'sessionId',
];

const queries = {
  'transfers of a partner': new QueryString({
    fields: transferFields,
    filterStatements: ['event = "transfer"', 'username = "alice"'],
    sort: '@timestamp desc',
    limit: 1000,
  }),
  'transfers of a file': new QueryString({
    fields: [...transferFields, 'clientAddress', 'to'],
    // Deletions and renames, too.
    filterStatements: [
      'event in ["transfer", "command"]',
      'pathname like "/in/report.csv" or to like "/in/report.csv"',
    ],
    sort: '@timestamp desc',
    limit: 1000,
  }),
  failures: new QueryString({
    fields: [
      '@timestamp',
      'event',
      'username',
      'clientAddress',
      'verb',
      'pathname',
      'outcome',
      'cause',
      'side',
    ],
    filterStatements: [
      '(event = "transfer" and outcome != "completed") or (event = "login" and outcome != "accepted") ' +
        'or (event = "command" and outcome != "completed") ' +
        'or event in ["session-refused", "tls-failed", "passive-ports-exhausted", "storage-error", "storage-slow", "config-reload-failed", "unexpected-error"]',
    ],
    sort: '@timestamp desc',
    limit: 1000,
  }),
  'partners with failures': new QueryString({
    filterStatements: ['event = "partner-summary"', 'ispresent(username)'],
    // Each process of each slot writes summaries of its own.
    statsStatements: [
      'sum(failures) as failed, sum(uploads) as uploaded, sum(downloads) as downloaded, sortsLast(lastSuccess) as lastSucceeded by username',
    ],
    sort: 'failed desc',
    limit: 1000,
  }),
  'bytes by partner': new QueryString({
    filterStatements: ['event = "transfer"', 'outcome = "completed"'],
    statsStatements: ['sum(sizeBytes) as bytes, count(*) as transfers by username'],
    sort: 'bytes desc',
    limit: 1000,
  }),
} as const;

/** Saves each query under a folder named after the construct. */
export function saveQueries(scope: Construct, logGroup: ILogGroup): void {
  for (const [name, queryString] of Object.entries(queries)) {
    new QueryDefinition(scope, `Query ${name}`, {
      queryDefinitionName: `${scope.node.path.replaceAll('/', '-')}/${name}`,
      queryString,
      logGroups: [logGroup],
    });
  }
}
