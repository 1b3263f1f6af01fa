/** Paints a laid-out flame graph on a 2D canvas. Holds what one picture has in common with the next: colours, letter widths, rectangles. */

import { type FlameLayout, type FlameRects, newRects, visibleRects } from '../lib/flame-layout.ts';
import {
  cssColor,
  frameFill,
  frameInk,
  hashText,
  mix,
  type ShownKind,
  shadeOf,
  surfaceOf,
  type Theme,
} from '../lib/frame-kind.ts';
import { fitName } from '../lib/frame-name.ts';
import { cachedMeasure, type MeasureText } from '../lib/text-measure.ts';
import type { FlameFunctions } from '../worker/flame-protocol.ts';

export const rowPx = 20;
const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, sans-serif';
const font = `12px ${fontFamily}`;
const guessFont = `italic 12px ${fontFamily}`;
const labelPadPx = 5;
/** Narrower frames have no room for three letters and an ellipsis. */
const labelFromPx = 30;

export interface FlameScene {
  layout: FlameLayout;
  functions: FlameFunctions;
  theme: Theme;
  /** Root at the bottom, or at the top. */
  orientation: 'flame' | 'icicle';
  /** Values in sight. */
  from: number;
  to: number;
  /** Row at the root's edge, with a fraction while it moves. */
  topRow: number;
  /** First pixel in sight of the content, from its top. */
  scrollPx: number;
  contentPx: number;
  widthPx: number;
  heightPx: number;
  pixelRatio: number;
  /** By function: 1 for what the search found; undefined without a search. */
  matches: Uint8Array | undefined;
  allLabel: string;
}

/** Colours and labels by function, made once per profile and theme. */
interface FunctionStyles {
  functions: FlameFunctions;
  theme: Theme;
  fill: string[];
  dim: string[];
  small: string[];
}

export class FlamePainter {
  readonly rects: FlameRects = newRects();
  private styles: FunctionStyles | undefined;
  private measure: MeasureText | undefined;
  private all = { fill: '', dim: '', small: '' };

  paint(canvas: HTMLCanvasElement, scene: FlameScene): void {
    const context = fitCanvas(canvas, scene);
    if (context === null) return;
    this.styleFor(scene);
    context.font = font;
    this.measure ??= cachedMeasure(text => context.measureText(text).width);
    const view = { from: scene.from, to: scene.to, widthPx: scene.widthPx, ...rowsInSight(scene) };
    visibleRects(scene.layout, view, this.rects);
    this.paintBoxes(context, scene);
    this.paintLabels(context, scene);
  }

  /** Outlines of every frame in sight of a function, and of the one under the pointer more strongly. */
  paintOutlines(canvas: HTMLCanvasElement, scene: FlameScene, marked: { fn: number; node: number; cursor: number }): void {
    const context = fitCanvas(canvas, scene);
    if (context === null) return;
    const { rects } = this;
    context.strokeStyle = cssColor(frameInk(scene.theme));
    for (let i = 0; i < rects.length; i += 1) {
      const node = rects.node[i]!;
      if (node < 0) continue;
      const isStrong = node === marked.node || node === marked.cursor;
      if (!isStrong && (marked.fn < 0 || scene.layout.fn[node] !== marked.fn)) continue;
      const x = Math.max(rects.x[i]!, -2);
      const right = Math.min(rects.x[i]! + rects.width[i]!, scene.widthPx + 2);
      context.lineWidth = isStrong ? 2 : 1;
      context.globalAlpha = isStrong ? 1 : 0.75;
      const inset = context.lineWidth / 2;
      context.strokeRect(
        x + inset,
        rowY(scene, rects.row[i]!) + inset,
        Math.max(right - x - 1 - 2 * inset, 1),
        rowPx - 1 - 2 * inset,
      );
    }
    context.globalAlpha = 1;
  }

  private paintBoxes(context: CanvasRenderingContext2D, scene: FlameScene): void {
    const { rects } = this;
    const ratio = scene.pixelRatio;
    let style = '';
    for (let i = 0; i < rects.length; i += 1) {
      const wanted = this.styleOf(scene, rects.node[i]!);
      if (wanted !== style) {
        style = wanted;
        context.fillStyle = wanted;
      }
      // Whole device pixels: edges are crisp, and a frame never vanishes between two of them.
      const left = Math.round(Math.max(rects.x[i]!, -4) * ratio);
      let right = Math.round(Math.min(rects.x[i]! + rects.width[i]!, scene.widthPx + 4) * ratio);
      if (right - left > 3 * ratio) right -= Math.round(ratio);
      context.fillRect(left / ratio, rowY(scene, rects.row[i]!), Math.max(right - left, 1) / ratio, rowPx - 1);
    }
  }

  private paintLabels(context: CanvasRenderingContext2D, scene: FlameScene): void {
    const { rects, measure } = this;
    if (measure === undefined) return;
    const { fn } = scene.layout;
    const { name, isGuess } = scene.functions;
    const ink = cssColor(frameInk(scene.theme));
    context.textBaseline = 'middle';
    context.fillStyle = ink;
    for (let i = 0; i < rects.length; i += 1) {
      const node = rects.node[i]!;
      if (node < 0 || rects.width[i]! < labelFromPx) continue;
      const left = Math.max(rects.x[i]!, 0);
      const right = Math.min(rects.x[i]! + rects.width[i]!, scene.widthPx);
      if (right - left < labelFromPx) continue;
      const f = fn[node]!;
      const isDim = scene.matches !== undefined && f >= 0 && scene.matches[f] !== 1;
      const label = fitName(f < 0 ? scene.allLabel : (name[f] ?? ''), right - left - 2 * labelPadPx, measure);
      const y = rowY(scene, rects.row[i]!) + rowPx / 2;
      let x = left + labelPadPx;
      const guessed = f >= 0 && isGuess[f] === true;
      if (guessed) context.font = guessFont;
      if (label.scope !== '') {
        context.globalAlpha = isDim ? 0.35 : 0.62;
        context.fillText(label.scope, x, y);
        x += measure(label.scope);
      }
      context.globalAlpha = isDim ? 0.5 : 1;
      context.fillText(label.base, x, y);
      if (guessed) context.font = font;
    }
    context.globalAlpha = 1;
  }

  private styleOf(scene: FlameScene, node: number): string {
    const { styles, all } = this;
    const isSmall = node < 0;
    const f = scene.layout.fn[isSmall ? -1 - node : node] ?? -1;
    if (f < 0 || styles === undefined) return isSmall ? all.small : scene.matches === undefined ? all.fill : all.dim;
    if (isSmall) return styles.small[f]!;
    return scene.matches === undefined || scene.matches[f] === 1 ? styles.fill[f]! : styles.dim[f]!;
  }

  private styleFor(scene: FlameScene): void {
    const { functions, theme } = scene;
    if (this.styles?.functions === functions && this.styles.theme === theme) return;
    const surface = surfaceOf(theme);
    const cache = new Map<string, { fill: string; dim: string; small: string }>();
    const styleOf = (kind: ShownKind, shade: number) => {
      const key = `${kind}${shade}`;
      const known = cache.get(key);
      if (known !== undefined) return known;
      const fill = frameFill(kind, shade, theme);
      const style = { fill: cssColor(fill), dim: cssColor(mix(surface, fill, 0.3)), small: cssColor(mix(surface, fill, 0.6)) };
      cache.set(key, style);
      return style;
    };
    const all = functions.name.map((name, i) => styleOf(functions.kind[i] ?? 'unresolved', shadeOf(hashText(name))));
    this.all = styleOf('all', 2);
    this.styles = { functions, theme, fill: all.map(s => s.fill), dim: all.map(s => s.dim), small: all.map(s => s.small) };
  }
}

export function rowY(scene: FlameScene, row: number): number {
  const below = (row - scene.topRow) * rowPx;
  return scene.orientation === 'icicle' ? below - scene.scrollPx : scene.contentPx - below - rowPx - scene.scrollPx;
}

/** The row at a height over the canvas's top. */
export function rowAt(scene: FlameScene, y: number): number {
  const at = y + scene.scrollPx;
  const below = scene.orientation === 'icicle' ? at / rowPx : (scene.contentPx - at) / rowPx;
  return Math.floor(below + scene.topRow);
}

function rowsInSight(scene: FlameScene): { firstRow: number; lastRow: number } {
  const edges = [rowAt(scene, 0), rowAt(scene, scene.heightPx)];
  return { firstRow: Math.max(0, Math.ceil(scene.topRow), Math.min(...edges)), lastRow: Math.max(...edges) };
}

/** Sizes the canvas in device pixels when needed, and clears it. */
export function fitCanvas(
  canvas: HTMLCanvasElement,
  size: { widthPx: number; heightPx: number; pixelRatio: number },
): CanvasRenderingContext2D | null {
  const width = Math.max(1, Math.round(size.widthPx * size.pixelRatio));
  const height = Math.max(1, Math.round(size.heightPx * size.pixelRatio));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.width = `${size.widthPx}px`;
    canvas.style.height = `${size.heightPx}px`;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(size.pixelRatio, 0, 0, size.pixelRatio, 0, 0);
  context?.clearRect(0, 0, size.widthPx, size.heightPx);
  return context;
}
