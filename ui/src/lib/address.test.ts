/** The state of the UI goes into the address and comes back from it. */

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { changeAddress, formatAddress, parseAddress } from './address.ts';

test('any value survives the address bar', () => {
  for (const value of ['service="a b" thread=~"w+.*"', 'a&b=c#d?e', '100%', 'ä→😀', 'line\nbreak', '1+1', 'now-15m']) {
    const text = formatAddress({ page: 'flame', params: { filter: value } });
    const url = new URL(text, 'http://localhost');
    deepEqual(parseAddress(url.pathname, url.search), { page: 'flame', params: { filter: value } }, value);
  }
});

test('readable where the standard allows it', () => {
  equal(
    formatAddress({ page: 'traces', params: { filter: 'service="a" duration>5ms' } }),
    '/traces?filter=service=%22a%22+duration>5ms',
  );
  equal(formatAddress({ page: 'overview', params: {} }), '/');
});

test('an unknown page is the Overview', () => {
  equal(parseAddress('/nothing/here', '').page, 'overview');
});

test('range, filter and theme go along to another page, the rest stays behind', () => {
  const from = { page: 'flame' as const, params: { from: 'now-1h', filter: 'x', zoom: '3.abc', search: 'y' } };
  deepEqual(changeAddress(from, { page: 'traces' }), { page: 'traces', params: { from: 'now-1h', filter: 'x' } });
  deepEqual(changeAddress(from, { params: { zoom: '', search: undefined, view: 'icicle' } }).params, {
    from: 'now-1h',
    filter: 'x',
    view: 'icicle',
  });
});
