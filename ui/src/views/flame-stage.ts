/** The moving part of a flame graph: the view on its way to where it should be, the pointer, the keyboard's cursor. Paints outside of rendering. */

import { type FlameLayout, nodeAt, nodeByKey, nodeKey, rowOf } from '../lib/flame-layout.ts';
import type { FlameFunctions } from '../worker/flame-protocol.ts';
import { FlamePainter, type FlameScene, rowAt, rowPx } from './flame-painter.ts';

const zoomMs = 120;

export interface FlameGraphProps {
  layout: FlameLayout;
  functions: FlameFunctions;
  orientation: 'flame' | 'icicle';
  /** Key of the zoomed node, '' for all. */
  zoom: string;
  onZoom: (key: string) => void;
  matches?: Uint8Array | undefined;
  /** Node under the pointer or the keyboard's cursor; -1 for none. */
  onHover?: (node: number) => void;
  onMenu?: (node: number, x: number, y: number) => void;
  label: string;
  allLabel?: string;
  testId?: string;
  /** Receives commands of the keyboard; the parent binds the keys. */
  control?: { current: FlameControl | undefined };
}

export interface FlameControl {
  move: (direction: 'up' | 'down' | 'left' | 'right') => void;
  zoomTo: (node: number) => void;
  zoomToCursor: () => void;
  zoomOut: () => void;
  menu: () => void;
}

interface View {
  from: number;
  to: number;
  topRow: number;
}

export class FlameStage implements FlameControl {
  props!: FlameGraphProps;
  zoomed = 0;
  private readonly painter = new FlamePainter();
  private scroller: HTMLDivElement | null = null;
  private canvas: HTMLCanvasElement | null = null;
  private overlay: HTMLCanvasElement | null = null;
  private scene: FlameScene | undefined;
  private view: View | undefined;
  private animation = 0;
  private hovered = -1;
  private cursor = -1;
  /** Where the pointer rests, so that what is under it is told anew when the picture under it changes. */
  private pointer: { x: number; y: number } | undefined;
  private isNewData = false;
  private lastLayout: FlameLayout | undefined;
  private lastNames: readonly string[] = [];
  private lastZoom = '';

  attach(scroller: HTMLDivElement | null, canvas: HTMLCanvasElement | null, overlay: HTMLCanvasElement | null): void {
    this.scroller = scroller;
    this.canvas = canvas;
    this.overlay = overlay;
  }

  /** Moves the view to the zoomed node: with a short animation when the user zoomed, at once when the data changed. */
  aim(): void {
    const { layout, functions, zoom } = this.props;
    const target = this.targetView();
    const isSameData = this.lastLayout === layout;
    if (!isSameData) {
      this.hovered = -1;
      this.isNewData = true;
      // The keyboard's cursor stays with its function, wherever that is drawn now.
      const key = this.lastLayout !== undefined && this.cursor > 0 ? nodeKey(this.lastLayout, this.lastNames, this.cursor) : '';
      this.cursor = key === '' ? -1 : nodeByKey(layout, functions.name, key) || -1;
    }
    const animates = isSameData && zoom !== this.lastZoom && this.view !== undefined && !prefersStill();
    this.lastLayout = layout;
    this.lastNames = functions.name;
    this.lastZoom = zoom;
    this.stop();
    if (animates && this.view !== undefined) this.animate(this.view, target);
    else this.view = target;
  }

  private targetView(): View {
    const { layout } = this.props;
    const from = layout.start[this.zoomed] ?? 0;
    return { from, to: from + (layout.total[this.zoomed] ?? 0), topRow: rowOf(layout, this.zoomed) };
  }

  private animate(from: View, to: View): void {
    const startMs = performance.now();
    const step = () => {
      const t = Math.min(1, (performance.now() - startMs) / zoomMs);
      const eased = 1 - (1 - t) ** 3;
      const between = (a: number, b: number) => a + (b - a) * eased;
      this.view =
        t === 1
          ? to
          : { from: between(from.from, to.from), to: between(from.to, to.to), topRow: between(from.topRow, to.topRow) };
      this.paint();
      this.animation = t === 1 ? 0 : requestAnimationFrame(step);
    };
    this.animation = requestAnimationFrame(step);
  }

  stop(): void {
    cancelAnimationFrame(this.animation);
    this.animation = 0;
  }

  setScene(widthPx: number, heightPx: number, contentPx: number, shownTheme: FlameScene['theme']): void {
    if (widthPx === 0 || heightPx === 0) return;
    const { layout, functions, orientation, matches } = this.props;
    const pixelRatio = window.devicePixelRatio;
    const base = { layout, functions, orientation, matches, theme: shownTheme, widthPx, heightPx, contentPx, pixelRatio };
    this.scene = { ...base, from: 0, to: 0, topRow: 0, scrollPx: 0, allLabel: this.props.allLabel ?? 'all' };
    this.paint();
    if (this.isNewData) this.pointAgain();
  }

  private pointAgain(): void {
    this.isNewData = false;
    this.hovered = this.pointer === undefined ? -1 : this.hit(this.pointer.x, this.pointer.y);
    this.paintOverlay();
    this.props.onHover?.(this.hovered >= 0 ? this.hovered : this.cursor);
  }

  paint(): void {
    const { scene, view, canvas, scroller } = this;
    if (scene === undefined || view === undefined || canvas === null || scroller === null) return;
    scene.from = view.from;
    scene.to = view.to;
    scene.topRow = view.topRow;
    scene.scrollPx = Math.min(scroller.scrollTop, Math.max(0, scene.contentPx - scene.heightPx));
    this.painter.paint(canvas, scene);
    this.paintOverlay();
  }

  private paintOverlay(): void {
    if (this.scene === undefined || this.overlay === null) return;
    const node = this.hovered >= 0 ? this.hovered : this.cursor;
    const fn = node >= 0 ? (this.scene.layout.fn[node] ?? -1) : -1;
    this.painter.paintOutlines(this.overlay, this.scene, { fn, node: this.hovered, cursor: this.cursor });
  }

  private hit(x: number, y: number): number {
    const { scene } = this;
    if (scene === undefined || x < 0 || x >= scene.widthPx) return -1;
    const row = rowAt(scene, y);
    if (row < scene.topRow) return -1;
    return nodeAt(scene.layout, row, scene.from + ((scene.to - scene.from) * x) / scene.widthPx);
  }

  /** Negative places are outside. */
  point(x: number, y: number): void {
    this.pointer = x < 0 ? undefined : { x, y };
    const node = this.hit(x, y);
    if (node === this.hovered) return;
    this.hovered = node;
    if (this.overlay !== null) this.overlay.style.cursor = node >= 0 ? 'pointer' : 'default';
    this.paintOverlay();
    this.props.onHover?.(node >= 0 ? node : this.cursor);
  }

  click(x: number, y: number): void {
    const node = this.hit(x, y);
    if (node < 0) return;
    this.cursor = node;
    this.zoomTo(node === this.zoomed ? Math.max(0, this.props.layout.parent[node] ?? 0) : node);
  }

  menuAt(x: number, y: number, clientX: number, clientY: number): void {
    const node = this.hit(x, y);
    if (node > 0) this.props.onMenu?.(node, clientX, clientY);
  }

  menu(): void {
    if (this.cursor <= 0 || this.overlay === null) return;
    const box = this.overlay.getBoundingClientRect();
    this.props.onMenu?.(this.cursor, box.left + box.width / 2, box.top + box.height / 3);
  }

  zoomTo(node: number): void {
    this.props.onZoom(nodeKey(this.props.layout, this.props.functions.name, node));
  }

  zoomToCursor(): void {
    if (this.cursor >= 0) this.zoomTo(this.cursor);
  }

  zoomOut(): void {
    if (this.zoomed > 0) this.zoomTo(Math.max(0, this.props.layout.parent[this.zoomed] ?? 0));
  }

  move(direction: 'up' | 'down' | 'left' | 'right'): void {
    const { layout } = this.props;
    const towardsRoot = this.props.orientation === 'flame' ? 'down' : 'up';
    if (this.cursor < 0) this.cursor = this.zoomed;
    else if (direction === 'left' || direction === 'right')
      this.cursor = sibling(layout, this.cursor, direction === 'left' ? -1 : 1);
    else if (direction === towardsRoot) this.cursor = Math.max(this.zoomed, layout.parent[this.cursor] ?? 0);
    else this.cursor = widestChild(layout, this.cursor);
    this.reveal(this.cursor);
    this.paintOverlay();
    this.props.onHover?.(this.cursor);
  }

  /** Scrolls the cursor's row into sight. */
  private reveal(node: number): void {
    const { scene, scroller } = this;
    if (scene === undefined || scroller === null) return;
    const below = (rowOf(scene.layout, node) - scene.topRow) * rowPx;
    const top = scene.orientation === 'icicle' ? below : scene.contentPx - below - rowPx;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + rowPx > scroller.scrollTop + scene.heightPx) scroller.scrollTop = top + rowPx - scene.heightPx;
  }
}

function sibling(layout: FlameLayout, node: number, step: number): number {
  const parent = layout.parent[node] ?? -1;
  if (parent < 0) return node;
  const next = node + step;
  return next >= layout.childFrom[parent]! && next < layout.childFrom[parent + 1]! ? next : node;
}

function widestChild(layout: FlameLayout, node: number): number {
  let widest = node;
  let best = 0;
  for (let child = layout.childFrom[node]!; child < layout.childFrom[node + 1]!; child += 1) {
    if (layout.total[child]! > best) {
      best = layout.total[child]!;
      widest = child;
    }
  }
  return widest;
}

function prefersStill(): boolean {
  return window.matchMedia('(prefers-reduced-motion: reduce)').matches;
}
