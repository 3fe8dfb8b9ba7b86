import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { contentTypeOf } from '../../../src/s3/filesystem/content-type.ts';

/** Files that partners exchange, and the registered type of each. */
const expected = {
  '7z': 'application/x-7z-compressed',
  avif: 'image/avif',
  avro: 'application/avro',
  bmp: 'image/bmp',
  bz2: 'application/x-bzip2',
  css: 'text/css',
  csv: 'text/csv',
  doc: 'application/msword',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  edi: 'application/edifact',
  eml: 'message/rfc822',
  gif: 'image/gif',
  gz: 'application/gzip',
  htm: 'text/html',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript',
  json: 'application/json',
  jsonl: 'application/jsonl',
  log: 'text/plain',
  md: 'text/markdown',
  mov: 'video/quicktime',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  odp: 'application/vnd.oasis.opendocument.presentation',
  ods: 'application/vnd.oasis.opendocument.spreadsheet',
  odt: 'application/vnd.oasis.opendocument.text',
  parquet: 'application/vnd.apache.parquet',
  pdf: 'application/pdf',
  png: 'image/png',
  ppt: 'application/vnd.ms-powerpoint',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
  rtf: 'application/rtf',
  svg: 'image/svg+xml',
  tar: 'application/x-tar',
  tgz: 'application/gzip',
  tif: 'image/tiff',
  tiff: 'image/tiff',
  tsv: 'text/tab-separated-values',
  txt: 'text/plain',
  wav: 'audio/wav',
  webp: 'image/webp',
  xls: 'application/vnd.ms-excel',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  xml: 'application/xml',
  yaml: 'application/yaml',
  yml: 'application/yaml',
  zip: 'application/zip',
  zst: 'application/zstd',
};

describe('The media type of a file', () => {
  for (const [extension, type] of Object.entries(expected)) {
    it(`A file that ends in .${extension} has the media type ${type}`, () => {
      assert.equal(contentTypeOf(`home/orders.${extension}`), type);
      assert.equal(contentTypeOf(`ORDERS.${extension.toUpperCase()}`), type);
    });
  }

  it('A file has no media type where its extension is unknown, or where it has none', () => {
    const names = [
      'a.idoc',
      'a.',
      'a',
      '.csv',
      'dir.csv/a',
      'dir.csv/.txt',
      'a.constructor',
      'a.__proto__',
      '',
    ];
    for (const name of names) assert.equal(contentTypeOf(name), undefined, name);
  });

  it('The media types of a home come before the general ones', () => {
    const own = { csv: 'text/x-orders', idoc: 'text/x-idoc' };
    assert.equal(contentTypeOf('a.CSV', own), 'text/x-orders');
    assert.equal(contentTypeOf('a.idoc', own), 'text/x-idoc');
    assert.equal(contentTypeOf('a.txt', own), 'text/plain');
    assert.equal(contentTypeOf('a.constructor', own), undefined);
  });
});
