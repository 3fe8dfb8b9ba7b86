/** Names that clients have sent, and that some software between clients and S3 has corrupted. */

export const names: readonly string[] = [
  'plain.txt',
  'with several  spaces',
  ' leading and trailing ',
  `quotes " and ' and \``,
  'ümläut ß',
  'decomposed u\u0308',
  'emoji 😀 👩‍👩‍👧',
  '日本語 العربية',
  '.hidden',
  '...',
  '..a',
  '-rf',
  '--',
  '-x word',
  '100%',
  '%41%2F%25',
  'a+b',
  'a&b;c=d,e@f',
  '<tag attribute="x">&amp;]]>',
  'what?#fragment',
  'back\\slash',
  'colon:star*[glob]{brace}',
  '$HOME ~ !',
  '|pipe>redirect',
  'trailing.',
  '1',
  '007',
  'true',
  '__proto__',
  'constructor',
  'n'.repeat(200),
];

/** Valid in FTP and in S3, but not representable in XML 1.0. */
export const controlNames: readonly string[] = [
  '\u0001\u001f',
  'tab\there',
  'escape\u001b[31m',
  '\u007f',
  '\u0085',
];
