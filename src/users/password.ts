/**
 * Password hashes: made by `npm run hash-password`, kept in the users file, checked at login. A hash is
 * `scrypt:N=16384,r=8,p=5:SALT:KEY`, salt and key in base64url; the parameters are OWASP's for 16 MiB (Password Storage
 * Cheat Sheet), and may be others in a file.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';
import { Semaphore } from '../util/semaphore.ts';

type Cost = { readonly N: number; readonly r: number; readonly p: number };

const defaultCost: Cost = { N: 16_384, r: 8, p: 5 };
const saltBytes = 16;
const keyBytes = 32;

/** More would let one entry of the users file take the task's memory or its CPU at every login. */
const maxMemoryBytes = 64 * 1024 * 1024;
const maxWork = 2 ** 22;

/**
 * scrypt runs in libuv's threads, four by default, which DNS and files need too: a flood of logins takes two of them and
 * 128 MiB at most, and waits in line for the rest.
 */
const hashing = new Semaphore(2);

/** Keys the memory of verified passwords; never leaves the process. */
const processKey = randomBytes(32);

/** A password's hash. It prints as `[redacted]`, and so cannot reach a log by accident. */
export class PasswordHash {
  readonly #cost: Cost;
  readonly #salt: Buffer;
  readonly #key: Buffer;
  /** HMAC of the password that was verified last; of no use outside this process, nor for another hash. */
  #verified: Buffer | undefined;

  private constructor(cost: Cost, salt: Buffer, key: Buffer) {
    this.#cost = cost;
    this.#salt = salt;
    this.#key = key;
  }

  /** Undefined where the text is no hash that this gateway can check. */
  static parse(text: string): PasswordHash | undefined {
    const pattern = /^scrypt:N=([0-9]{1,8}),r=([0-9]{1,3}),p=([0-9]{1,3}):([\w-]{22,86}):([\w-]{43,86})$/;
    const [, N, r, p, salt, key] = pattern.exec(text) ?? [];
    if (salt === undefined || key === undefined) return undefined;
    const cost = { N: Number(N), r: Number(r), p: Number(p) };
    return isWithinLimits(cost)
      ? new PasswordHash(cost, Buffer.from(salt, 'base64url'), Buffer.from(key, 'base64url'))
      : undefined;
  }

  /** A hash of a new password, under a new salt, as text for the users file. */
  static async create(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    const key = await derive(password, salt, keyBytes, defaultCost);
    const { N, r, p } = defaultCost;
    return `scrypt:N=${N},r=${r},p=${p}:${salt.toString('base64url')}:${key.toString('base64url')}`;
  }

  /** A hash that no password fits, and that takes as long to find that out. */
  decoy(): PasswordHash {
    return new PasswordHash(this.#cost, randomBytes(this.#salt.length), randomBytes(this.#key.length));
  }

  static decoy(): PasswordHash {
    return new PasswordHash(defaultCost, randomBytes(saltBytes), randomBytes(keyBytes));
  }

  /**
   * Whether this is the password. FTP clients log in for each of their connections, so the right password is remembered
   * and costs nothing the next time; a wrong one costs a whole scrypt each time. Waits for its turn until the signal aborts.
   */
  async verify(password: string, signal: AbortSignal): Promise<boolean> {
    const code = createHmac('sha256', processKey).update(password, 'utf8').digest();
    if (this.#verified !== undefined && timingSafeEqual(this.#verified, code)) return true;
    const key = await hashing.run(signal, () => derive(password, this.#salt, this.#key.length, this.#cost));
    if (!timingSafeEqual(key, this.#key)) return false;
    this.#verified = code;
    return true;
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}

function isWithinLimits({ N, r, p }: Cost): boolean {
  const isPowerOfTwo = N >= 1024 && Number.isInteger(Math.log2(N));
  return isPowerOfTwo && r >= 1 && p >= 1 && 128 * N * r <= maxMemoryBytes && N * r * p <= maxWork;
}

function derive(password: string, salt: Buffer, length: number, cost: Cost): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  // Node counts some more than the 128 * N * r of the definition.
  const options = { ...cost, maxmem: 2 * maxMemoryBytes };
  scrypt(password.normalize('NFC'), salt, length, options, (error, key) => {
    if (error === null) resolve(key);
    else reject(error);
  });
  return promise;
}
