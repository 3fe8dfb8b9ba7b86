/** What operators need to know of a certificate. */
import { X509Certificate, type KeyObject } from 'node:crypto';

export type CertificateFacts = {
  /** `CN=ftp.example.com, O=Example`. */
  readonly subject: string;
  /** Names that clients may connect by: `DNS:ftp.example.com, IP Address:192.0.2.1`. */
  readonly names: string;
  readonly issuer: string;
  /** The end of its validity, in ISO 8601. */
  readonly notAfter: string;
  /** `RSA 2048`, `EC prime256v1`. */
  readonly keyType: string;
  /** Whole days until `notAfter`, rounded down; negative after it. */
  readonly daysLeft: number;
};

const dayMs = 86_400_000;

/** The facts of the first certificate of a chain in PEM. Throws where there is none. */
export function certificateFacts(chain: string | Buffer, nowMs = Date.now()): CertificateFacts {
  const { subject, subjectAltName, issuer, validToDate, publicKey } = new X509Certificate(chain);
  return {
    subject: oneLine(subject),
    names: subjectAltName ?? '',
    issuer: oneLine(issuer),
    notAfter: validToDate.toISOString(),
    keyType: keyTypeOf(publicKey),
    daysLeft: Math.floor((validToDate.getTime() - nowMs) / dayMs),
  };
}

/** Seconds until the first certificate of the chain expires; negative after that. */
export function certificateSecondsLeft(chain: string | Buffer, nowMs = Date.now()): number {
  return Math.floor((new X509Certificate(chain).validToDate.getTime() - nowMs) / 1000);
}

// Node separates the parts of a name with line ends.
function oneLine(name: string): string {
  return name.split('\n').join(', ');
}

function keyTypeOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  const { modulusLength, namedCurve } = asymmetricKeyDetails ?? {};
  return [asymmetricKeyType?.toUpperCase() ?? 'unknown', modulusLength ?? namedCurve]
    .filter(Boolean)
    .join(' ');
}
