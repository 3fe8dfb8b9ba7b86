/**
 * A custom resource of CloudFormation: makes a self-signed certificate in a secret that has none yet, and returns its fingerprint.
 * A certificate that is there stays, whatever changes: clients have pinned it.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { selfSignedCertificate } from './x509.mjs';

/**
 * Answers a request of CloudFormation (CloudFormation user guide, "Custom resource request objects"). The properties are
 * `SecretArn` and `Names`.
 */
export async function handler(event) {
  const { RequestType, ResourceProperties, PhysicalResourceId } = event;
  const response = { PhysicalResourceId: PhysicalResourceId ?? ResourceProperties.SecretArn };
  try {
    if (RequestType === 'Delete') await respond(event, { ...response, Status: 'SUCCESS' });
    else {
      const Data = await fingerprints(ResourceProperties.SecretArn, ResourceProperties.Names);
      await respond(event, { Status: 'SUCCESS', PhysicalResourceId: ResourceProperties.SecretArn, Data });
    }
  } catch (error) {
    await respond(event, { ...response, Status: 'FAILED', Reason: error.message });
  }
}

async function fingerprints(secretId, names) {
  const secrets = new SecretsManagerClient();
  let certificate = certificateIn(await currentValue(secrets, secretId));
  if (certificate === undefined) {
    const value = selfSignedCertificate(names);
    await secrets.send(
      new PutSecretValueCommand({ SecretId: secretId, SecretString: JSON.stringify(value) }),
    );
    certificate = new X509Certificate(value.certificate);
  }
  const publicKey = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    // As clients with a dialog show it.
    Fingerprint: certificate.fingerprint256,
    // As curl takes it (--pinnedpubkey).
    PublicKeyPin: `sha256//${createHash('sha256').update(publicKey).digest('base64')}`,
  };
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

/** The certificate of the value; undefined for the random text that a new secret holds, and for what is no pair. */
function certificateIn(value) {
  try {
    const { certificate, privateKey } = JSON.parse(value);
    const parsed = new X509Certificate(certificate);
    return parsed.checkPrivateKey(createPrivateKey(privateKey)) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

async function respond({ ResponseURL, StackId, RequestId, LogicalResourceId }, outcome) {
  const response = await fetch(ResponseURL, {
    method: 'PUT',
    // The URL is signed without a content type.
    headers: { 'content-type': '' },
    body: JSON.stringify({ StackId, RequestId, LogicalResourceId, ...outcome }),
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`CloudFormation answered ${response.status}.`);
}
