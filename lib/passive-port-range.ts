/** The one property operators change to move, widen or narrow the passive ports. Everything else follows from it. */

/** An inclusive range of TCP ports. `of` and `parse` throw a message that states what to change. */
export class PassivePortRange {
  readonly first: number;
  readonly last: number;

  private constructor(first: number, last: number) {
    this.first = first;
    this.last = last;
  }

  /** @throws when a bound is not a port, or the bounds are in the wrong order. */
  static of(first: number, last: number): PassivePortRange {
    for (const port of [first, last]) {
      if (!Number.isInteger(port) || port < 1 || port > 65_535) {
        throw new Error(
          `A passive port is a whole number from 1 to 65535, got ${port}. Give a range such as 50000-50007.`,
        );
      }
    }
    if (first > last) {
      throw new Error(
        `The passive range ${first}-${last} ends before it begins. Write the lower port first: ${last}-${first}.`,
      );
    }
    return new PassivePortRange(first, last);
  }

  /** @throws when the text is not `first-last` or a single port. */
  static parse(text: string): PassivePortRange {
    const match = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/.exec(text);
    if (match?.[1] === undefined) {
      throw new Error(`The passive range ${JSON.stringify(text)} is invalid. Write it as 50000-50007.`);
    }
    return PassivePortRange.of(Number(match[1]), Number(match[2] ?? match[1]));
  }

  get size(): number {
    return this.last - this.first + 1;
  }

  get ports(): readonly number[] {
    return Array.from({ length: this.size }, (_, index) => this.first + index);
  }

  contains(port: number): boolean {
    return port >= this.first && port <= this.last;
  }

  /** The format of `PASSIVE_PORTS`, the command line and the outputs. */
  toString(): string {
    return `${this.first}-${this.last}`;
  }
}
