/** The variables as people read them: `--help` in a terminal, a table in the README. Pure. */
import { type Variable, variables } from './variables.ts';

const all: readonly Variable<unknown>[] = Object.values(variables);

export function helpText(version: string): string {
  return [
    `FTP and FTPS gateway in front of Amazon S3, version ${version}.`,
    '',
    'It takes no arguments but --help and --version, and is configured by environment variables:',
    '',
    ...all.flatMap((variable) => [
      `  ${variable.name} (${presenceText(variable)})`,
      ...wrap(variable.meaning.replaceAll('`', ''), 92).map((line) => `      ${line}`),
    ]),
    '',
    'Exit codes: 0 stopped as asked, 1 failed while running, 2 could not start.',
    '',
  ].join('\n');
}

/** The same as a Markdown table. */
export function markdownTable(): string {
  const rows = all.map(
    ({ name, presence, meaning }) =>
      `| \`${name}\` | ${typeof presence === 'string' ? presenceOf(presence) : defaultOf(presence.default)} | ${meaning} |`,
  );
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
