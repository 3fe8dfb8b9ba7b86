/**
 * Writes docs/rfc-compliance.md: the commands from the command table, the rules from scripts/rfc-rules.ts.
 * `npm run docs`; a test compares the file.
 */
import { writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import type { Command } from '../src/ftp/commands/command.ts';
import { commandTable } from '../src/ftp/commands/table.ts';
import { PassivePorts } from '../src/ftp/data/passive-ports.ts';
import { MemoryFilesystem } from '../src/filesystem/memory-filesystem.ts';
import { absentCommands, specifications, type Specification } from './rfc-rules.ts';

export const compliancePath = new URL('../docs/rfc-compliance.md', import.meta.url);

/** The document as it should be. */
export async function complianceDocument(): Promise<string> {
  const commands = [...(await fullTable()).values()];
  const text = [
    '# RFC compliance',
    '<!-- Made by scripts/rfc-compliance.ts from the command table and scripts/rfc-rules.ts. -->',
    'Which commands there are, and what of the RFCs is kept. Each command, its syntax and its conditions are those of the command table (`src/ftp/commands/`), from which the dispatcher, FEAT and HELP are made as well.',
    '## Commands',
    '`argument` says what becomes of surplus spaces: between `words` they mean nothing, in a `pathname` and in a `verbatim` argument they are part of it; a `pathname` is also where PATHNAME_BACKSLASH applies. `needs` is what a user must be allowed to do. While a transfer runs, commands wait for its end unless said otherwise.',
    table(
      ['Command', 'Syntax', 'Argument', 'Defined in', 'Login', 'Needs', 'While a transfer runs'],
      commands.map(commandRow),
    ),
    '## Commands that are not there',
    table(['Command', 'Defined in', 'Why not'], absentCommands),
    ...specifications.flatMap(specificationSection),
  ].join('\n\n');
  const options = await resolveConfig(compliancePath);
  return format(text, { ...options, parser: 'markdown' });
}

/** The table of a gateway in which everything is switched on. */
export async function fullTable(): Promise<ReadonlyMap<string, Command>> {
  const timeoutMs = 1_000;
  const passivePorts = await PassivePorts.open({
    listenAddress: '127.0.0.1',
    ports: [],
    dataConnectionTimeoutMs: timeoutMs,
    leaseWaitMs: timeoutMs,
    observe: () => undefined,
  });
  return commandTable({
    tls: 'optional',
    tlsDataResumption: 'optional',
    maxLoginAttempts: 3,
    maxLoginFailures: 20,
    loginLockoutMs: timeoutMs,
    stallTimeoutMs: timeoutMs,
    dataConnectionTimeoutMs: timeoutMs,
    passivePorts,
    advertisedAddress: { kind: 'auto' },
    activeMode: 'on',
    filenameEncoding: 'utf-8',
    pathnameBackslash: 'literal',
    fileTimes: 'client',
    authenticate: () => Promise.resolve(undefined),
    filesystemFor: () => new MemoryFilesystem(),
    runStock: (verb) => Promise.reject(new Error(`${verb} is not run here.`)),
  });
}

function commandRow(command: Command): readonly string[] {
  const { verb, syntax, argument, source, access, duringTransfer } = command;
  const capability = access === 'logged-in' ? (command.capability ?? '') : '';
  const meanwhile = {
    'answered-without-argument': 'answered at once, without a pathname',
    'aborts-it': 'ends it',
  };
  return [
    verb,
    `\`${syntax}\``,
    / /.test(syntax) ? argument : '',
    source,
    access === 'logged-in' ? 'yes' : 'no',
    capability,
    duringTransfer === undefined ? '' : meanwhile[duringTransfer],
  ];
}

function specificationSection({ name, title, rules }: Specification): readonly string[] {
  const rows = rules.map(([section, level, rule, kept, how]) => [section, level, rule, kept, how]);
  return [`## ${name}: ${title}`, table(['Section', 'Level', 'Rule', 'Kept', 'How, or why not'], rows)];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

if (import.meta.main) await writeFile(compliancePath, await complianceDocument());
