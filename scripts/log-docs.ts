/** Writes the events, with their fields and an example of each, and the metrics into docs/log.md, from the source. */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';
import type { GatewayEvent } from '../src/observability/event.ts';
import { observeWithLog } from '../src/observability/log.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { examples } from './log-examples.ts';

const page = new URL('../docs/log.md', import.meta.url);
const eventSource = new URL('../src/observability/event.ts', import.meta.url);
/** Other files with types that events are made of. */
const partSources = [
  new URL('../src/util/descriptors.ts', import.meta.url),
  new URL('../src/net/listen.ts', import.meta.url),
];

type Field = {
  readonly name: string;
  readonly type: string;
  readonly isOptional: boolean;
  readonly text: string;
};
type EventDoc = { readonly name: string; readonly text: string; readonly fields: readonly Field[] };

/** docs/log.md as it is and as it should be. Throws where it lacks a place for a part. */
export async function renderLogDocs(): Promise<{ readonly current: string; readonly wanted: string }> {
  const current = await readFile(page, 'utf8');
  const withEvents = replacePart(current, 'events', eventSections(await readEvents()));
  const written = replacePart(withEvents, 'metrics', await metricTable());
  const options = await resolveConfig(page);
  return { current, wanted: await format(written, { ...options, parser: 'markdown' }) };
}

function replacePart(text: string, name: string, part: string): string {
  const begin = `<!-- ${name}: written by scripts/log-docs.ts -->`;
  const end = `<!-- end of ${name} -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/log.md has no place between ${begin} and ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${part}\n\n${text.slice(to)}`;
}

/** The members of the type `GatewayEvent`, with their comments. */
async function readEvents(): Promise<readonly EventDoc[]> {
  const text = await readFile(eventSource, 'utf8');
  const file = ts.createSourceFile('event.ts', text, ts.ScriptTarget.Latest, true);
  const events: EventDoc[] = [];
  const parts = new Map([...aliasesOf(file), ...(await Promise.all(partSources.map(readAliases))).flat()]);
  const visit = (node: ts.Node): void => {
    if (ts.isTypeLiteralNode(node)) {
      const fields = [...fieldsOf(node), ...partsOf(node.parent, parts)];
      const name = /^'(.*)'$/.exec(fields.find(({ name }) => name === 'event')?.type ?? '')?.[1];
      if (name !== undefined) {
        events.push({
          name,
          text: commentBefore(node),
          fields: fields.filter((field) => field.name !== 'event'),
        });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return events;
}

type Alias = readonly [name: string, type: ts.TypeLiteralNode];

async function readAliases(source: URL): Promise<readonly Alias[]> {
  const text = await readFile(source, 'utf8');
  return aliasesOf(ts.createSourceFile(source.pathname, text, ts.ScriptTarget.Latest, true));
}

/** The object types of a file, by name. */
function aliasesOf(file: ts.SourceFile): readonly Alias[] {
  return file.statements
    .filter(ts.isTypeAliasDeclaration)
    .flatMap(({ name, type }) => (ts.isTypeLiteralNode(type) ? [[name.text, type] as const] : []));
}

/** The fields of the other types of an intersection. */
function partsOf(parent: ts.Node, parts: ReadonlyMap<string, ts.TypeLiteralNode>): readonly Field[] {
  if (!ts.isIntersectionTypeNode(parent)) return [];
  return parent.types.filter(ts.isTypeReferenceNode).flatMap((reference) => {
    const part = parts.get(reference.typeName.getText());
    if (part === undefined) throw new Error(`no object type ${reference.typeName.getText()} was found`);
    return fieldsOf(part);
  });
}

function fieldsOf(type: ts.TypeLiteralNode): readonly Field[] {
  return type.members.filter(ts.isPropertySignature).map(fieldOf);
}

function fieldOf(member: ts.PropertySignature): Field {
  return {
    name: member.name.getText(),
    type: (member.type?.getText() ?? '').replace(/\s+/g, ' '),
    isOptional: member.questionToken !== undefined,
    text: commentBefore(member),
  };
}

/** The doc comment in front of a node; of a member of a union, the one in front of its `|`. */
function commentBefore(node: ts.Node): string {
  const before = node.getSourceFile().text.slice(0, node.getStart());
  const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:\|\s*)?\(?\s*$/.exec(before)?.[1] ?? '';
  return comment
    .replace(/^\s*\*/gm, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function eventSections(events: readonly EventDoc[]): string {
  return events
    .map(({ name, text, fields }) => {
      const example = exampleOf(name as GatewayEvent['event']);
      const rows = fields.map(
        (field) =>
          `| \`${field.name}\` | ${field.isOptional ? 'sometimes' : 'always'} | ${unitOf(field)} | ${cell(meaningOf(name, field))} |`,
      );
      const table = ['| Field | Present | Type | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
      return `### ${name}\n\n${text}\n\n${fields.length === 0 ? '' : `${table}\n\n`}\`\`\`json\n${example}\n\`\`\``;
    })
    .join('\n\n');
}

/** @throws Error for a field without a comment: the reference must not have empty cells. */
function meaningOf(event: string, { name, text }: Field): string {
  const meaning = text || commonFields[name];
  if (meaning === undefined) throw new Error(`the field ${name} of ${event} has no comment in event.ts`);
  return meaning;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** Fields that many events have, where the event itself does not say more. */
const commonFields: Readonly<Record<string, string>> = {
  sessionId: 'The session, from greeting to end.',
  clientAddress: "The client's own address, behind a load balancer too.",
  username: 'The user who is logged in; in `login`, the name that the client sent.',
  cause: 'Why.',
  detail: 'What is known beyond the cause.',
  durationMs: 'How long it took.',
  tls: 'Whether the connection is under TLS.',
  verb: 'The command.',
  pathname: 'As the client sees it.',
  bucket: 'The S3 bucket.',
  key: 'The S3 object.',
  outcome: 'How it ended.',
  operation: 'The operation of S3.',
  worker: 'The number of the worker process.',
  sessions: 'How many sessions there were.',
  subject: 'To whom the certificate was issued.',
  issuer: 'Who issued it.',
  notAfter: 'The end of its validity.',
  names: 'The names that clients may connect by.',
  daysLeft: 'Whole days until `notAfter`, negative after it.',
  reason: 'In words.',
  pid: 'The process id.',
  passivePorts: 'The passive ports that it listens on.',
  workers: 'How many worker processes there are.',
  endpoint: '`https://host:port` of the request.',
  uploadId: 'The multipart upload of S3.',
  httpStatus: 'Of the response; absent where none came.',
  requestId: "S3's own id of the request, which AWS support asks for.",
};

/** The type of a field as readers of JSON know it, with the unit that its name ends in. */
function unitOf({ name, type }: Field): string {
  if (name === 'failuresByCause') return 'object: number by cause';
  if (/(?:CauseCode|SessionEndCause)$/.test(type)) return '[cause](troubleshooting.md)';
  if (name.endsWith('Ms')) return 'milliseconds';
  if (name.endsWith('Bytes')) return 'bytes';
  if (/^seconds$|Seconds$/.test(name)) return 'seconds';
  if (name === 'notAfter') return 'time, ISO 8601';
  if (type.includes("'"))
    return type
      .split('|')
      .map((part) => part.trim().replaceAll("'", '`'))
      .filter(Boolean)
      .join(' or ');
  return type
    .replace('readonly ', '')
    .replace('[]', ' list')
    .replace('unknown', 'error')
    .replaceAll('|', 'or');
}

/** The line that the log writes for the example of an event. */
function exampleOf(name: GatewayEvent['event']): string {
  let written = '';
  const observe = observeWithLog(
    { level: 'debug' },
    {
      write(line) {
        written = line;
      },
    },
  );
  observe(examples[name]);
  return JSON.stringify({ ...(JSON.parse(written) as object), time: '2026-11-24T22:41:07.316Z' });
}

async function metricTable(): Promise<string> {
  const { registry } = createMetrics(() => ({
    sessions: 0,
    passivePortLeases: 0,
    passivePortWaiters: 0,
    transferMemoryBytes: 0,
    waitingUploads: 0,
    keptUploads: 0,
  }));
  const all = await registry.getMetricsAsJSON();
  const rows = all
    .filter(({ name }) => name.startsWith('ftp_gateway_'))
    .map((metric) => {
      const labels = labelsOf(registry.getSingleMetric(metric.name));
      return `| \`${metric.name}\` | ${String(metric.type)} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${cell(metric.help)} |`;
    });
  return ['| Metric | Type | Labels | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** prom-client keeps the names of labels, but its types do not show them. */
function labelsOf(metric: unknown): readonly string[] {
  const { labelNames } = metric as { readonly labelNames?: readonly string[] };
  return labelNames ?? [];
}

if (import.meta.main) await writeFile(page, (await renderLogDocs()).wanted);
