/** Networks in CIDR notation, such as `10.0.0.0/16,2001:db8::/32`. Pure. */
import { BlockList, isIP } from 'node:net';

export class Networks {
  readonly #list = new BlockList();
  /** As configured, for messages. */
  readonly text: string;

  private constructor(text: string) {
    this.text = text;
  }

  /** Parses a list separated by commas; a plain address is a network of its own. Throws an Error that quotes the part that is neither. */
  static parse(text: string): Networks {
    const networks = new Networks(text);
    for (const part of text.split(',').map((item) => item.trim())) {
      if (part !== '') networks.#add(part);
    }
    return networks;
  }

  /** Contains no address. */
  static readonly none = Networks.parse('');

  /** `address` is an IPv4 or IPv6 address, IPv4-mapped ones folded (`canonicalAddress`). */
  contains(address: string): boolean {
    return this.#list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }

  #add(part: string): void {
    const [address = '', prefix, ...more] = part.split('/');
    const version = isIP(address);
    const maxBits = version === 6 ? 128 : 32;
    const bits = prefix === undefined ? maxBits : /^[0-9]{1,3}$/.test(prefix) ? Number(prefix) : Infinity;
    if (version === 0 || bits > maxBits || more.length > 0) {
      throw new Error(`expected networks such as 10.0.0.0/16 or 2001:db8::/32, got ${JSON.stringify(part)}`);
    }
    this.#list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
  }
}
