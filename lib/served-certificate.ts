/** The TLS of a gateway: whether it is on, and where the certificate that its tasks serve comes from. */
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct, IDependable } from 'constructs';
import { CertificateExport, isAcmCertificate } from './certificate-export.ts';
import type { FtpGatewayProps, FtpTls } from './ftp-gateway-props.ts';
import type { Network } from './network.ts';
import { SelfSignedCertificate } from './self-signed-certificate.ts';

/** A certificate as the tasks get it. */
export type ServedCertificate = {
  readonly secret: ISecret;
  /** Exists when the secret has a certificate; undefined where that is not this stack's concern. */
  readonly ready?: IDependable;
  readonly selfSigned?: SelfSignedCertificate;
};

/** FTPS is on unless it is switched off. Clients must first trust a self-signed certificate, so that it is optional then. */
export function tlsOf({ tls, domain }: FtpGatewayProps): FtpTls | undefined {
  if (tls === 'off') return undefined;
  return tls ?? (domain === undefined ? { mode: 'optional' } : {});
}

/** Where the tasks read the certificate, and what must be created before they start. */
export function servedCertificate(
  scope: Construct,
  tls: FtpTls | undefined,
  props: FtpGatewayProps,
  host: string,
  { loadBalancerZones }: Network,
): ServedCertificate | undefined {
  if (tls === undefined) return undefined;
  if (tls.certificate !== undefined && !isAcmCertificate(tls.certificate)) {
    return { secret: tls.certificate };
  }
  const logRetention = props.logRetention ?? RetentionDays.THREE_MONTHS;
  const domainName = hostName(props);
  if (tls.certificate === undefined && domainName === undefined) {
    const addresses = loadBalancerZones.flatMap(({ elasticIp }) => elasticIp?.address ?? []);
    const selfSigned = new SelfSignedCertificate(scope, 'SelfSignedCertificate', {
      names: [host, ...addresses],
      logRetention,
    });
    return { secret: selfSigned.secret, ready: selfSigned.made, selfSigned };
  }
  const { secret, exported } = new CertificateExport(scope, 'CertificateExport', {
    certificate: tls.certificate,
    domainName: domainName ?? '',
    zone: props.domain?.zone,
    logRetention,
  });
  return { secret, ready: exported };
}

/** The name that clients connect to; undefined without a domain. */
export function hostName({ domain }: Pick<FtpGatewayProps, 'domain'>): string | undefined {
  if (domain === undefined) return undefined;
  const { zoneName } = domain.zone;
  if (domain.recordName === undefined || domain.recordName === zoneName) return zoneName;
  return domain.recordName.endsWith(`.${zoneName}`) ? domain.recordName : `${domain.recordName}.${zoneName}`;
}
