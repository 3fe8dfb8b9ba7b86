/** What the suites of uploads and downloads share: an S3 server, a storage on it, and, if asked for, a fault proxy between. */
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import type { Upload } from '../../src/filesystem/filesystem.ts';
import type { S3Storage } from '../../src/s3/s3-storage.ts';
import { openS3Upload, type S3UploadOptions } from '../../src/s3/upload/upload.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { startS3Server, type S3Server } from '../support/s3-server.ts';
import { type ObservedStorage, storageOn, type StorageOptions } from '../support/s3-storage.ts';
import { unfinishedUploads } from '../support/unfinished-uploads.ts';
import { getObject, headObject, neverAborted, putObject } from './transfer.ts';

export type S3SuiteOptions = StorageOptions & {
  /** Sends the requests of the storage through a proxy, which each test begins without faults. */
  readonly throughProxy?: boolean;
};

/** Call it in a `describe`. After each test no transfer memory may be held. */
export function useS3(options: S3SuiteOptions = {}): S3Suite {
  const suite = new S3Suite(options);
  before(() => suite.start());
  afterEach(() => suite.endTest());
  after(() => suite.close());
  return suite;
}

export class S3Suite {
  readonly #options: S3SuiteOptions;
  readonly #storages: ObservedStorage[] = [];
  #server: S3Server | undefined;
  #proxy: FaultProxy | undefined;

  constructor(options: S3SuiteOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#server = await startS3Server();
    if (this.#options.throughProxy === true) this.#proxy = await startFaultProxy(this.#server.endpoint);
    this.newStorage(this.#options);
  }

  endTest(): void {
    if (this.#proxy) this.#proxy.onRequest = () => undefined;
    this.#assertMemoryIsFree();
  }

  async close(): Promise<void> {
    this.#assertMemoryIsFree();
    for (const { client } of this.#storages) client.destroy();
    await this.#proxy?.close();
    await this.#server?.close();
  }

  get server(): S3Server {
    return started(this.#server);
  }

  /** A client that does not go through the proxy. */
  get client(): S3Server['client'] {
    return this.server.client;
  }

  get bucket(): string {
    return this.server.bucket;
  }

  get proxy(): FaultProxy {
    return started(this.#proxy);
  }

  get storage(): ObservedStorage {
    return started(this.#storages[0]);
  }

  /** One more, as another task has it; closed with the suite. */
  newStorage(options: StorageOptions = {}): ObservedStorage {
    const storage = storageOn((this.#proxy ?? this.server).endpoint, options);
    this.#storages.push(storage);
    return storage;
  }

  /** Opens an upload that replaces the whole object, unless the options say otherwise. */
  open(
    key: string,
    options: Partial<S3UploadOptions> = {},
    storage: S3Storage = this.storage,
  ): Promise<Upload> {
    return openS3Upload(storage, {
      bucket: this.bucket,
      key,
      offset: 0,
      ifExists: 'replace',
      signal: neverAborted,
      ...options,
    });
  }

  putObject(key: string, bytes: Uint8Array) {
    return putObject(this.client, this.bucket, key, bytes);
  }

  /** Undefined where there is none. */
  getObject(key: string): Promise<Buffer | undefined> {
    return getObject(this.client, this.bucket, key);
  }

  headObject(key: string) {
    return headObject(this.client, this.bucket, key);
  }

  /** Of the unfinished multipart uploads whose keys begin like this. */
  async openUploadIds(key: string): Promise<string[]> {
    const open = await unfinishedUploads(this.server);
    return open.filter((upload) => upload.key.startsWith(key)).map(({ uploadId }) => uploadId);
  }

  #assertMemoryIsFree(): void {
    for (const { memory } of this.#storages)
      assert.equal(memory.heldBytes, 0, 'transfer memory is given back');
  }
}

function started<Resource>(resource: Resource | undefined): Resource {
  assert.ok(resource !== undefined, 'the suite has started it');
  return resource;
}
