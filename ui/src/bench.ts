/**
 * Bench of the flame graph in a real browser: window.benchFlame(nodes) makes a profile of that many nodes, sends its JSON text through
 * the worker as a page would, and paints it. The first paint counts parsing, layout, transfer and painting; making the profile does not.
 */

import type { ProfileResult } from '../../agent/server/api.ts';
import { askWorker } from './state/use-profile.ts';
import { FlamePainter, type FlameScene, rowPx } from './views/flame-painter.ts';

export interface FlameBenchResult {
  nodes: number;
  rows: number;
  firstPaintMs: number;
  /** Median of painting the graph again at changing zooms, in script. */
  redrawMs: number;
  redrawMaxMs: number;
  jsonBytes: number;
}

declare global {
  interface Window {
    benchFlame: (nodes: number) => Promise<FlameBenchResult>;
  }
}

const redraws = 60;

window.benchFlame = async nodes => {
  const text = JSON.stringify(randomProfile(nodes));
  const canvas = document.createElement('canvas');
  document.getElementById('bench')?.replaceChildren(canvas);
  const startMs = performance.now();
  const picture = await askWorker({ url: '', text, isRefresh: false, focus: '', hidden: [], foldedKinds: [], pivot: '' });
  const { layout, head } = picture;
  const painter = new FlamePainter();
  const total = layout.total[0] ?? 0;
  const scene: FlameScene = {
    layout,
    functions: head.functions,
    theme: 'dark',
    orientation: 'icicle',
    from: 0,
    to: total,
    topRow: 0,
    scrollPx: 0,
    contentPx: layout.rows * rowPx,
    widthPx: 1440,
    heightPx: 800,
    pixelRatio: window.devicePixelRatio,
    matches: undefined,
    allLabel: 'all',
  };
  painter.paint(canvas, scene);
  await nextFrame();
  const firstPaintMs = performance.now() - startMs;
  const times: number[] = [];
  for (let i = 0; i < redraws; i += 1) {
    // From everything to a hundredth of it, so that wide and deep pictures are among them.
    const width = total * 0.01 ** (i / redraws);
    const from = (total - width) * (i / redraws);
    const beforeMs = performance.now();
    painter.paint(canvas, { ...scene, from, to: from + width });
    times.push(performance.now() - beforeMs);
    await nextFrame();
  }
  times.sort((a, b) => a - b);
  return {
    nodes: layout.count,
    rows: layout.rows,
    firstPaintMs,
    redrawMs: times[redraws >> 1] ?? 0,
    redrawMaxMs: times[redraws - 1] ?? 0,
    jsonBytes: text.length,
  };
};

/** Resolves after the next picture has been shown. */
function nextFrame(): Promise<void> {
  return new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 0)));
}

/** A tree with the shape of real profiles: a few wide paths, many narrow ones, stacks of up to 64 frames. The same each time. */
function randomProfile(nodes: number): ProfileResult {
  const random = generator(7);
  const names = Array.from({ length: 20_000 }, (_, i) => `namespace${i % 211}::Class${i % 1013}::function_${i}`);
  const parent: number[] = [];
  const fn: number[] = [];
  const self: number[] = [];
  const depth = new Uint8Array(nodes);
  for (let i = 0; i < nodes; i += 1) {
    // The nearer to the last nodes, the deeper: as when stacks are inserted one after another.
    const up = i < 8 ? -1 : Math.floor(i - 1 - random() ** 3 * Math.min(i - 1, 50_000));
    const isTooDeep = up >= 0 && (depth[up] ?? 0) >= 62;
    parent.push(isTooDeep ? Math.floor(random() * 8) : up);
    depth[i] = (parent[i] ?? -1) < 0 ? 0 : (depth[parent[i] ?? 0] ?? 0) + 1;
    fn.push(Math.floor(random() * names.length));
    self.push(Math.round(1e6 / (1e-3 + random())));
  }
  const kinds = ['native', 'kernel', 'go', 'v8js'] as const;
  const functions: ProfileResult['functions'] = {
    name: names,
    module: names.map(() => '/usr/bin/program'),
    kind: names.map((_, i) => kinds[i % kinds.length] ?? 'native'),
    file: names.map(() => ''),
    line: names.map(() => 0),
    isGuess: names.map(() => false),
  };
  const base = {
    type: 'cpu',
    unit: 'nanoseconds',
    total: 0,
    samples: nodes,
    withheld: 0,
    incomplete: {},
    lost: 0,
    fromMs: 0,
    toMs: 1,
  };
  return { ...base, parent, fn, self, functions };
}

/** Mulberry32: small, fast, and the same numbers every time. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
