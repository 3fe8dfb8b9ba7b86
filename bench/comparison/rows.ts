/** The rows of the comparison. Pure. */
import type { Operation } from '../support/load-client.ts';

export type Row = {
  readonly id: string;
  readonly title: string;
  readonly group: 'large' | 'small' | 'login' | 'idle';
  readonly operation: Operation;
  readonly sessions: number;
  readonly files: number;
  readonly bytes: number;
};

export type Sizes = {
  readonly largeMiB: number;
  /** With one session; with 16 twice as many. */
  readonly smallFiles: number;
  readonly logins: number;
  readonly idleSessions: number;
};

const mebibyte = 1024 * 1024;

/** In the order in which they are measured: RETR reads what STOR of the same row has just stored. */
export function rowsOf({ largeMiB, smallFiles, logins, idleSessions }: Sizes): Row[] {
  const transfers = (
    group: 'large' | 'small',
    sessions: number,
    files: number,
    bytes: number,
    what: string,
  ): Row[] =>
    (['stor', 'retr'] as const).map((operation) => ({
      id: `${group}-${operation}-${sessions}`,
      title: `${operation === 'stor' ? 'Upload' : 'Download'} of ${what}`,
      group,
      operation,
      sessions,
      files,
      bytes,
    }));
  const login = (sessions: number, files: number): Row => ({
    id: `login-${sessions}`,
    title: `Login, ${sessions} at a time`,
    group: 'login',
    operation: 'login',
    sessions,
    files,
    bytes: 0,
  });
  return [
    ...transfers('large', 1, 1, largeMiB * mebibyte, `one file of ${largeMiB} MiB`),
    ...transfers('small', 1, smallFiles, 4096, 'files of 4 KiB over 1 session'),
    ...transfers('small', 16, 2 * smallFiles, 4096, 'files of 4 KiB over 16 sessions'),
    login(1, logins),
    login(16, 2 * logins),
    {
      id: 'idle',
      title: `${idleSessions} idle sessions`,
      group: 'idle',
      operation: 'idle',
      sessions: 16,
      files: idleSessions,
      bytes: 0,
    },
  ];
}
