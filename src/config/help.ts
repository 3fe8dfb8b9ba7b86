/** Descriptions of the variables: `--help` in a terminal, tables in the documentation. Pure. */
import { type Config, type Variable, variables } from './variables.ts';

const all: readonly Variable<unknown>[] = Object.values(variables);

/** What `--help` prints. */
export function helpText(version: string): string {
  return [
    `FTP and FTPS gateway in front of Amazon S3, version ${version}.`,
    '',
    'The only arguments are --help and --version. Environment variables configure the gateway:',
    '',
    ...all.flatMap((variable) => [
      `  ${variable.name} (${presenceText(variable)})`,
      ...wrap(variable.meaning.replaceAll('`', ''), 92).map((line) => `      ${line}`),
    ]),
    '',
    'Exit codes: 0 stopped by a signal, 1 failed while running, 2 could not start.',
    '',
  ].join('\n');
}

/** A Markdown table of these fields' variables, in the order given. */
export function markdownTable(fields: readonly (keyof Config)[]): string {
  const rows = fields.map((field) => {
    const { name, presence, meaning }: Variable<unknown> = variables[field];
    const value = typeof presence === 'string' ? presenceOf(presence) : defaultOf(presence.default);
    return `| \`${name}\` | ${value} | ${meaning} |`;
  });
  return ['| Variable | Default | Meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

function presenceText({ presence }: Variable<unknown>): string {
  if (typeof presence === 'string') return presenceOf(presence);
  return presence.default === '' ? 'default: empty' : `default: ${presence.default}`;
}

function presenceOf(presence: 'required' | 'optional'): string {
  return presence === 'required' ? 'required' : 'unset';
}

function defaultOf(text: string): string {
  return text === '' ? 'empty' : `\`${text}\``;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
