/** The SVG shapes of the picture, independent of dashboards. */

/** A place and a size in pixels. */
export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** The style of a text. */
export interface Ink {
  size: number;
  color?: string;
  bold?: boolean;
  anchor?: 'start' | 'middle' | 'end';
}

/** A common font, and the approximate width of its letters at size 1, to cut texts to fit. */
const font = 'DejaVu Sans, Verdana, Segoe UI, Helvetica, Arial, sans-serif';
const letter = { plain: 0.6, bold: 0.68 };

const round = (value: number): number => Math.round(value * 10) / 10;

/** Text that is safe inside an SVG. */
export function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** The approximate width of a text in pixels. */
export function widthOf(text: string, ink: Ink): number {
  return text.length * ink.size * (ink.bold === true ? letter.bold : letter.plain);
}

/** A text cut to a width, with an ellipsis if cut. */
export function cut(text: string, width: number, ink: Ink): string {
  const room = Math.floor(width / (ink.size * (ink.bold === true ? letter.bold : letter.plain)));
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 1)).trimEnd()}…`;
}

/** One line of text, with its baseline at `y`. */
export function text(x: number, y: number, what: string, ink: Ink): string {
  const weight = ink.bold === true ? ' font-weight="bold"' : '';
  const anchor = ink.anchor === undefined || ink.anchor === 'start' ? '' : ` text-anchor="${ink.anchor}"`;
  return `<text x="${round(x)}" y="${round(y)}" font-size="${ink.size}" fill="${ink.color ?? '#24292f'}"${weight}${anchor}>${escaped(what)}</text>`;
}

/** A text broken into lines of at most `width` pixels, at spaces. */
export function wrapped(what: string, width: number, ink: Ink): string[] {
  const lines: string[] = [];
  for (const word of what.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`, ink) <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

/** A filled rectangle. */
export function rect(box: Box, fill: string, stroke = 'none', radius = 0): string {
  const corner = radius === 0 ? '' : ` rx="${radius}"`;
  return `<rect x="${round(box.x)}" y="${round(box.y)}" width="${round(box.w)}" height="${round(box.h)}" fill="${fill}" stroke="${stroke}"${corner}/>`;
}

/** A straight line. */
export function line(x1: number, y1: number, x2: number, y2: number, stroke: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${stroke}"/>`;
}

/** A path of points, filled below when `fill` is given. */
export function path(points: [number, number][], stroke: string, fill = 'none'): string {
  const d = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join('');
  return `<path d="${d}" fill="${fill}" stroke="${stroke}" stroke-width="1.5" stroke-linejoin="round"/>`;
}

/** The whole document. `title` is for screen readers. */
export function document(width: number, height: number, title: string, body: string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}" role="img">`,
    `<title>${escaped(title)}</title>`,
    rect({ x: 0, y: 0, w: width, h: height }, '#f6f8fa'),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}
