/**
 * Uploads through the whole gateway, each broken in one random way, and what must hold afterwards: the old object or the new
 * one, whole, and the new one wherever the client received 226.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { PasswordHash } from '../../../src/users/password.ts';
import type { Random } from '../../support/random.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startFaultProxy, type Fault, type FaultProxy } from '../../support/fault-proxy.ts';
import { GatewayProcess } from '../../support/gateway-process.ts';
import { startS3Server, type S3Server } from '../../support/s3-server.ts';
import { unfinishedUploads } from '../../support/unfinished-uploads.ts';

export const gatewayFaults = [
  'none',
  'client-killed',
  'control-connection-cut',
  'data-connection-reset',
  'abor',
  's3-errors',
  's3-down-for-a-while',
  'gateway-drained',
  'gateway-killed',
] as const;
export type GatewayFault = (typeof gatewayFaults)[number];

export type FaultOutcome = {
  readonly fault: GatewayFault;
  /** The final reply's code; undefined where the client received none. */
  readonly replyCode: number | undefined;
  readonly found: 'old' | 'new';
};

const username = 'fault';
const password = 'fault';
const prefix = 'faults/';
const mebibyte = 1024 * 1024;
const finalReplyTimeoutMs = 150_000;
const uploadClient = fileURLToPath(new URL('upload-client.ts', import.meta.url));

export class FaultyGateway {
  readonly #s3: S3Server;
  readonly #proxy: FaultProxy;
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;
  #gateway: RunningGateway;
  /** Uploads that a killed gateway could not abort. */
  #orphans = 0;

  private constructor(
    s3: S3Server,
    proxy: FaultProxy,
    folder: string,
    environment: Readonly<Record<string, string>>,
    gateway: RunningGateway,
  ) {
    this.#s3 = s3;
    this.#proxy = proxy;
    this.#folder = folder;
    this.#environment = environment;
    this.#gateway = gateway;
  }

  static async start(): Promise<FaultyGateway> {
    const s3 = await startS3Server();
    const proxy = await startFaultProxy(s3.endpoint);
    const folder = await mkdtemp(join(tmpdir(), 'gateway-faults-'));
    const usersFile = join(folder, 'users.json');
    const user = {
      name: username,
      password: await PasswordHash.create(password),
      home: { bucket: s3.bucket, prefix },
      permissions: 'read-write',
    };
    await writeFile(usersFile, JSON.stringify({ users: [user] }));
    const environment = {
      USERS: `file:${usersFile}`,
      S3_ENDPOINT: proxy.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      DRAIN_SECONDS: '2',
      LOG_LEVEL: 'debug',
    };
    return new FaultyGateway(s3, proxy, folder, environment, await startGateway(environment));
  }

  /** One upload with one fault. Fails where a promise is broken. */
  async run(fault: GatewayFault, random: Random): Promise<FaultOutcome> {
    const name = randomUUID();
    const hadOld = random.below(2) === 0;
    const old = hadOld ? Buffer.from(`the old content of ${name}`) : undefined;
    if (old !== undefined) await this.#put(name, old);
    const content = random
      .bytes(16)
      .toString('hex')
      .repeat(random.below(20 * mebibyte) >> 5);
    const bytes = Buffer.from(content);
    const cutAt = fault === 'none' || fault === 's3-errors' ? bytes.length : random.below(bytes.length + 1);
    const replyCode =
      fault === 'client-killed'
        ? await this.#killClient(name, cutAt)
        : await this.#break(fault, name, bytes, cutAt, random);
    this.#proxy.onRequest = () => undefined;
    const found = await this.#get(name);

    const isNew = found !== undefined && digest(found) === digest(bytes);
    const isOld = found === undefined ? old === undefined : old?.equals(found) === true;
    assert.ok(isNew || isOld, `${fault}: the object is neither the old one nor the new one, whole`);
    if (replyCode === 226) assert.ok(isNew, `${fault}: the client received 226`);
    // A failure, or no reply, after the last byte: S3 may have confirmed the upload when no client was left to reply to.
    else if (cutAt < bytes.length) assert.ok(isOld, `${fault}: the upload was not complete`);
    if (fault === 'none' || fault === 's3-down-for-a-while') assert.equal(replyCode, 226);
    return { fault, replyCode, found: isNew ? 'new' : 'old' };
  }

  /** An upload during which S3 is down for that long, or permanently where undefined; resolves to the client's reply. */
  async outage(durationMs: number | undefined): Promise<FaultOutcome> {
    const name = randomUUID();
    const old = Buffer.from('the old content');
    const bytes = Buffer.alloc(20 * mebibyte, name);
    await this.#put(name, old);
    const dialogue = await this.#logIn();
    await dialogue.ask('TYPE I');
    const data = await dialogue.passive();
    assert.match(await dialogue.ask(`STOR ${name}`), /^150 /);
    await sendBytes(data, bytes.subarray(0, 10 * mebibyte));
    await this.#proxy.goDown();
    const finished = finish(dialogue, data, bytes.subarray(10 * mebibyte));
    if (durationMs !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, durationMs));
      await this.#proxy.comeUp();
    }
    const replyCode = await finished;
    if (durationMs === undefined) await this.#proxy.comeUp();
    const found = await this.#get(name);
    assert.ok(found !== undefined && (found.equals(old) || found.equals(bytes)));
    return { fault: 's3-down-for-a-while', replyCode, found: found.equals(old) ? 'old' : 'new' };
  }

  /** Fails where something was not given back: sessions, memory, uploads. */
  async assertNothingLeft(): Promise<void> {
    const deadline = Date.now() + 30_000;
    // The last session ends some turns after its client knows; only the gateway can tell when.
    while ((await metric(this.#gateway, 'ftp_gateway_sessions')) > 0 && Date.now() < deadline);
    assert.equal(await metric(this.#gateway, 'ftp_gateway_sessions'), 0);
    assert.equal(await metric(this.#gateway, 'ftp_gateway_transfer_memory_bytes'), 0);
    assert.equal(await metric(this.#gateway, 'ftp_gateway_passive_port_leases'), 0);
    assert.equal(await metric(this.#gateway, 'ftp_gateway_unexpected_errors_total'), 0);
    const { length } = await unfinishedUploads(this.#s3);
    assert.ok(length <= this.#orphans, `${length} uploads left, ${this.#orphans} by SIGKILL`);
  }

  async close(): Promise<void> {
    await this.#gateway.process.stop('SIGTERM');
    await this.#proxy.close();
    await this.#s3.close();
    await rm(this.#folder, { recursive: true });
  }

  async #break(
    fault: Exclude<GatewayFault, 'client-killed'>,
    name: string,
    bytes: Buffer,
    cutAt: number,
    random: Random,
  ): Promise<number | undefined> {
    if (fault === 's3-errors') this.#proxy.onRequest = () => randomFault(random);
    const dialogue = await this.#logIn();
    await dialogue.ask('TYPE I');
    const data = await dialogue.passive();
    data.on('error', () => undefined);
    assert.match(await dialogue.ask(`STOR ${name}`), /^150 /);
    await sendBytes(data, bytes.subarray(0, cutAt));
    const rest = bytes.subarray(cutAt);
    switch (fault) {
      case 'none':
      case 's3-errors':
        return await finish(dialogue, data, rest);
      case 'control-connection-cut':
        await this.#ended(name, () => dialogue.socket.resetAndDestroy());
        data.end(rest);
        return undefined;
      case 'data-connection-reset':
        data.resetAndDestroy();
        return await finalCode(dialogue);
      case 'abor': {
        await dialogue.send('ABOR\r\n');
        const code = await finalCode(dialogue);
        assert.match(await dialogue.reply(), /^22[56] /);
        data.destroy();
        dialogue.destroy();
        return code;
      }
      case 's3-down-for-a-while': {
        await this.#proxy.goDown();
        const replyCode = finish(dialogue, data, rest);
        await new Promise((resolve) => setTimeout(resolve, random.below(3_000)));
        await this.#proxy.comeUp();
        return await replyCode;
      }
      case 'gateway-drained': {
        const ended = this.#gateway.process.stop('SIGTERM');
        // Half of the clients go on, and the gateway waits for them; the others do nothing, and it must not wait for ever.
        const replyCode = random.below(2) === 0 ? finish(dialogue, data, rest) : finalCode(dialogue);
        const code = await replyCode.catch(() => undefined);
        await ended;
        assert.equal((await this.#gateway.process.ended).code, 0, 'a drained gateway exits with 0');
        this.#gateway = await startGateway(this.#environment);
        return code;
      }
      case 'gateway-killed':
        await this.#gateway.process.stop('SIGKILL');
        this.#orphans += 1;
        data.destroy();
        dialogue.destroy();
        this.#gateway = await startGateway(this.#environment);
        return undefined;
    }
  }

  #logIn(): Promise<Dialogue> {
    return Dialogue.logIn({ port: this.#gateway.controlPort }, username, password);
  }

  async #killClient(name: string, cutAt: number): Promise<number | undefined> {
    const account = [String(this.#gateway.controlPort), username, password];
    const client = spawn(process.execPath, [uploadClient, ...account, name, String(cutAt)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(client.stdout, 'data');
    await this.#ended(name, () => client.kill('SIGKILL'));
    return undefined;
  }

  /** Does it, and waits until the gateway has logged the end of the upload. */
  async #ended(name: string, doIt: () => void): Promise<void> {
    doIt();
    await this.#gateway.process.event('transfer', ({ pathname }) => pathname === `/${name}`);
  }

  async #put(name: string, Body: Buffer): Promise<void> {
    await this.#s3.client.send(new PutObjectCommand({ Bucket: this.#s3.bucket, Key: prefix + name, Body }));
  }

  async #get(name: string): Promise<Buffer | undefined> {
    try {
      const { Body } = await this.#s3.client.send(
        new GetObjectCommand({ Bucket: this.#s3.bucket, Key: prefix + name }),
      );
      return Buffer.from(await Body!.transformToByteArray());
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
      throw error;
    }
  }
}

type RunningGateway = {
  readonly process: GatewayProcess;
  readonly controlPort: number;
  readonly operationsPort: number;
};

async function startGateway(environment: Readonly<Record<string, string>>): Promise<RunningGateway> {
  const process = new GatewayProcess(environment);
  const { controlPort, operationsPort } = await process.event('gateway-started');
  return { process, controlPort, operationsPort };
}

/** The value of a metric without labels. */
async function metric({ operationsPort }: RunningGateway, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${operationsPort}/metrics`);
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(await response.text())?.[1];
  if (value === undefined) throw new Error(`no metric is called ${name}`);
  return Number(value);
}

function randomFault(random: Random): Fault | undefined {
  if (random.below(4) > 0) return undefined;
  return random.oneOf<Fault>([
    { kind: 'reset-request', afterBytes: random.below(mebibyte) },
    { kind: 'reset-answer', afterBytes: random.below(100) },
    { kind: 'lose-answer' },
    { kind: 'answer', status: 500, name: 'InternalError' },
    { kind: 'answer', status: 503, name: 'SlowDown' },
    { kind: 'slow-first-byte', delayMs: random.below(200) },
  ]);
}

async function finish(dialogue: Dialogue, data: Socket, rest: Buffer): Promise<number> {
  data.resume();
  data.end(rest);
  const code = await finalCode(dialogue);
  dialogue.destroy();
  return code;
}

async function finalCode(dialogue: Dialogue): Promise<number> {
  return Number((await dialogue.reply(finalReplyTimeoutMs)).slice(0, 3));
}

async function sendBytes(socket: Socket, bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
