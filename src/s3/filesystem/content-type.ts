/** The media type of an object by its file name's extension, for clients that later fetch it over HTTP. */
import mime from 'mime-types';

/** Types that mime-db (1.54) lacks, or for which it does not have the registered one (IANA "Media Types"; RFC 9512 for YAML). */
const additionalTypes: ReadonlyMap<string, string> = new Map([
  ['avro', 'application/avro'],
  ['edi', 'application/edifact'],
  ['jsonl', 'application/jsonl'],
  ['parquet', 'application/vnd.apache.parquet'],
  ['tgz', 'application/gzip'],
  ['yaml', 'application/yaml'],
  ['yml', 'application/yaml'],
  ['zst', 'application/zstd'],
]);

/**
 * The media type for a file name; undefined where its extension is unknown. `own` comes first; its keys are extensions in
 * lower case without the dot.
 */
export function contentTypeOf(
  filename: string,
  own: Readonly<Record<string, string>> = {},
): string | undefined {
  const dot = filename.lastIndexOf('.');
  if (dot <= filename.lastIndexOf('/') + 1) return undefined;
  const extension = filename.slice(dot + 1).toLowerCase();
  if (Object.hasOwn(own, extension)) return own[extension];
  return additionalTypes.get(extension) ?? (mime.lookup(extension) || undefined);
}
