/**
 * Colours with fixed meanings, after the palette of Okabe and Ito that colour-blind eyes can tell apart. The pure hue stands in legends
 * and lines; frames are filled with it mixed into the surface, so that a screen full of them stays quiet and their text legible.
 */

import type { FrameKind } from '../../../agent/server/api.ts';

export type Theme = 'dark' | 'light';
export type Rgb = readonly [number, number, number];

/** The synthetic root that holds all. */
export type ShownKind = FrameKind | 'all';

export const kindTitles: Readonly<Record<FrameKind, string>> = {
  kernel: 'kernel',
  native: 'native',
  go: 'Go',
  rust: 'Rust',
  v8js: 'JavaScript',
  jvm: 'JVM',
  cpython: 'Python',
  unresolved: 'unresolved',
  'on-cpu': 'on CPU',
  runnable: 'runnable',
  lock: 'lock',
  disk: 'disk',
  network: 'network',
  idle: 'idle',
  'page-fault': 'page fault',
  waiting: 'other wait',
};

/** What a thread does in each kind of time. */
export const kindMeanings: Readonly<Partial<Record<FrameKind, string>>> = {
  'on-cpu': 'it ran',
  runnable: 'it could run, and waited for a CPU',
  lock: 'it waited for a lock that another one held, its own or the kernel’s',
  disk: 'it waited for a block device or a file system',
  network: 'it waited to receive or to send',
  idle: 'it waited for work: poll, epoll, accept, sleep',
  'page-fault': 'it waited for a page of memory',
  waiting: 'it waited for a condition, a pipe, a child process, or what is not known',
};

export const frameKinds = Object.keys(kindTitles) as FrameKind[];

const hues: Readonly<Record<ShownKind, Rgb>> = {
  kernel: [230, 159, 0],
  native: [86, 180, 233],
  go: [0, 158, 115],
  v8js: [240, 228, 66],
  jvm: [213, 94, 0],
  cpython: [0, 114, 178],
  rust: [204, 121, 167],
  unresolved: [140, 140, 140],
  // Kinds of time, after Paul Tol's muted scheme, which keeps apart from the colours of code for colour-blind eyes too.
  'on-cpu': [68, 170, 153],
  runnable: [221, 204, 119],
  lock: [204, 102, 119],
  disk: [170, 68, 153],
  network: [136, 204, 238],
  idle: [187, 187, 187],
  'page-fault': [153, 153, 51],
  waiting: [136, 34, 85],
  all: [128, 128, 128],
};

/** Vermillion: what went wrong, everywhere. */
export const errorHue: Rgb = [213, 94, 0];

const surfaces: Readonly<Record<Theme, Rgb>> = { dark: [21, 23, 27], light: [255, 255, 255] };
const inks: Readonly<Record<Theme, Rgb>> = { dark: [240, 242, 245], light: [20, 22, 26] };

/** How much of the hue is in a frame's fill; functions differ a little around it so that neighbours can be told apart. */
const strength: Readonly<Record<Theme, number>> = { dark: 0.5, light: 0.46 };
/** Kinds whose hue would be too bright or too loud at full strength. */
const fillShares: Readonly<Partial<Record<ShownKind, number>>> = {
  all: 0.55,
  unresolved: 0.55,
  v8js: 0.7,
  runnable: 0.8,
  network: 0.85,
  idle: 0.6,
};
const shades = 5;
const shadeStep = 0.035;

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const channel = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * share);
  return [channel(0), channel(1), channel(2)];
}

export function cssColor(color: Rgb, alpha = 1): string {
  return alpha === 1 ? `rgb(${color.join(' ')})` : `rgb(${color.join(' ')} / ${alpha})`;
}

export function kindHue(kind: ShownKind): Rgb {
  return hues[kind];
}

/** Which of a kind's shades a function has; by its name, so that it has the same one in every picture. */
export function shadeOf(nameHash: number): number {
  return (Math.imul(nameHash, 2654435761) >>> 16) % shades;
}

export function frameFill(kind: ShownKind, shade: number, theme: Theme): Rgb {
  const share = strength[theme] * (fillShares[kind] ?? 1);
  return mix(surfaces[theme], hues[kind], share + (shade - (shades - 1) / 2) * shadeStep);
}

/** For areas that hold no text: stronger than frames, quieter than the hue itself. */
export function areaFill(kind: ShownKind, theme: Theme): Rgb {
  return mix(surfaces[theme], hues[kind], 0.75);
}

export function frameInk(theme: Theme): Rgb {
  return inks[theme];
}

export function surfaceOf(theme: Theme): Rgb {
  return surfaces[theme];
}

/** WCAG 2.2 contrast ratio of two colours, 1-21. */
export function contrast(a: Rgb, b: Rgb): number {
  const [bright, dim] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (bright + 0.05) / (dim + 0.05);
}

function luminance(color: Rgb): number {
  const linear = (channel: number) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
}

/** Colours for services and other open sets, in a fixed order by name. Not used where a frame kind could be meant. */
const seriesHues: readonly Rgb[] = [
  [86, 180, 233],
  [230, 159, 0],
  [0, 158, 115],
  [204, 121, 167],
  [0, 114, 178],
  [240, 228, 66],
  [213, 94, 0],
  [128, 128, 128],
];

export function seriesHue(index: number): Rgb {
  return seriesHues[index % seriesHues.length] ?? errorHue;
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A service keeps its colour in every view. */
export function serviceHue(service: string): Rgb {
  return seriesHue(hashText(service) % (seriesHues.length - 1));
}
