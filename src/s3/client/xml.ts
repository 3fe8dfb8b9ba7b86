/** The part of XML that S3's responses use: elements that contain text. */

/** Whether the document contains such an element, complete. */
export function hasElement(xml: string, name: string): boolean {
  const start = xml.search(new RegExp(`<${name}[\\s>]`));
  return start >= 0 && xml.includes(`</${name}>`, start);
}

/** The text of the first element of this name; empty where there is none. */
export function elementText(xml: string, name: string): string {
  const start = xml.indexOf(`<${name}>`);
  if (start < 0) return '';
  const textStart = start + name.length + 2;
  const end = xml.indexOf(`</${name}>`, textStart);
  return end < 0 ? '' : unescaped(xml.slice(textStart, end));
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const largestCodePoint = 0x10ffff;

function unescaped(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (entity, hex?: string, decimal?: string, name = '') => {
      const code = hex !== undefined ? parseInt(hex, 16) : Number(decimal ?? NaN);
      if (code <= largestCodePoint) return String.fromCodePoint(code);
      return entities[String(name)] ?? entity;
    },
  );
}
