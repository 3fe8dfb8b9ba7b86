/** Replies on the control connection (RFC 959 section 4.2) and their format on the wire. Pure. */

export type Reply = {
  readonly code: number;
  /** One line, or several; none may contain CR or LF. */
  readonly text: string | readonly string[];
};

/** Creates a reply. */
export function reply(code: number, text: string | readonly string[]): Reply {
  return { code, text };
}

/** The reply to a command that needs a login. */
export const loginFirst = reply(530, 'Please log in with USER and PASS.');

/**
 * The text to send. The first of several lines begins with `code-`, the last with `code `, and the lines between with a space,
 * so that none of them looks like the last one (RFC 959 4.2; RFC 2389 3.2 and RFC 3659 7.2 require the space).
 */
export function formatReply({ code, text }: Reply): string {
  if (typeof text === 'string') return `${code} ${oneLine(text)}\r\n`;
  const last = text.length - 1;
  return text
    .map((line, index) => {
      if (index === last) return `${code} ${oneLine(line)}\r\n`;
      return index === 0 ? `${code}-${oneLine(line)}\r\n` : ` ${oneLine(line)}\r\n`;
    })
    .join('');
}

// A name from a client or a bucket must not be able to end a reply line and forge the next one.
function oneLine(text: string): string {
  return text.replace(/[\r\n\0]/g, '?');
}
