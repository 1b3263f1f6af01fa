/** Paints a laid-out flame graph on a 2D canvas. Holds what one picture has in common with the next: colours, letter widths, rectangles. */

import { type FlameLayout, type FlameRects, newRects, visibleRects } from '../lib/flame-layout.ts';
import { cssColor, frameFill, frameInk, hashText, mix, type Rgb, shadeOf, surfaceOf, type Theme } from '../lib/frame-kind.ts';
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

/** Colours by function as pixels, made once per profile and theme. The last entry is for the root that holds all. */
interface FunctionStyles {
  functions: FlameFunctions;
  theme: Theme;
  fill: Uint32Array;
  dim: Uint32Array;
  small: Uint32Array;
}

export class FlamePainter {
  readonly rects: FlameRects = newRects();
  private styles: FunctionStyles | undefined;
  private measure: MeasureText | undefined;
  /** One line of pixels for every row in sight. */
  private strip: OffscreenCanvas | undefined;

  paint(canvas: HTMLCanvasElement, scene: FlameScene): void {
    const context = fitCanvas(canvas, scene);
    if (context === null) return;
    this.styleFor(scene);
    context.font = font;
    this.measure ??= cachedMeasure(text => context.measureText(text).width);
    const { firstRow, lastRow } = rowsInSight(scene);
    visibleRects(scene.layout, { from: scene.from, to: scene.to, widthPx: scene.widthPx, firstRow, lastRow }, this.rects);
    this.paintBoxes(context, scene, firstRow, lastRow);
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

  /**
   * Every row is a line of pixels, stretched to the row's height: thousands of narrow frames cost a write each, where a call of
   * fillRect for each took ten times as long.
   */
  private paintBoxes(context: CanvasRenderingContext2D, scene: FlameScene, firstRow: number, lastRow: number): void {
    const width = Math.max(1, Math.round(scene.widthPx * scene.pixelRatio));
    const rows = Math.min(lastRow, scene.layout.rows - 1) - firstRow + 1;
    if (rows <= 0) return;
    const strip = this.stripOf(width, rows);
    const stripContext = strip.getContext('2d', { willReadFrequently: true });
    if (stripContext === null) return;
    const image = stripContext.createImageData(width, rows);
    this.writePixels(new Uint32Array(image.data.buffer), scene, { width, firstRow });
    stripContext.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    for (let row = 0; row < rows; row += 1) {
      context.drawImage(strip, 0, row, width, 1, 0, rowY(scene, firstRow + row), width / scene.pixelRatio, rowPx - 1);
    }
  }

  private writePixels(pixels: Uint32Array, scene: FlameScene, place: { width: number; firstRow: number }): void {
    const { rects } = this;
    const { width, firstRow } = place;
    const ratio = scene.pixelRatio;
    const separator = Math.round(ratio);
    for (let i = 0; i < rects.length; i += 1) {
      // Whole device pixels: edges are crisp, and a frame never vanishes between two of them.
      const left = Math.max(0, Math.round(rects.x[i]! * ratio));
      const end = Math.round((rects.x[i]! + rects.width[i]!) * ratio);
      const right = Math.min(width, Math.max(left + 1, end - left > 3 * separator ? end - separator : end));
      const line = (rects.row[i]! - firstRow) * width;
      const color = this.pixelOf(scene, rects.node[i]!);
      for (let x = line + left; x < line + right; x += 1) pixels[x] = color;
    }
  }

  private stripOf(width: number, rows: number): OffscreenCanvas {
    const { strip } = this;
    if (strip !== undefined && strip.width === width && strip.height >= rows) return strip;
    this.strip = new OffscreenCanvas(width, rows);
    return this.strip;
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

  private pixelOf(scene: FlameScene, node: number): number {
    const { styles } = this;
    if (styles === undefined) return 0;
    const isSmall = node < 0;
    const fn = scene.layout.fn[isSmall ? -1 - node : node] ?? -1;
    const at = fn < 0 ? styles.fill.length - 1 : fn;
    if (isSmall) return styles.small[at]!;
    return scene.matches === undefined || scene.matches[fn] === 1 ? styles.fill[at]! : styles.dim[at]!;
  }

  private styleFor(scene: FlameScene): void {
    const { functions, theme } = scene;
    if (this.styles?.functions === functions && this.styles.theme === theme) return;
    const surface = surfaceOf(theme);
    const count = functions.name.length;
    const styles = {
      functions,
      theme,
      fill: new Uint32Array(count + 1),
      dim: new Uint32Array(count + 1),
      small: new Uint32Array(count + 1),
    };
    for (let fn = 0; fn <= count; fn += 1) {
      const kind = fn === count ? 'all' : (functions.kind[fn] ?? 'unresolved');
      const fill = frameFill(kind, fn === count ? 2 : shadeOf(hashText(functions.name[fn] ?? '')), theme);
      styles.fill[fn] = pixel(fill);
      styles.dim[fn] = pixel(mix(surface, fill, 0.3));
      styles.small[fn] = pixel(mix(surface, fill, 0.6));
    }
    this.styles = styles;
  }
}

/** As a little-endian word of the bytes red, green, blue, alpha: what ImageData holds on every machine that runs a browser. */
function pixel(color: Rgb): number {
  return ((255 << 24) | (color[2] << 16) | (color[1] << 8) | color[0]) >>> 0;
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
