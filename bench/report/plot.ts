/** A bar for each server, with the range of its runs, as SVG. Pure. */
import type { Spread } from './figures.ts';

export type Bar = {
  readonly label: string;
  readonly isOwn: boolean;
  readonly isLimit: boolean;
  readonly spread: Spread;
};

export type Panel = { readonly title: string; readonly bars: readonly Bar[] };

const width = 900;
const labelWidth = 150;
const valueWidth = 110;
const barHeight = 18;
const gap = 6;
const titleHeight = 26;
const panelGap = 14;

/** All panels below each other; each has its own scale, from zero. */
export function plotOf(heading: string, panels: readonly Panel[], format: (value: number) => string): string {
  const parts: string[] = [];
  let top = 34;
  for (const { title, bars } of panels) {
    parts.push(`<text class="title" x="10" y="${top + 15}">${escaped(title)}</text>`);
    top += titleHeight;
    const most = Math.max(...bars.map(({ spread }) => spread.max));
    const scale = (value: number): number =>
      most === 0 ? 0 : (value / most) * (width - labelWidth - valueWidth - 20);
    for (const { label, isOwn, isLimit, spread } of bars) {
      const middle = top + barHeight / 2;
      const [from, to] = [labelWidth + scale(spread.min), labelWidth + scale(spread.max)];
      parts.push(
        `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${isOwn ? 'own' : isLimit ? 'limit' : 'peer'}" x="${labelWidth}" y="${top}" width="${scale(spread.median).toFixed(1)}" height="${barHeight}"/>`,
        `<path class="range" d="M${from.toFixed(1)} ${middle}H${to.toFixed(1)}M${from.toFixed(1)} ${middle - 5}v10M${to.toFixed(1)} ${middle - 5}v10"/>`,
        `<text x="${(to + 8).toFixed(1)}" y="${middle + 4}">${escaped(format(spread.median))}</text>`,
      );
      top += barHeight + gap;
    }
    top += panelGap;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" font-family="sans-serif" font-size="13">
<style>
rect.own{fill:#0b6e4f}rect.peer{fill:#7a8ba0}rect.limit{fill:#d5dbe2}
.range{stroke:#222;stroke-width:1.2;fill:none}.title{font-weight:bold}.heading{font-size:16px;font-weight:bold}
</style>
<rect width="${width}" height="${top}" fill="#fff"/>
<text class="heading" x="10" y="22">${escaped(heading)}</text>
${parts.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
