/**
 * Uploads that break and are resumed, deleted, renamed and begun again, at random, by sessions of two tasks that share a
 * bucket, against a model of what a client may find. Each version has bytes of its own, so that a mix of two shows.
 *
 * RESUME_MODEL_RUNS is the number of sequences, RESUME_MODEL_SEED the first seed; a failure prints its seed.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { statForResume } from '../../../src/ftp/commands/resume-size.ts';
import { FilesystemError } from '../../../src/filesystem/filesystem-error.ts';
import type { Upload } from '../../../src/filesystem/filesystem.ts';
import type { Pathname } from '../../../src/filesystem/pathname.ts';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { S3Storage, type PartBytes } from '../../../src/s3/s3-storage.ts';
import { bytesOf, mib, neverAborted as signal } from '../../s3/transfer.ts';
import { useS3 } from '../../s3/s3-suite.ts';
import { TransferMemory } from '../../../src/s3/transfer-memory.ts';
import { Random } from '../../support/random.ts';
import { onEmulator, type S3Server } from '../../support/s3-server.ts';

const runs = Number(process.env['RESUME_MODEL_RUNS'] ?? (onEmulator ? 300 : 20));
const firstSeed = Number(process.env['RESUME_MODEL_SEED'] ?? Date.now() % 1_000_000_000);
// A production server insists on the sizes of Amazon S3; the embedded one lets the model be a thousand times smaller.
const partBytes: PartBytes = onEmulator ? { minimum: 64, first: 100 } : { minimum: 5 * mib, first: 5 * mib };
const mostParts = onEmulator ? 6 : 3;
const stepsPerRun = onEmulator ? 14 : 9;

const names = ['/a', '/b', '/a2'] as const;
type Name = (typeof names)[number];

/** What may be found under a name. */
type Place = {
  /** The object, whole. */
  visible: Buffer | undefined;
  /** The newest STOR from 0: the version that it sends, and so much of it as can have arrived. */
  newest: { readonly version: Buffer; sentBytes: number } | undefined;
};

type Running = { readonly upload: Upload; readonly name: Name; content: Buffer; leftBytes: number };

class Task {
  readonly storage: S3Storage;
  readonly sessions: S3Filesystem[];

  /** The storage object is what the sessions of a task share; connections to S3 may outlive it. */
  constructor(s3: S3Server, prefix: string, connections: S3Storage) {
    const memory = new TransferMemory(64 * mib);
    const { client, observe } = connections;
    this.storage = new S3Storage({
      client,
      observe,
      memory,
      partBytes,
      silenceMs: { here: 0, elsewhere: 0 },
    });
    const resumption = { owner: 'alice', windowMs: 3_600_000 };
    this.sessions = [0, 1].map(
      () => new S3Filesystem(this.storage, { bucket: s3.bucket, prefix }, resumption),
    );
  }
}

class Sequence {
  readonly #s3: S3Server;
  readonly #connections: S3Storage;
  readonly #random: Random;
  readonly #prefix: string;
  readonly #tasks: Task[];
  readonly #places = new Map<Name, Place>(
    names.map((name) => [name, { visible: undefined, newest: undefined }]),
  );
  readonly steps: string[] = [];
  /** An upload of another session that goes on while others begin. */
  #running: Running | undefined;
  #versions = 0;
  /** Names of which something was changed, or could have been, by the step. */
  readonly #touched = new Set<Name>();
  readonly #seed: number;

  constructor(s3: S3Server, seed: number, connections: S3Storage) {
    this.#connections = connections;
    this.#s3 = s3;
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#prefix = `model-${seed}/`;
    this.#tasks = [new Task(s3, this.#prefix, connections), new Task(s3, this.#prefix, connections)];
  }

  async run(): Promise<void> {
    const steps = [
      () => this.#store(),
      () => this.#store(),
      () => this.#store(),
      () => this.#resume(),
      () => this.#resume(),
      () => this.#resume(),
      () => this.#restartBlindly(),
      () => this.#append(),
      () => this.#delete(),
      () => this.#rename(),
      () => this.#overlap(),
      () => this.#endOverlap(),
      () => this.#replaceTask(),
    ];
    for (let step = 0; step < stepsPerRun; step++) {
      await this.#random.oneOf(steps)();
      for (const name of this.#touched) await this.#assertWhole(name);
      this.#touched.clear();
    }
    await this.#running?.upload.abort(new Error('the end'));
    for (const name of names) await this.#assertWhole(name);
    for (const { storage } of this.#tasks) assert.equal(storage.memory.heldBytes, 0, 'memory is given back');
  }

  get #session(): S3Filesystem {
    return this.#random.oneOf(this.#random.oneOf(this.#tasks).sessions);
  }

  get #name(): Name {
    return this.#random.oneOf(names.filter((name) => name !== this.#running?.name));
  }

  #place(name: Name): Place {
    this.#touched.add(name);
    return this.#places.get(name)!;
  }

  #newVersion(): Buffer {
    const sizeBytes = 1 + this.#random.below(mostParts * partBytes.first);
    return Buffer.from(bytesOf(sizeBytes, this.#seed * 1000 + ++this.#versions));
  }

  #key(name: Name): string {
    return this.#prefix + name.slice(1);
  }

  /** STOR from 0 of a new version, which may break. */
  async #store(): Promise<void> {
    const name = this.#name;
    const version = this.#newVersion();
    const sentBytes = this.#breakAt(version.byteLength);
    this.steps.push(`STOR ${name} ${sentBytes ?? 'all'} of ${version.byteLength}`);
    const upload = await this.#session.openUpload(name as Pathname, {
      offset: 0,
      ifExists: 'replace',
      signal,
    });
    const place = this.#place(name);
    place.newest = { version, sentBytes: sentBytes ?? version.byteLength };
    await this.#send(upload, version, sentBytes, name, version);
  }

  /** SIZE, and then REST and STOR, or APPE, of what is missing. */
  async #resume(): Promise<void> {
    const name = this.#name;
    const session = this.#session;
    const place = this.#place(name);
    const sizeBytes = await sizeOf(session, name);
    const base = this.#baseOf(name, sizeBytes);
    this.steps.push(`SIZE ${name} = ${sizeBytes ?? 'none'}`);
    if (sizeBytes === undefined || base === undefined) return;
    const isOffered = base !== place.visible;
    // A new version may be begun between SIZE and REST, by another session.
    const isOvertaken = isOffered && this.#random.isIn(0.3);
    if (isOvertaken) await this.#overtake(name, session);
    const rest = base.subarray(sizeBytes);
    const sent = rest.byteLength > 0 ? rest : this.#newVersion();
    const whole = Buffer.concat([base.subarray(0, sizeBytes), sent]);
    const offset = this.#random.isIn(0.5) ? sizeBytes : 'end';
    const breakAt = this.#breakAt(sent.byteLength);
    this.steps.push(
      `${offset === 'end' ? 'APPE' : `REST ${offset} STOR`} ${name} ${breakAt ?? 'all'} of ${sent.byteLength}`,
    );
    let upload;
    try {
      upload = await session.openUpload(name as Pathname, { offset, ifExists: 'replace', signal });
    } catch (error) {
      assert.ok(
        isOvertaken && error instanceof FilesystemError && error.kind === 'invalid-offset',
        String(error),
      );
      return;
    }
    assert.ok(!isOvertaken, 'an upload that a newer one has overtaken is not resumed');
    assert.equal(upload.keptBytes, sizeBytes);
    if (isOffered && place.newest)
      place.newest.sentBytes = Math.max(place.newest.sentBytes, sizeBytes + (breakAt ?? sent.byteLength));
    await this.#send(upload, sent, breakAt, name, whole);
  }

  async #overtake(name: Name, told?: S3Filesystem): Promise<void> {
    const others = this.#tasks.flatMap(({ sessions }) => sessions).filter((session) => session !== told);
    const version = this.#newVersion();
    const sentBytes = Math.min(version.byteLength, this.#random.below(partBytes.minimum));
    this.steps.push(`STOR ${name} ${sentBytes} of ${version.byteLength}, between SIZE and REST`);
    const upload = await this.#random.oneOf(others).openUpload(name as Pathname, {
      offset: 0,
      ifExists: 'replace',
      signal,
    });
    this.#place(name).newest = { version, sentBytes };
    await this.#send(upload, version, sentBytes, name, version);
  }

  /** REST and STOR of a client that remembers an offset and does not ask. */
  async #restartBlindly(): Promise<void> {
    const name = this.#name;
    const place = this.#place(name);
    const candidate = place.visible ?? place.newest?.version;
    if (!candidate) return;
    const offset = this.#random.isIn(0.7)
      ? partBytes.first * (1 + this.#random.below(mostParts))
      : 1 + this.#random.below(candidate.byteLength);
    const rest = offset < candidate.byteLength ? candidate.subarray(offset) : this.#newVersion();
    const breakAt = this.#breakAt(rest.byteLength);
    this.steps.push(`REST ${offset} STOR ${name} ${breakAt ?? 'all'}, without SIZE`);
    let upload;
    try {
      upload = await this.#session.openUpload(name as Pathname, { offset, ifExists: 'replace', signal });
    } catch (error) {
      assert.ok(error instanceof FilesystemError && error.kind === 'invalid-offset', String(error));
      return;
    }
    assert.ok(offset <= candidate.byteLength, 'nothing is kept that was not there');
    if (!place.visible && place.newest) {
      assert.ok(offset <= place.newest.sentBytes, 'no more is kept than was sent');
      place.newest.sentBytes = Math.max(place.newest.sentBytes, offset + (breakAt ?? rest.byteLength));
    }
    await this.#send(upload, rest, breakAt, name, Buffer.concat([candidate.subarray(0, offset), rest]));
  }

  /** APPE of a session that did not ask: to the visible file, or a new one. */
  async #append(): Promise<void> {
    const name = this.#name;
    const place = this.#place(name);
    const line = this.#newVersion();
    const breakAt = this.#breakAt(line.byteLength);
    this.steps.push(`APPE ${name} ${breakAt ?? 'all'} of ${line.byteLength}, without SIZE`);
    const session = new Task(this.#s3, this.#prefix, this.#connections);
    this.#tasks.push(session);
    const [fresh] = session.sessions;
    const upload = await fresh!.openUpload(name as Pathname, { offset: 'end', ifExists: 'replace', signal });
    if (!place.visible) place.newest = { version: line, sentBytes: breakAt ?? line.byteLength };
    await this.#send(upload, line, breakAt, name, Buffer.concat([place.visible ?? Buffer.alloc(0), line]));
    this.#tasks.pop();
  }

  async #delete(): Promise<void> {
    const name = this.#name;
    const place = this.#place(name);
    this.steps.push(`DELE ${name}`);
    try {
      await this.#session.removeFile(name as Pathname, { signal });
    } catch (error) {
      assert.ok(!place.visible && isNotFound(error), String(error));
    }
    place.visible = undefined;
    place.newest = undefined;
    assert.equal(await sizeOf(this.#session, name), undefined, 'SIZE offers nothing after DELE');
  }

  async #rename(): Promise<void> {
    const [from, to] = [this.#name, this.#name];
    if (from === to) return;
    this.steps.push(`RNFR ${from} RNTO ${to}`);
    const source = this.#place(from);
    try {
      await this.#session.rename(from as Pathname, to as Pathname, { signal });
    } catch (error) {
      assert.ok(!source.visible && isNotFound(error), String(error));
      return;
    }
    this.#places.set(to, { visible: source.visible, newest: undefined });
    source.visible = undefined;
  }

  /** A STOR that stays open while other sessions and the other task go on with the same name. */
  async #overlap(): Promise<void> {
    if (this.#running) return;
    const name = this.#name;
    const content = this.#newVersion();
    const sentBytes = this.#random.below(content.byteLength);
    this.steps.push(`STOR ${name} ${sentBytes} of ${content.byteLength} and stays open`);
    const upload = await this.#session.openUpload(name as Pathname, {
      offset: 0,
      ifExists: 'replace',
      signal,
    });
    this.#place(name).newest = { version: content, sentBytes };
    await upload.write(Buffer.from(content.subarray(0, sentBytes)));
    this.#running = { upload, name, content, leftBytes: content.byteLength - sentBytes };
    if (this.#random.isIn(0.6)) await this.#overtake(name);
  }

  async #endOverlap(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = undefined;
    const { upload, name, content, leftBytes } = running;
    const isNewest = this.#place(name).newest?.version === content;
    if (this.#random.isIn(0.5)) {
      this.steps.push(`the open STOR ${name} ends`);
      await upload.write(Buffer.from(content.subarray(content.byteLength - leftBytes)));
      await upload.commit();
      this.#place(name).visible = content;
      if (isNewest) this.#place(name).newest = { version: content, sentBytes: content.byteLength };
    } else {
      this.steps.push(`the open STOR ${name} breaks`);
      await upload.abort(new Error('the client vanished'));
    }
  }

  /** A task that is replaced, its sessions with it. */
  async #replaceTask(): Promise<void> {
    await this.#endOverlap();
    this.steps.push('a task is replaced');
    const index = this.#random.below(2);
    this.#tasks[index] = new Task(this.#s3, this.#prefix, this.#connections);
  }

  /** Undefined where the upload is to end in order. */
  #breakAt(sizeBytes: number): number | undefined {
    return this.#random.isIn(0.6) ? this.#random.below(sizeBytes + 1) : undefined;
  }

  async #send(
    upload: Upload,
    bytes: Buffer,
    breakAt: number | undefined,
    name: Name,
    whole: Buffer,
  ): Promise<void> {
    const end = breakAt ?? bytes.byteLength;
    for (let start = 0; start < end;) {
      const next = Math.min(end, start + 1 + this.#random.below(partBytes.first));
      await upload.write(Buffer.from(bytes.subarray(start, next)));
      start = next;
    }
    if (breakAt !== undefined) {
      await upload.abort(new Error('the client vanished'));
      return;
    }
    await upload.commit();
    this.#place(name).visible = whole;
  }

  /** The bytes whose length SIZE can have returned. */
  #baseOf(name: Name, sizeBytes: number | undefined): Buffer | undefined {
    const { visible, newest } = this.#place(name);
    if (sizeBytes === visible?.byteLength) return visible;
    if (sizeBytes === undefined) return undefined;
    assert.ok(newest && sizeBytes <= newest.sentBytes, `SIZE ${sizeBytes} is of the newest STOR`);
    assert.ok(
      sizeBytes < newest.version.byteLength,
      'SIZE never tells the length of a whole file that is not there',
    );
    return newest.version;
  }

  /** Asked directly of S3, in one request. */
  async #objectAt(key: string): Promise<Buffer | undefined> {
    const { client } = this.#tasks[0]!.storage;
    try {
      const answer = await client.direct.send({ method: 'GET', bucket: this.#s3.bucket, key, signal });
      // Not `bytes()`: it refuses what several APPE of large parts add up to.
      const pieces: Uint8Array[] = [];
      for (let batch = await answer.read(); batch; batch = await answer.read()) pieces.push(...batch);
      return Buffer.concat(pieces);
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
      throw error;
    }
  }

  async #assertWhole(name: Name): Promise<void> {
    const stored = await this.#objectAt(this.#key(name));
    const { visible } = this.#place(name);
    assert.equal(stored?.byteLength, visible?.byteLength, `the size of ${name}`);
    assert.ok(stored === undefined || stored.equals(visible!), `${name} is one version, whole`);
  }
}

async function sizeOf(session: S3Filesystem, name: Name): Promise<number | undefined> {
  try {
    return (await statForResume(session, name as Pathname, signal)).sizeBytes;
  } catch (error) {
    assert.ok(isNotFound(error), String(error));
    return undefined;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof FilesystemError && error.kind === 'not-found';
}

describe('uploads of two tasks that break, are resumed, and are begun again', () => {
  const s3 = useS3();

  it(
    `Uploads of two tasks that break, are resumed and are restarted leave one complete version under every name after ${runs} random sequences`,
    { timeout: 3_600_000 },
    async (t) => {
      for (let run = 0; run < runs; run++) {
        const seed = firstSeed + run;
        const sequence = new Sequence(s3.server, seed, s3.storage);
        try {
          await sequence.run();
        } catch (error) {
          const trace = sequence.steps.join('\n  ');
          throw new Error(`RESUME_MODEL_SEED=${seed} RESUME_MODEL_RUNS=1\n  ${trace}`, { cause: error });
        }
      }
      t.diagnostic(`${runs} sequences from seed ${firstSeed}`);
    },
  );
});
