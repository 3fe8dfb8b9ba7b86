/** Reports once a day that the certificate in use expires soon, or has expired. */
import type { Observe } from '../observability/event.ts';
import { certificateFacts } from './certificate-facts.ts';
import type { CertificateHolder } from './context.ts';

/** A certificate is reported from this many days before its end. */
export const warningDays = 21;
const dayMs = 86_400_000;

/** Checks now and once a day until it is closed. */
export function watchExpiry(holder: CertificateHolder, observe: Observe): { close(): void } {
  const check = (): void => {
    const { subject, names, notAfter, daysLeft } = certificateFacts(holder.current.chain);
    if (daysLeft >= warningDays) return;
    observe({ event: 'certificate-expiring', subject, names, notAfter, daysLeft });
  };
  check();
  const timer = setInterval(check, dayMs).unref();
  return { close: () => clearInterval(timer) };
}
