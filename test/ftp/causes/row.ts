/** A failure that is provoked through the running gateway, and what the client and the operator must see of it. */
import type { CauseCode } from '../../../src/observability/cause.ts';
import type { GatewayEvent } from '../../../src/observability/event.ts';
import { Dialogue } from '../../support/dialogue.ts';
import type { TestGateway, TestGatewayOptions } from '../../support/gateway.ts';

/** What a row may use: everything it opens is closed after it. */
export type Scene = {
  readonly gateway: TestGateway;
  /** Closes the socket after the row. */
  readonly keep: <Kept extends { destroy(): unknown }>(socket: Kept) => Kept;
};

export type Row = {
  readonly cause: CauseCode;
  /** What the client does, as a part of a sentence. */
  readonly when: string;
  readonly options?: TestGatewayOptions;
  /** Provokes the failure; resolves to the reply, or to undefined where the client gets none. */
  readonly provoke: (scene: Scene) => Promise<string | undefined>;
  /** How long the gateway waits by a clock, which `options` scale where they can; 0 where it replies or closes at once. */
  readonly afterSeconds?: number;
  /** The event that has the cause. */
  readonly event: GatewayEvent['event'];
  /** Fields that the event must have besides. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** The reply without its code; the reply to a success where the cause is a warning. */
  readonly reply?: RegExp;
};

/** A connection that has read its greeting. */
export async function greeted({ gateway, keep }: Scene): Promise<Dialogue> {
  const client = keep(await Dialogue.open({ port: gateway.controlPort }));
  await client.expect('220 Ready');
  return client;
}

/** Alice's session; the filesystem has a file of the name `file`. */
export async function loggedIn({ gateway, keep }: Scene): Promise<Dialogue> {
  gateway.filesystem.putFile('/file', 'content');
  return keep(await Dialogue.logIn({ port: gateway.controlPort }));
}
