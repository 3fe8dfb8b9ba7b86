/** A stand-in for AWS Secrets Manager: GetSecretValue over HTTP, for processes with AWS_ENDPOINT_URL_SECRETS_MANAGER. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export type SecretsManager = {
  readonly endpoint: string;
  /** By ARN; what is put here is what the next GetSecretValue reads. */
  readonly secrets: Map<string, string>;
  close(): Promise<void>;
};

export async function startSecretsManager(): Promise<SecretsManager> {
  const secrets = new Map<string, string>();
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { SecretId } = JSON.parse(body) as { SecretId: string };
      const SecretString = secrets.get(SecretId);
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue' || SecretString === undefined) {
        response.statusCode = 400;
        response.end(
          JSON.stringify({ __type: 'ResourceNotFoundException', message: 'There is no such secret.' }),
        );
        return;
      }
      response.end(JSON.stringify({ ARN: SecretId, Name: SecretId, VersionId: '1', SecretString }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    secrets,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
