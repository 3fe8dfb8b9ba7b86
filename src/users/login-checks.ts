/**
 * Checks logins: at most two at a time, fairly between sources, and within the limits of the throttle. A login that waits ends
 * with its signal.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { LoginRefusalCause } from '../observability/cause.ts';
import { shortened, type Observe } from '../observability/event.ts';
import { FairQueue } from '../util/fair-queue.ts';
import { untilAborted } from '../util/until-aborted.ts';
import { CheckCost, RecentMedian } from './check-cost.ts';
import { FailureBudget } from './failure-budget.ts';
import { type Ban, LoginThrottle, type LoginSource, type LoginThrottleOptions } from './login-throttle.ts';
import type { Authenticate, Credentials, User } from './user.ts';

export type LoginChecksOptions = LoginThrottleOptions & {
  readonly authenticate: Authenticate;
  readonly observe: Observe;
  /** Without it the throttle is of this process alone. */
  readonly shared?: SharedLogins | undefined;
};

/** What a checked login changes in the throttle. Without a fingerprint the password was right. */
export type LoginResult = {
  readonly from: LoginSource;
  readonly username: string;
  /** The same for the same wrong password only. */
  readonly fingerprint?: string;
};

/**
 * A throttle of several processes. Each decides with what it knows, and reports its results to the others; they differ by what is
 * checked at the moment.
 */
export type SharedLogins = {
  /** How many processes there are. The queue and the CPU time of wrong passwords are divided among them. */
  readonly processes: number;
  /** Key of the fingerprints of wrong passwords; the same in all processes. */
  readonly fingerprintKey: Uint8Array;
  /** Those in force at the start of this process. */
  readonly bans: readonly Ban[];
  /** Tells the other processes. */
  report(result: LoginResult): void;
  /** Calls the listener for each result of another process. */
  onResult(listener: (result: LoginResult) => void): void;
};

export type LoginOutcome =
  | { readonly kind: 'accepted'; readonly user: User }
  /** Wrong name or password; the reply is to be held back for the delay. */
  | { readonly kind: 'refused'; readonly cause: LoginRefusalCause; readonly delayMs: number }
  /** Not checked. */
  | { readonly kind: 'banned'; readonly leftMs: number }
  /** Not checked: too many logins wait already. */
  | { readonly kind: 'busy' };

/** scrypt runs in libuv's threads, four by default, which DNS and files need too. */
const maxRunning = 2;
/** The queue, half of it for one source; connections that have not logged in are limited besides (`MAX_UNAUTHENTICATED`). */
const maxWaiting = 400;
/** A tenth of one core, after some twenty wrong passwords at once. */
const failureBudget = { burstMs: 2_000, share: 0.1 };
const ranks = { known: 0, clean: 1, suspect: 2 } as const;

// Preallocated: an abort without a reason captures a stack trace for each login.
const loginsHaveLeft = new Error('all logins have left');

/** One check, for all logins of one source that sent the same name and password and wait at the same time. */
type Check = {
  readonly key: string;
  readonly from: LoginSource;
  readonly credentials: Credentials;
  readonly fingerprint: string;
  readonly outcome: PromiseWithResolvers<LoginOutcome>;
  /** Aborts when the last login has left. */
  readonly controller: AbortController;
  logins: number;
};

export class LoginChecks {
  readonly #options: LoginChecksOptions;
  readonly #throttle: LoginThrottle;
  readonly #budget: FailureBudget;
  readonly #maxWaiting: number;
  readonly #maxWaitingPerSource: number;
  readonly #waiting = new FairQueue<Check>();
  /** Waiting and running, by key. */
  readonly #checks = new Map<string, Check>();
  /** Key of the fingerprints of wrong passwords; exists only in memory. */
  readonly #fingerprintKey: Uint8Array;
  #running = 0;
  readonly #cost = new CheckCost();
  /** Of wrong passwords; a single check may have run beside other work of the threads. */
  readonly #typicalCost = new RecentMedian();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoginChecksOptions) {
    this.#options = options;
    this.#throttle = new LoginThrottle(options);
    const { shared } = options;
    const processes = shared?.processes ?? 1;
    const { burstMs, share } = failureBudget;
    this.#budget = new FailureBudget(
      { burstMs: burstMs / processes, share: share / processes },
      performance.now(),
    );
    this.#maxWaiting = Math.ceil(maxWaiting / processes);
    this.#maxWaitingPerSource = Math.ceil(this.#maxWaiting / 2);
    this.#fingerprintKey = shared?.fingerprintKey ?? randomBytes(32);
    for (const ban of shared?.bans ?? []) this.#throttle.restore(ban);
    shared?.onResult((result) => {
      this.#throttle.record(result);
      this.#settleDecided();
    });
  }

  /** Those in force, the first to end first. */
  get bans(): readonly Ban[] {
    return this.#throttle.bans;
  }

  /** Whether the user has logged in from that source before. */
  isKnown(source: string, username: string): boolean {
    return this.#throttle.standing(source, username) === 'known';
  }

  /** Rejects with the signal's reason when it aborts, and where `authenticate` rejects. */
  async check(from: LoginSource, credentials: Credentials, signal: AbortSignal): Promise<LoginOutcome> {
    const { username, password } = credentials;
    const leftMs = this.#throttle.bannedForMs(from, username);
    if (leftMs > 0) return { kind: 'banned', leftMs };
    const remembered = this.#remembered(from, credentials);
    if (remembered !== undefined) return remembered;
    const fingerprint = createHmac('sha256', this.#fingerprintKey).update(password, 'utf8').digest('base64');
    const key = JSON.stringify([from.source, username, fingerprint]);
    const check = this.#checks.get(key) ?? this.#enqueue({ key, from, credentials, fingerprint });
    if (check === undefined) return { kind: 'busy' };
    check.logins += 1;
    try {
      return await untilAborted(check.outcome.promise, signal);
    } finally {
      check.logins -= 1;
      if (check.logins === 0) this.#abandon(check);
    }
  }

  #remembered(from: LoginSource, credentials: Credentials): LoginOutcome | undefined {
    const user = this.#options.authenticate.remembered?.(credentials);
    if (user === undefined) return undefined;
    this.#recordSuccess(from, credentials.username);
    return { kind: 'accepted', user };
  }

  #recordSuccess(from: LoginSource, username: string): void {
    if (this.isKnown(from.source, username)) return;
    this.#throttle.recordSuccess(from, username);
    this.#options.shared?.report({ from, username });
  }

  #enqueue(login: Pick<Check, 'key' | 'from' | 'credentials' | 'fingerprint'>): Check | undefined {
    const { source } = login.from;
    if (this.#waiting.sizeOf(source) >= this.#maxWaitingPerSource) return undefined;
    if (this.#waiting.size >= this.#maxWaiting) {
      const last = this.#waiting.last;
      if (last !== undefined) this.#settle(last, { kind: 'busy' });
    }
    const outcome = Promise.withResolvers<LoginOutcome>();
    // All logins may have left when it rejects.
    outcome.promise.catch(() => undefined);
    const check: Check = { ...login, outcome, controller: new AbortController(), logins: 0 };
    this.#checks.set(check.key, check);
    this.#waiting.add(source, check);
    // While the budget is empty only a known login can be next, and the queue need not be searched for each newcomer.
    if (this.#timer === undefined || this.isKnown(source, check.credentials.username)) this.#dispatch();
    return check;
  }

  /** All logins have left. A check that runs goes on, and a wrong password counts. */
  #abandon(check: Check): void {
    check.controller.abort(loginsHaveLeft);
    this.#remove(check);
  }

  #settle(check: Check, outcome: LoginOutcome): void {
    this.#remove(check);
    check.outcome.resolve(outcome);
  }

  #remove(check: Check): void {
    this.#waiting.delete(check.from.source, check);
    if (this.#checks.get(check.key) === check) this.#checks.delete(check.key);
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #dispatch(): void {
    while (this.#running < maxRunning) {
      const emptyForMs = this.#budget.emptyForMs(performance.now());
      const check = this.#waiting.take((candidate) => this.#rank(candidate, emptyForMs === 0));
      if (check === undefined) {
        if (emptyForMs > 0 && this.#waiting.size > 0) this.#dispatchIn(emptyForMs);
        return;
      }
      this.#throttle.reserve(check.from, check.credentials.username);
      void this.#run(check);
    }
  }

  /** Undefined while the check cannot be made. */
  #rank({ from, credentials }: Check, isInBudget: boolean): number | undefined {
    const { username } = credentials;
    if (!this.#throttle.canReserve(from, username)) return undefined;
    const standing = this.#throttle.standing(from.source, username);
    // Of equal rank, a source with few logins goes first: a partner has one, an attacker has many.
    const rank = ranks[standing] + this.#waiting.sizeOf(from.source) / (2 * this.#maxWaitingPerSource);
    return standing === 'known' || isInBudget ? rank : undefined;
  }

  #dispatchIn(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#dispatch();
    }, delayMs);
  }

  async #run(check: Check): Promise<void> {
    this.#running += 1;
    const measured = this.#cost.start(otherThreadsCpuMs(), performance.now());
    const costMs = (): number => this.#cost.end(measured, otherThreadsCpuMs(), performance.now());
    try {
      const result = await this.#options.authenticate(check.credentials, check.controller.signal);
      this.#settle(check, this.#result(check, result, costMs()));
      this.#settleDecided();
    } catch (error) {
      costMs();
      this.#remove(check);
      check.outcome.reject(error);
    } finally {
      this.#running -= 1;
      this.#throttle.recordEnd(check.from, check.credentials.username);
      this.#dispatch();
    }
  }

  #result(
    { from, credentials, fingerprint }: Check,
    result: User | LoginRefusalCause,
    costMs: number,
  ): LoginOutcome {
    const { username } = credentials;
    if (typeof result !== 'string') {
      this.#recordSuccess(from, username);
      return { kind: 'accepted', user: result };
    }
    this.#budget.spend(this.#typicalCost.add(costMs), performance.now());
    const { delayMs, ban } = this.#throttle.recordFailure(from, username, fingerprint);
    this.#options.shared?.report({ from, username, fingerprint });
    if (ban !== undefined) this.#observe(ban);
    return { kind: 'refused', cause: result, delayMs };
  }

  /** A ban, or a password that is remembered from now on, decides logins that wait. */
  #settleDecided(): void {
    for (const check of this.#waiting) {
      const { from, credentials } = check;
      const leftMs = this.#throttle.bannedForMs(from, credentials.username);
      const decided =
        leftMs > 0 ? ({ kind: 'banned', leftMs } as const) : this.#remembered(from, credentials);
      if (decided !== undefined) this.#settle(check, decided);
    }
  }

  #observe({ source, username, untilMs }: Ban): void {
    const seconds = Math.round((untilMs - Date.now()) / 1000);
    this.#options.observe({
      event: 'login-ban',
      cause: 'BANNED',
      source,
      seconds,
      ...(username !== undefined && { username: shortened(username) }),
    });
  }
}

/** Of scrypt, which runs in libuv's threads, and whatever else is not the main thread's. */
function otherThreadsCpuMs(): number {
  const all = process.cpuUsage();
  const main = process.threadCpuUsage();
  return (all.user + all.system - main.user - main.system) / 1000;
}
