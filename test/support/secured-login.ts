/** The same dialogue in clear and under TLS: a gateway that offers what is needed, and a session on it. */
import { Dialogue } from './dialogue.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';

export const securities = ['clear text', 'TLS'] as const;
export type DialogueSecurity = (typeof securities)[number];

export function startGatewayWith(security: DialogueSecurity): Promise<TestGateway> {
  return startTestGateway(security === 'TLS' ? { tls: 'optional', implicitTls: true } : {});
}

/** Logs in, under TLS from the first byte where TLS is asked for; data connections are in clear (PROT C) in both cases. */
export async function logInWith({ controlPort, implicitTlsPort }: TestGateway): Promise<Dialogue> {
  if (implicitTlsPort === undefined) return await Dialogue.logIn({ port: controlPort });
  const client = await Dialogue.logIn({ port: implicitTlsPort, implicitTls: true });
  await client.says('PROT C', /^200 /);
  return client;
}
