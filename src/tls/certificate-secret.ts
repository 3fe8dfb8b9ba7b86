/**
 * The certificate in a secret, `{"certificate": "PEM chain", "privateKey": "PEM"}`, read again while the gateway runs, so
 * that a renewed one applies to the next session.
 */
import { z } from 'zod';
import { type DocumentSource, WatchedDocument } from '../util/watched-document.ts';
import { jsonErrorPosition } from '../util/json-error.ts';
import type { Observe } from '../observability/event.ts';
import { certificateFacts } from './certificate-facts.ts';
import { checkCertificate } from './certificate.ts';
import type { Certificate, CertificateHolder } from './context.ts';

const schema = z.object({ certificate: z.string(), privateKey: z.string() });

export type CertificateSecret = CertificateHolder & { close(): void };

/** Rejects where the secret cannot be read or used. Later failures are observed, and the last valid version stays. */
export async function openCertificateSecret(
  source: DocumentSource,
  options: { readonly refreshMs: number; readonly observe: Observe },
): Promise<CertificateSecret> {
  const { refreshMs, observe } = options;
  let current: Certificate | undefined;
  const document = await WatchedDocument.open({
    variable: 'TLS_CERTIFICATE',
    source,
    intervalMs: refreshMs,
    async load(text) {
      current = await parseCertificateSecret(text);
      observe({
        event: 'certificate-loaded',
        source: source.description,
        ...certificateFacts(current.chain),
      });
    },
    failed: ({ message }) =>
      observe({ event: 'config-reload-failed', config: 'certificate', reason: message }),
  });
  return {
    get current() {
      if (current === undefined) throw new Error('The certificate was asked for before it was read.');
      return current;
    },
    close: () => document.close(),
  };
}

/** Throws an Error that repeats nothing of the secret. */
async function parseCertificateSecret(text: string): Promise<Certificate> {
  const expected = 'expected JSON {"certificate": "PEM chain", "privateKey": "PEM"}';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    const { line, column } = (await jsonErrorPosition(text)) ?? { line: 1, column: 1 };
    throw new Error(`it is not JSON (line ${line}, column ${column}): ${expected}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`a field is missing: ${expected}`);
  const certificate = { chain: parsed.data.certificate, key: parsed.data.privateKey };
  checkCertificate(certificate, 'the secret');
  return certificate;
}
