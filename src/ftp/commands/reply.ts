/** Replies on the control connection (RFC 959 section 4.2) and their format on the wire. Pure. */
import { shownCode, type CauseCode, type CausedError } from '../../observability/cause.ts';

export type Reply = {
  readonly code: number;
  /** One line, or several; none may contain CR or LF. */
  readonly text: string | readonly string[];
  /** Of a failure or refusal. The code follows the text, in brackets. */
  readonly cause?: CauseCode;
};

/** Creates a reply. @param cause of a failure or refusal; its code is added to the text. */
export function reply(code: number, text: string | readonly string[], cause?: CauseCode): Reply {
  return cause === undefined ? { code, text } : { code, text, cause };
}

/** The reply to a failure of a data connection or session, whose message is written for the client. */
export function causedReply(code: number, { message, causeCode }: CausedError): Reply {
  return reply(code, message, causeCode);
}

/** The reply to a command that needs a login. */
export const loginFirst = reply(530, 'Please log in with USER and PASS.');

/**
 * The text to send. The first of several lines begins with `code-`, the last with `code `, and the lines between with a space,
 * so that none of them looks like the last one (RFC 959 4.2; RFC 2389 3.2 and RFC 3659 7.2 require the space).
 */
export function formatReply({ code, text, cause }: Reply): string {
  const end = cause === undefined ? '' : ` [${shownCode(cause)}]`;
  if (typeof text === 'string') return `${code} ${oneLine(text)}${end}\r\n`;
  const last = text.length - 1;
  return text
    .map((line, index) => {
      if (index === last) return `${code} ${oneLine(line)}${end}\r\n`;
      return index === 0 ? `${code}-${oneLine(line)}\r\n` : ` ${oneLine(line)}\r\n`;
    })
    .join('');
}

// A name from a client or a bucket must not be able to end a reply line and forge the next one.
function oneLine(text: string): string {
  return text.replace(/[\r\n\0]/g, '?');
}
