import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Schema, typeSchemas } from './type-schema.ts';

test('fields, options, lists, records, literals and inheritance are read as declared', () => {
  const schemas = typeSchemas(['SpanDetail', 'SettingSpec', 'ApiError', 'SeriesResult']);
  assert.deepEqual(schemas.ApiError, {
    title: 'ApiError',
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: { message: { type: 'string' }, remedy: { type: 'string' } },
        required: ['message', 'remedy'],
      },
    },
    required: ['error'],
  });
  const setting = schemas.SettingSpec as { properties: Record<string, Schema>; required: string[] };
  assert.deepEqual(setting.properties.kind, { enum: ['number', 'duration', 'text', 'list'] });
  assert.deepEqual(setting.properties.default, {
    anyOf: [{ type: 'number' }, { type: 'string' }, { type: 'array', items: { type: 'string' } }],
  });
  assert.ok(setting.required.includes('default') && !setting.required.includes('min'));
  const detail = schemas.SpanDetail as { allOf: Schema[] };
  assert.deepEqual(detail.allOf[0], { $ref: '#/components/schemas/SpanSummary' });
  const summary = schemas.SpanSummary as { properties: Record<string, Schema> };
  assert.deepEqual(summary.properties.attributes, {
    type: 'object',
    additionalProperties: { $ref: '#/components/schemas/AttributeValue' },
  });
  assert.match(String(summary.properties.startMs?.description), /Unix milliseconds/);
  const series = schemas.SeriesResult as { allOf: [Schema, { properties: Record<string, Schema> }] };
  const groups = series.allOf[1].properties.groups as { items: { properties: Record<string, Schema> } };
  assert.deepEqual(groups.items.properties.values, { type: 'array', items: { anyOf: [{ type: 'number' }, { type: 'null' }] } });
});

test('what is declared nowhere, or cannot be JSON, is refused', () => {
  assert.throws(() => typeSchemas(['Nowhere']), /type Nowhere is declared neither/);
  assert.throws(() => typeSchemas(['ProcessRow']), /"bigint" is no type that JSON can hold/);
  assert.throws(() => typeSchemas(['StoreReader']), /is a method/);
});
