/** Series, ticks, attributes, settings, operations and balances: small rules with sharp edges. */

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceRow } from '../../../agent/server/api.ts';
import { attributeUnit, groupAttributes, shortKey, tellingAttributes } from './attribute-groups.ts';
import { groupHooks } from './hook-groups.ts';
import { balanceParts, storeFullMs } from './ledger-balance.ts';
import { percentile, sumOperations } from './operation-sums.ts';
import { chartData, orderGroups, sumAt } from './series.ts';
import { type ServiceOrder, serviceOrders, sortServices } from './service-order.ts';
import { parseSetting, settingText } from './setting-value.ts';
import { lossOf } from './source-loss.ts';
import { cachedMeasure } from './text-measure.ts';
import { lengthTicks, timeTicks } from './time-ticks.ts';

test('stacked series keep gaps where nothing was measured', () => {
  const groups = [
    { label: 'a', values: [1, null, null] },
    { label: 'b', values: [2, 3, null] },
  ];
  const data = chartData({ name: 'x', unit: '', stepMs: 1000, fromMs: 1500, toMs: 4000, groups }, true);
  deepEqual(data.times, [1, 2, 3]);
  deepEqual(data.drawn, [
    [1, 0, null],
    [3, 3, null],
  ]);
  deepEqual(
    [0, 1, 2].map(i => sumAt(data, i)),
    [3, 3, null],
  );
  deepEqual(chartData({ name: 'x', unit: '', stepMs: 1000, fromMs: 0, toMs: 1, groups: [] }, true).times, []);
});

test('ticks are round and few', () => {
  deepEqual(lengthTicks(1000, 5), [0, 200, 400, 600, 800, 1000]);
  deepEqual(lengthTicks(0, 5), [0]);
  const ticks = timeTicks(1_700_000_000_123, 1_700_000_060_000, 6);
  ok(ticks.length <= 6 && ticks.length >= 3);
  ok(ticks.every(at => at % 10_000 === 0));
});

test('attributes by convention, the rest last', () => {
  const groups = groupAttributes({ 'file.path': '/x', zzz: 1, 'thread.id': 2, 'url.path': '/', 'http.request.method': 'GET' });
  deepEqual(
    groups.map(group => [group.title, group.entries.map(entry => entry.key)]),
    [
      ['HTTP', ['http.request.method', 'url.path']],
      ['File', ['file.path']],
      ['Process', ['thread.id']],
      ['Other', ['zzz']],
    ],
  );
  deepEqual(
    tellingAttributes({ 'hotspan.call.result': 3, 'file.size': 1, 'hotspan.device': '254:0', 'file.path': '/x' }).map(
      ([key]) => key,
    ),
    ['file.path', 'file.size', 'hotspan.device', 'hotspan.call.result'],
  );
  deepEqual(['process.exit.code', 'hotspan.file.inode', 'file.path', 'fd'].map(shortKey), ['exit.code', 'inode', 'path', 'fd']);
  deepEqual(['file.size', 'http.request.body.size', 'x.wait_ns', 'fd'].map(attributeUnit), [
    'bytes',
    'bytes',
    'nanoseconds',
    undefined,
  ]);
});

test('settings are checked against their specification', () => {
  const hz = { key: 'hz', kind: 'number', unit: 'Hz', help: '', default: 99, min: 1, max: 999 } as const;
  deepEqual(parseSetting(hz, ' 49 '), { value: 49 });
  for (const bad of ['', 'x', '0', '1000', 'Infinity']) ok('problem' in parseSetting(hz, bad), bad);
  const list = { key: 'targets', kind: 'list', unit: '', help: '', default: [] } as const;
  deepEqual(parseSetting(list, ' kernel:a\n\n kernel:b '), { value: ['kernel:a', 'kernel:b'] });
  equal(settingText(['a', 'b']), 'a\nb');
  const duration = { key: 'minimum', kind: 'duration', unit: 'ns', help: '', default: 0 } as const;
  deepEqual(parseSetting(duration, '5ms'), { value: '5ms' });
  deepEqual(parseSetting(duration, '500'), { value: 500 });
  ok('problem' in parseSetting(duration, '5 parsecs'));
});

test('operations are summed and percentiles lie inside their bucket', () => {
  const row = { source: 'file', operation: 'read', timeMs: 0, calls: 2, errors: 1, bytes: 3, totalNs: 4, buckets: [0, 2] };
  deepEqual(sumOperations([row, row]), [
    { source: 'file', operation: 'read', calls: 4, errors: 2, bytes: 6, totalNs: 8, buckets: [0, 4] },
  ]);
  const p50 = percentile([0, 0, 10, 0], 0.5);
  ok(p50 > 4 && p50 < 8);
  equal(percentile([], 0.5), 0);
  equal(percentile([0, 0, 0, 1], 1), 16);
});

test('what is unexplained is never too thin to be seen', () => {
  const line = { source: 'x', seen: 1e9, stored: 1e9 - 1, inFlight: 0, lost: [], unexplained: 1 };
  const parts = balanceParts(line);
  ok((parts.find(part => part.name === 'unexplained')?.share ?? 0) >= 0.02);
  deepEqual(balanceParts({ ...line, stored: 1e9, unexplained: 0 }), [{ name: 'stored', share: 1 }]);
  const lost = [
    { reason: 'below_min', count: 3, meaning: '' },
    { reason: 'buffer_full', count: 1, meaning: '' },
  ];
  deepEqual(balanceParts({ ...line, seen: 4, stored: 0, lost, unexplained: 0 }), [
    { name: 'left', share: 0.75 },
    { name: 'lost', share: 0.25 },
  ]);
});

test('the day on which the store is full', () => {
  const store = {
    path: '',
    bytes: 100,
    limitBytes: 1100,
    oldestMs: 0,
    growthBytesPerHour: 10,
    state: 'ok',
    message: '',
  } as const;
  equal(storeFullMs(store, 0), 100 * 3_600_000);
  equal(storeFullMs({ ...store, growthBytesPerHour: 0 }, 0), undefined);
});

test('only losses are losses', () => {
  equal(lossOf({ seen: 100, stored: 90, inFlight: 2, below_min: 5, buffer_full: 3, read_failed: 2, new_reason: 1 }), 6);
});

test('services stand by the column that was chosen, and live data does not make equal ones jump', () => {
  const service = (name: string, row: Partial<ServiceRow>): ServiceRow => ({
    service: name,
    processes: 1,
    cpuSeconds: 0,
    cpuSeries: [],
    timeSeries: [],
    spans: 0,
    errors: 0,
    calls: 0,
    p50Ns: 0,
    p99Ns: 0,
    ...row,
  });
  const rows = [
    service('b', { cpuSeconds: 1, spans: 10, errors: 5 }),
    service('a', { cpuSeconds: 1, spans: 10, errors: 1, p99Ns: 9 }),
    service('c', { cpuSeconds: 2, p50Ns: 5 }),
  ];
  const order = (by: ServiceOrder) =>
    sortServices(rows, by)
      .map(row => row.service)
      .join('');
  deepEqual(serviceOrders.map(order), ['cab', 'abc', 'cab', 'abc', 'bac', 'cab', 'acb']);
  equal(rows[0]?.service, 'b', 'what was given stays as it is');
});

test('letters are measured once, and a text is the sum of them', () => {
  let calls = 0;
  const measure = cachedMeasure(text => {
    calls += 1;
    return text.length * 7;
  });
  equal(measure('abab…'), 35);
  equal(measure('ba…'), 21);
  equal(calls, 3);
});

test('hooks attached alike are told once', () => {
  const refused = [{ way: 'fentry', reason: 'EPERM' }];
  const hooks = [
    { observes: 'opens', way: 'tracepoint', refused },
    { observes: 'ends', way: 'tracepoint', refused: [] },
    { observes: 'reads', way: 'tracepoint', refused },
  ];
  deepEqual(groupHooks(hooks), [
    { observes: ['opens', 'reads'], way: 'tracepoint', refused },
    { observes: ['ends'], way: 'tracepoint', refused: [] },
  ]);
});

test('groups keep their place whatever order they come in', () => {
  const group = (label: string) => ({ label, values: [1] });
  const result = {
    name: 'x',
    unit: '',
    stepMs: 1000,
    fromMs: 0,
    toMs: 1000,
    groups: [group('new'), group('system'), group('user')],
  };
  deepEqual(
    orderGroups(result, ['user', 'system']).groups.map(entry => entry.label),
    ['user', 'system', 'new'],
  );
});
