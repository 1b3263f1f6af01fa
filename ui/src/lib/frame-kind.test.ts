/** Colours: text on every frame is legible, and kinds can be told apart. */

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { contrast, cssColor, frameFill, frameInk, frameKinds, hashText, serviceHue, shadeOf, type Theme } from './frame-kind.ts';

test('text on every shade of every kind has the contrast that WCAG asks for (4.5) in both themes', () => {
  for (const theme of ['dark', 'light'] as Theme[]) {
    for (const kind of [...frameKinds, 'all' as const]) {
      for (let shade = 0; shade < 5; shade += 1) {
        const ratio = contrast(frameFill(kind, shade, theme), frameInk(theme));
        ok(ratio >= 4.5, `${theme} ${kind} ${shade}: ${ratio.toFixed(2)}`);
      }
    }
  }
});

test('no two kinds share a colour', () => {
  for (const theme of ['dark', 'light'] as Theme[]) {
    equal(new Set(frameKinds.map(kind => cssColor(frameFill(kind, 2, theme)))).size, frameKinds.length);
  }
});

test('a function and a service keep their colour', () => {
  const shades = new Set(Array.from({ length: 200 }, (_, i) => shadeOf(hashText(`function${i}`))));
  equal(shades.size, 5);
  equal(serviceHue('gateway'), serviceHue('gateway'));
});

test('contrast of black on white is 21', () => {
  equal(contrast([0, 0, 0], [255, 255, 255]).toFixed(1), '21.0');
});
