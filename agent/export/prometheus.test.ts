/** The text that a Prometheus server scrapes, by the rules of the exposition format. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prometheusText } from './prometheus.ts';

test('counters, gauges and histograms with their suffixes, labels escaped, buckets cumulated', () => {
  const text = prometheusText({
    startMs: 0,
    timeMs: 1,
    metrics: [
      {
        name: 'hotspan.events.lost',
        unit: '{event}',
        help: 'lost\nevents',
        type: 'counter',
        points: [{ labels: { reason: 'a"b\\c' }, value: 3 }],
      },
      { name: 'hotspan.agent.memory', unit: 'By', help: 'memory', type: 'gauge', points: [{ labels: {}, value: 1024 }] },
      {
        name: 'hotspan.function.duration',
        unit: 's',
        help: 'latency',
        type: 'histogram',
        bounds: [0.001, 0.01],
        points: [{ labels: { operation: 'open' }, value: { count: 6, sum: 0.5, counts: [1, 2, 3] } }],
      },
    ],
  });
  assert.equal(
    text,
    [
      '# HELP hotspan_events_lost_total lost\\nevents',
      '# TYPE hotspan_events_lost_total counter',
      'hotspan_events_lost_total{reason="a\\"b\\\\c"} 3',
      '# HELP hotspan_agent_memory_bytes memory',
      '# TYPE hotspan_agent_memory_bytes gauge',
      'hotspan_agent_memory_bytes 1024',
      '# HELP hotspan_function_duration_seconds latency',
      '# TYPE hotspan_function_duration_seconds histogram',
      'hotspan_function_duration_seconds_bucket{operation="open",le="0.001"} 1',
      'hotspan_function_duration_seconds_bucket{operation="open",le="0.01"} 3',
      'hotspan_function_duration_seconds_bucket{operation="open",le="+Inf"} 6',
      'hotspan_function_duration_seconds_sum{operation="open"} 0.5',
      'hotspan_function_duration_seconds_count{operation="open"} 6',
      '',
    ].join('\n'),
  );
});
