/**
 * A self-signed X.509 certificate in DER (RFC 5280), signed with ECDSA on P-256 (RFC 5480, RFC 5758). Only what such a certificate
 * needs: node:crypto signs and parses certificates, but makes none.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

const days = 24 * 60 * 60 * 1000;

/**
 * A new key and a certificate for it that is valid from a day ago, because clocks of devices differ, for ten years.
 * It is no certificate authority: a client that trusts it trusts this server and nothing else.
 * @param {readonly string[]} names host names (ASCII) and IPv4 addresses of the server
 * @param {Date} now
 * @returns {{ certificate: string, privateKey: string }} both in PEM
 */
export function selfSignedCertificate(names, now = new Date()) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(set(sequence(oid('2.5.4.3'), tagged(0x0c, Buffer.from('FTP gateway')))));
  const content = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    ecdsaWithSha256,
    name,
    sequence(time(new Date(now.getTime() - days)), time(new Date(now.getTime() + 3650 * days))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions(names))),
  );
  const signature = sign('sha256', content, privateKey);
  const der = sequence(content, ecdsaWithSha256, bitString(signature, 0));
  return {
    certificate: pem(der),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

// RFC 5280 section 4.2.1: basicConstraints without cA, digitalSignature, serverAuth, and the names of the server.
function extensions(names) {
  return [
    extension('2.5.29.19', true, sequence()),
    extension('2.5.29.15', true, bitString(Buffer.from([0x80]), 7)),
    extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'))),
    extension(
      '2.5.29.17',
      false,
      sequence(
        ...names.map((name) =>
          isIPv4(name)
            ? tagged(0x87, Buffer.from(name.split('.').map(Number)))
            : tagged(0x82, Buffer.from(name, 'ascii')),
        ),
      ),
    ),
  ];
}

function extension(id, critical, value) {
  const flag = critical ? [tagged(0x01, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...flag, tagged(0x04, value));
}

/** Positive, and not zero, within 20 bytes (RFC 5280 section 4.1.2.2). */
function serialNumber() {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes;
}

/** GeneralizedTime from the year 2050, UTCTime before (RFC 5280 section 4.1.2.5). */
function time(date) {
  const digits = date.toISOString().replace(/[-:T]|\.\d{3}Z/g, '');
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(`${digits.slice(2)}Z`))
    : tagged(0x18, Buffer.from(`${digits}Z`));
}

function pem(der) {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

// Distinguished Encoding Rules (ITU-T X.690)

function tagged(tag, content) {
  const { length } = content;
  const bytes = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  const header = length < 0x80 ? [tag, length] : [tag, 0x80 | bytes.length, ...bytes];
  return Buffer.concat([Buffer.from(header), content]);
}

function sequence(...items) {
  return tagged(0x30, Buffer.concat(items));
}

function set(...items) {
  return tagged(0x31, Buffer.concat(items));
}

/** The bytes are the number; the highest bit is its sign. */
function integer(bytes) {
  return tagged(0x02, bytes);
}

function bitString(bytes, unusedBits) {
  return tagged(0x03, Buffer.concat([Buffer.from([unusedBits]), bytes]));
}

function oid(text) {
  const [first, second, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
