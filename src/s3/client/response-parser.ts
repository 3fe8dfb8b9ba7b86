/**
 * Parses HTTP/1.1 responses (RFC 9112) to GET and PUT requests, incrementally and without copying bodies. Pure. What is ambiguous is refused
 * rather than interpreted, because the next response on the connection would begin in a wrong place (RFC 9112, 11.2).
 */

/** Of a status line and its headers, or of a trailer section; the limit of Node.js and undici. */
export const maxHeadBytes = 16 * 1024;

/** Informational responses before the response itself. S3 sends at most one. */
export const maxInformationalResponses = 8;

/** A chunk's size and its extensions. */
const maxChunkLineBytes = 256;

export type ResponseHead = {
  readonly status: number;
  /** Names in lower case; the values of repeated headers are joined. */
  readonly headers: Readonly<Record<string, string | undefined>>;
};

export type ResponseEvents = {
  onHead(head: ResponseHead): void;
  /** The bytes from `from` up to, not including, `to` of the buffer given to `execute` belong to the body. */
  onBody(from: number, to: number): void;
};

/** The server sent what is no HTTP response. A retry, on another connection, may succeed. */
export class MalformedResponse extends Error {
  override readonly name = 'MalformedResponse';
  readonly code = 'EPROTO';
}

type State =
  | 'status'
  | 'headers'
  | 'body'
  | 'body-until-close'
  | 'chunk-size'
  | 'chunk'
  | 'chunk-end'
  | 'trailers'
  | 'over';

const headEnd = '\r\n\r\n';
/** A control character, or a line end other than CR LF. */
const unusualInHead = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const cr = 0x0d;
const lf = 0x0a;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const chunkLine = /^([0-9A-Fa-f]{1,13})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?)*$/;
const lengthValue = /^\d{1,15}$/;

/** Parses one response after the other; `reset` prepares it for the next one. */
export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'status';
  /** Of the body, or of the current chunk. */
  #leftBytes = 0;
  #headBytes = 0;
  #informational = 0;
  #status = 0;
  #isHttp10 = false;
  #headers: Record<string, string | undefined> = Object.create(null) as Record<string, string | undefined>;
  /** The beginning of a line that was split between two reads: the buffer it came in may be another one by now. */
  #line = '';
  #keepsAlive = false;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** Of the body or the current chunk; 0 where that is unknown. A hint for the size of the next buffer. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** Whether the response is complete. */
  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** After the end of a response: whether the server keeps the connection open. */
  get keepsAlive(): boolean {
    return this.#keepsAlive;
  }

  /** After the end of a response, or before the first byte of one. */
  reset(): void {
    this.#state = 'status';
    this.#leftBytes = this.#headBytes = this.#informational = 0;
    this.#line = '';
    this.#keepsAlive = false;
  }

  /**
   * Parses the bytes from `from` up to `to`. Returns where parsing stopped: `to`, or less if bytes follow the end of the response.
   * @throws MalformedResponse; the parser cannot be used afterwards.
   */
  execute(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && this.#state !== 'over') {
      if (this.#state === 'status') at = this.#readHead(bytes, at, to);
      else if (this.#state === 'body' || this.#state === 'chunk') at = this.#readBody(at, to);
      else if (this.#state === 'body-until-close') {
        this.#events.onBody(at, to);
        at = to;
      } else at = this.#readLine(bytes, at, to);
    }
    return at;
  }

  /** The server closed its side. @throws MalformedResponse where the response is not complete. */
  finish(): void {
    if (this.#state === 'over') return;
    if (this.#state !== 'body-until-close') throw new MalformedResponse('the response ended early');
    this.#end(false);
  }

  #readBody(at: number, to: number): number {
    const end = Math.min(to, at + this.#leftBytes);
    this.#leftBytes -= end - at;
    this.#events.onBody(at, end);
    if (this.#leftBytes > 0) return end;
    if (this.#state === 'body') this.#end(this.#keepsAlive);
    else this.#state = 'chunk-end';
    return end;
  }

  /** A head that arrived whole, as most do, is read in one piece. Anything else is read line by line. */
  #readHead(bytes: Buffer, from: number, to: number): number {
    if (this.#headBytes > 0) return this.#readLine(bytes, from, to);
    const text = bytes.toString('latin1', from, Math.min(to, from + maxHeadBytes));
    const end = text.indexOf(headEnd);
    // Copied, because a header that is kept for long would keep what follows the head as well.
    const head = end === -1 ? '' : bytes.toString('latin1', from, from + end);
    if (head === '' || unusualInHead.test(head)) return this.#readLine(bytes, from, to);
    for (const line of head.split('\r\n')) this.#takeLine(line);
    this.#takeLine('');
    return from + end + headEnd.length;
  }

  #readLine(bytes: Buffer, from: number, to: number): number {
    let at = from;
    for (; at < to; at++) {
      const byte = bytes[at] as number;
      if (byte === lf) break;
      // Control characters, which RFC 9110 5.5 calls dangerous, could hide a line end from others.
      if ((byte < 0x20 && byte !== 0x09 && byte !== cr) || byte === 0x7f)
        throw new MalformedResponse('a control character in the head');
    }
    this.#headBytes += at - from;
    const limit =
      this.#state === 'chunk-size' || this.#state === 'chunk-end' ? maxChunkLineBytes : maxHeadBytes;
    if (this.#headBytes > limit) throw new MalformedResponse(`a head of more than ${limit} bytes`);
    const text = this.#line + bytes.toString('latin1', from, at);
    if (at === to) {
      if (this.#state === 'status' && !'HTTP/1.'.startsWith(text.slice(0, 7)))
        throw new MalformedResponse('not HTTP/1');
      this.#line = text;
      return to;
    }
    this.#line = '';
    if (text.indexOf('\r') !== text.length - 1 || text === '')
      throw new MalformedResponse('a line without CR LF');
    this.#takeLine(text.slice(0, -1));
    return at + 1;
  }

  #takeLine(line: string): void {
    if (this.#state === 'status') this.#takeStatus(line);
    else if (this.#state === 'headers') {
      if (line === '') this.#takeHead();
      else this.#takeHeader(line, this.#headers);
    } else if (this.#state === 'chunk-size') this.#takeChunkSize(line);
    else if (this.#state === 'chunk-end') {
      if (line !== '') throw new MalformedResponse('a chunk is longer than its size');
      this.#headBytes = 0;
      this.#state = 'chunk-size';
    } else if (line === '') this.#end(this.#keepsAlive);
    // Trailers: nothing here uses them.
    else this.#takeHeader(line, {});
  }

  #takeStatus(line: string): void {
    const match = statusLine.exec(line);
    if (!match) throw new MalformedResponse('a status line that is not of HTTP/1');
    this.#isHttp10 = match[1] === '0';
    this.#status = Number(match[2]);
    this.#headers = Object.create(null) as Record<string, string | undefined>;
    this.#state = 'headers';
  }

  #takeHeader(line: string, headers: Record<string, string | undefined>): void {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    // A name that ends in white space, and a line that continues the one before, are refused here (RFC 9112, 5.1 and 5.2).
    if (!token.test(name)) throw new MalformedResponse('a header without a valid name');
    const value = withoutOuterSpace(line, colon + 1);
    const before = headers[name];
    if (before !== undefined && name === 'content-length') throw new MalformedResponse('two lengths');
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  }

  #takeHead(): void {
    const status = this.#status;
    const headers = this.#headers;
    this.#headBytes = 0;
    if (status < 200) {
      // 101 would switch to another protocol, which no request asked for.
      if (status === 101) throw new MalformedResponse('101 without a request for it');
      if (++this.#informational > maxInformationalResponses)
        throw new MalformedResponse('too many informational responses');
      this.#state = 'status';
      return;
    }
    const length = headers['content-length'];
    const coding = headers['transfer-encoding'];
    const options = (headers['connection'] ?? '').toLowerCase().split(/[ \t]*,[ \t]*/);
    this.#keepsAlive = this.#isHttp10 ? options.includes('keep-alive') : !options.includes('close');
    if (length !== undefined && coding !== undefined) throw new MalformedResponse('a length and a coding');
    if (length !== undefined && !lengthValue.test(length))
      throw new MalformedResponse('a length that is no number');
    // Decoding another coding is not implemented, and no request accepts one.
    if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || this.#isHttp10))
      throw new MalformedResponse('a transfer coding other than chunked');
    // RFC 9112, 6.3: what determines the length of the body, in order of precedence.
    if (status === 204 || status === 304) this.#state = 'over';
    else if (coding !== undefined) this.#state = 'chunk-size';
    else if (length === undefined) this.#state = 'body-until-close';
    else {
      this.#leftBytes = Number(length);
      this.#state = this.#leftBytes === 0 ? 'over' : 'body';
    }
    this.#events.onHead({ status, headers });
    if (this.#state === 'over') this.#end(this.#keepsAlive);
  }

  #takeChunkSize(line: string): void {
    const match = chunkLine.exec(line);
    if (!match) throw new MalformedResponse('a chunk without a valid size');
    this.#headBytes = 0;
    this.#leftBytes = Number.parseInt(match[1] ?? '', 16);
    this.#state = this.#leftBytes === 0 ? 'trailers' : 'chunk';
  }

  #end(keepsAlive: boolean): void {
    this.#state = 'over';
    this.#keepsAlive = keepsAlive;
  }
}

/** Not by a regular expression: one that trims the end of a string takes quadratic time on many spaces. */
function withoutOuterSpace(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isSpace(line.charCodeAt(start))) start++;
  while (end > start && isSpace(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
