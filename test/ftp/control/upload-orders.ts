/**
 * Every order in which the ends of an upload's two connections and a command can arrive, and what becomes of the upload.
 * Decision 0007 shows this table, and the tests play each row.
 */

/** What arrives at the gateway, each read before the next one is sent. */
export type Arrival =
  | 'data FIN'
  | 'data RST'
  | 'QUIT'
  | 'NOOP'
  | 'ABOR'
  /** Bytes of a command without its line end. */
  | 'QUI'
  | 'control FIN'
  | 'control RST';

export type OrderGroup = {
  /** In order; each step is any one of its arrivals. */
  readonly steps: readonly (readonly Arrival[])[];
  readonly outcome: 'published' | 'aborted';
  readonly why: string;
};

const command: readonly Arrival[] = ['QUIT', 'NOOP'];
const anyCommand: readonly Arrival[] = ['QUIT', 'NOOP', 'ABOR'];
const controlEnd: readonly Arrival[] = ['control FIN', 'control RST'];
const dataFin: readonly Arrival[] = ['data FIN'];
const dataReset: readonly Arrival[] = ['data RST'];
const abort: readonly Arrival[] = ['ABOR'];

const isWaiting = 'the client still holds its control connection after the grace time';
const isConfirmed = 'a command behind the data FIN proves that the client lives and sent all it meant to';
const looksKilled = 'a killed client ends both connections just so';
const provesNothing =
  'the command was pipelined: it says nothing of the end, and the client may have been killed since';
const isAbort = 'ABOR always aborts until S3 has confirmed';
const isReset = 'a reset data connection never carried the end of a file';

export const orderGroups: readonly OrderGroup[] = [
  { steps: [dataFin], outcome: 'published', why: isWaiting },
  { steps: [dataFin, command], outcome: 'published', why: isConfirmed },
  { steps: [dataFin, command, controlEnd], outcome: 'published', why: isConfirmed },
  { steps: [dataFin, controlEnd], outcome: 'aborted', why: looksKilled },
  {
    steps: [dataFin, ['QUI'], controlEnd],
    outcome: 'aborted',
    why: 'a line that is not complete is no command',
  },
  { steps: [dataFin, abort], outcome: 'aborted', why: isAbort },
  { steps: [dataFin, abort, controlEnd], outcome: 'aborted', why: isAbort },
  { steps: [dataFin, command, abort], outcome: 'aborted', why: isAbort },
  { steps: [command, dataFin], outcome: 'published', why: isWaiting },
  { steps: [command, dataFin, controlEnd], outcome: 'aborted', why: provesNothing },
  { steps: [command, dataFin, command, controlEnd], outcome: 'published', why: isConfirmed },
  { steps: [command, controlEnd, dataFin], outcome: 'aborted', why: provesNothing },
  { steps: [controlEnd, dataFin], outcome: 'aborted', why: looksKilled },
  { steps: [abort, dataFin], outcome: 'aborted', why: isAbort },
  { steps: [abort, dataFin, controlEnd], outcome: 'aborted', why: isAbort },
  { steps: [abort, controlEnd, dataFin], outcome: 'aborted', why: isAbort },
  { steps: [dataReset], outcome: 'aborted', why: isReset },
  { steps: [dataReset, anyCommand], outcome: 'aborted', why: isReset },
  { steps: [dataReset, controlEnd], outcome: 'aborted', why: isReset },
  { steps: [dataReset, anyCommand, controlEnd], outcome: 'aborted', why: isReset },
  { steps: [anyCommand, dataReset], outcome: 'aborted', why: isReset },
  { steps: [anyCommand, dataReset, controlEnd], outcome: 'aborted', why: isReset },
  { steps: [anyCommand, controlEnd, dataReset], outcome: 'aborted', why: isReset },
  { steps: [controlEnd, dataReset], outcome: 'aborted', why: isReset },
];

export type Order = { readonly arrivals: readonly Arrival[]; readonly outcome: OrderGroup['outcome'] };

/** Each order by itself. */
export function allOrders(): Order[] {
  return orderGroups.flatMap(({ steps, outcome }) => {
    let orders: readonly (readonly Arrival[])[] = [[]];
    for (const step of steps) orders = orders.flatMap((order) => step.map((arrival) => [...order, arrival]));
    return orders.map((arrivals) => ({ arrivals, outcome }));
  });
}

/** The rows of the table in decision 0007, in Markdown, without padding. */
export function orderRows(): string[] {
  return orderGroups.map(({ steps, outcome, why }) => {
    const order = steps.map((step) => step.map(nameOf).join(' or ')).join(', then ');
    return `| ${order} | ${outcome} | ${why} |`;
  });
}

function nameOf(arrival: Arrival): string {
  if (arrival === 'NOOP') return 'another command';
  return arrival === 'QUI' ? 'a command without its line end' : arrival;
}
