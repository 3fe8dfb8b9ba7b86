/**
 * Parsers of environment variables, one for each kind of value. Each throws an Error that says what is allowed and quotes the
 * value. Pure.
 */
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { UsersSource } from '../users/user-store.ts';
import { prefixProblem } from '../users/user.ts';

/** Source of the certificate chain and its private key, both PEM. */
export type CertificateSource =
  | { readonly kind: 'file'; readonly certificatePath: string; readonly keyPath: string }
  | { readonly kind: 'secretsmanager'; readonly arn: string };

/** Any text, as it is. */
export function text(value: string): string {
  return value;
}

/** A parser of one of these words. */
export function oneOf<const Choice extends string>(choices: readonly Choice[]) {
  return (value: string): Choice => {
    const choice = choices.find((candidate) => candidate === value);
    return choice ?? refuse(value, choices.join(' or '));
  };
}

/** `true` or `false`. */
export function trueOrFalse(value: string): boolean {
  return oneOf(['true', 'false'])(value) === 'true';
}

/** A parser of a decimal integer, both bounds inclusive. */
export function wholeNumber(minimum: number, maximum: number) {
  return (value: string): number => {
    const number = /^[0-9]+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= minimum && number <= maximum) return number;
    return refuse(value, `a whole number from ${minimum} to ${maximum}`);
  };
}

/** More processes than any machine has cores would only divide ports and memory. */
const maxWorkerProcesses = 256;

/** `auto`, or a number of worker processes. */
export function workers(value: string): 'auto' | number {
  if (value === 'auto') return 'auto';
  if (!/^[0-9]+$/.test(value))
    return refuse(value, `auto, or a whole number from 1 to ${maxWorkerProcesses}`);
  return wholeNumber(1, maxWorkerProcesses)(value);
}

/** Seconds in the variable, milliseconds in the program. */
export function seconds(minimum: number, maximum: number) {
  const whole = wholeNumber(minimum, maximum);
  return (value: string): number => whole(value) * 1000;
}

/** Minutes in the variable, milliseconds in the program. */
export function minutes(minimum: number, maximum: number) {
  const whole = wholeNumber(minimum, maximum);
  return (value: string): number => whole(value) * 60_000;
}

/** Hours in the variable, milliseconds in the program. */
export function hours(minimum: number, maximum: number) {
  const whole = wholeNumber(minimum, maximum);
  return (value: string): number => whole(value) * 3_600_000;
}

/** Mebibytes in the variable, bytes in the program. */
export function mebibytes(minimum: number, maximum: number) {
  const whole = wholeNumber(minimum, maximum);
  return (value: string): number => whole(value) * 1024 * 1024;
}

/** An IPv4 or IPv6 address to listen on. */
export function ipAddress(value: string): string {
  return isIP(value) === 0 ? refuse(value, 'an IPv4 or IPv6 address') : value;
}

/** A port to listen on; 0 picks a free port. */
export const listeningPort = wholeNumber(0, 65_535);

/**
 * Few ports serve many transfers, because a port is leased only until its client has connected. Each port costs a listener,
 * and no deployment needs more.
 */
const maxPassivePorts = 1024;

/** `50000-50003`, both ends inclusive, or one port; `0` picks one free port. */
export function portRange(value: string): readonly number[] {
  const [, firstText = '', lastText = firstText] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(value) ?? [];
  const first = Number(firstText);
  const last = Number(lastText);
  if (firstText === '' || last > 65_535 || first > last || (first === 0 && last !== 0)) {
    return refuse(value, 'a range of ports such as 50000-50003');
  }
  if (last - first >= maxPassivePorts) return refuse(value, `at most ${maxPassivePorts} ports`);
  return Object.freeze(Array.from({ length: last - first + 1 }, (_, index) => first + index));
}

/** The URL of an S3-compatible server, without query and fragment. */
export function httpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const plain =
    url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash === '';
  if (!plain) return refuse(value, 'an address such as https://s3.example.com');
  // The text can contain a password, so the message does not quote it.
  if (url.username + url.password !== '') {
    throw new Error(
      'expected no user or password in the URL; credentials come from the default AWS provider chain',
    );
  }
  return value;
}

/** CloudWatch API Reference, MetricDatum: up to 255 of these characters; a leading colon and `AWS/` are reserved. */
export function metricsNamespace(value: string): string {
  const isAllowed = /^[\w.\-/#][\w.\-/#:]{0,254}$/.test(value) && !value.startsWith('AWS/');
  return isAllowed
    ? value
    : refuse(value, 'up to 255 letters, digits and ._-/#: that do not begin with AWS/');
}

/** A prefix of a home ends in `/`, for the default home and for the homes of users. */
export function objectPrefix(value: string): string {
  const problem = prefixProblem(value);
  if (problem !== undefined) throw new Error(problem);
  return value;
}

/** An OpenSSL cipher list that selects at least one suite. The suites of TLS 1.3 are not set here: RFC 8446 defines no weak ones. */
export function tls12Ciphers(value: string): string {
  const expected = 'a list of OpenSSL cipher suites for TLS 1.2, such as ECDHE+AESGCM:ECDHE+AES';
  if (/(?:^|:)TLS_/.test(value)) return refuse(value, expected);
  try {
    createSecureContext({ ciphers: value });
    return value;
  } catch {
    return refuse(value, expected);
  }
}

/** `file:PATH` or `secretsmanager:ARN` of the users document. */
export function usersSource(value: string): UsersSource {
  const [kind, rest] = splitSource(value);
  if (kind === 'file' && rest !== '') return { kind, path: rest };
  if (kind === 'secretsmanager' && isSecretArn(rest)) return { kind, arn: rest };
  return refuse(value, 'file:PATH or secretsmanager:ARN');
}

/** `file:CERT.pem,KEY.pem` or `secretsmanager:ARN` of the certificate. */
export function certificateSource(value: string): CertificateSource {
  const [kind, rest] = splitSource(value);
  const [certificatePath = '', keyPath = '', ...more] = rest.split(',').map((path) => path.trim());
  if (kind === 'file' && certificatePath !== '' && keyPath !== '' && more.length === 0) {
    return { kind, certificatePath, keyPath };
  }
  if (kind === 'secretsmanager' && isSecretArn(rest)) return { kind, arn: rest };
  return refuse(value, 'file:CERT.pem,KEY.pem or secretsmanager:ARN');
}

function splitSource(value: string): readonly [kind: string, rest: string] {
  const colon = value.indexOf(':');
  return colon < 0 ? [value, ''] : [value.slice(0, colon), value.slice(colon + 1)];
}

function isSecretArn(arn: string): boolean {
  return /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:\S+$/.test(arn);
}

function refuse(got: string, expected: string): never {
  throw new Error(`expected ${expected}, got ${JSON.stringify(got)}`);
}
