/**
 * Exports a certificate of AWS Certificate Manager into the secret that the tasks read: runs when the stack is deployed, when
 * the certificate is issued or renewed, and once a day in case an event was lost.
 */
import { createPrivateKey, randomBytes } from 'node:crypto';
import { ACMClient, ExportCertificateCommand } from '@aws-sdk/client-acm';
import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';

/** Writes the secret if its value has changed; throws if the certificate cannot be exported. */
export async function handler() {
  const certificateArn = required('CERTIFICATE_ARN');
  const secretId = required('SECRET_ARN');
  const value = await exportedCertificate(new ACMClient(), certificateArn);
  const secrets = new SecretsManagerClient();
  if ((await currentValue(secrets, secretId)) === value) return { changed: false };
  await secrets.send(new PutSecretValueCommand({ SecretId: secretId, SecretString: value }));
  return { changed: true };
}

async function exportedCertificate(acm, certificateArn) {
  // ExportCertificate returns only an encrypted key, and rejects passphrases with # $ %, which base64url does not contain.
  const passphrase = randomBytes(32).toString('base64url');
  const { Certificate, CertificateChain, PrivateKey } = await acm.send(
    new ExportCertificateCommand({ CertificateArn: certificateArn, Passphrase: Buffer.from(passphrase) }),
  );
  const privateKey = createPrivateKey({ key: PrivateKey, passphrase }).export({
    type: 'pkcs8',
    format: 'pem',
  });
  const chain = [Certificate, CertificateChain].map((pem) => `${(pem ?? '').trim()}\n`).join('');
  return JSON.stringify({ certificate: chain, privateKey });
}

async function currentValue(secrets, secretId) {
  try {
    const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: secretId }));
    return SecretString;
  } catch (error) {
    // A secret that has never had a value.
    if (error instanceof ResourceNotFoundException) return undefined;
    throw error;
  }
}

function required(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set.`);
  return value;
}
