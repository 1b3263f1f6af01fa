/** openapi.json, made from the route table. */

import type { ParameterSpec } from './parameters.ts';
import { apiPrefix, type Route, routes } from './routes.ts';
import { typeSchemas } from './type-schema.ts';

type Json = Readonly<Record<string, unknown>>;

function parameterSchema(spec: ParameterSpec): Json {
  switch (spec.kind) {
    case 'time':
      return { type: 'string', default: spec.default, examples: ['now', 'now-15m', '1790000000000', '2026-01-31T12:00:00Z'] };
    case 'integer':
    case 'number':
      return { type: spec.kind, minimum: spec.min, maximum: spec.max, default: spec.default };
    case 'text':
      return { type: 'string', maxLength: spec.maxLength, ...(spec.default === undefined ? {} : { default: spec.default }) };
    case 'choice':
      return { type: 'string', enum: spec.choices, default: spec.default };
    case 'switch':
      return { type: 'boolean', default: spec.default };
  }
}

function isRequired(spec: ParameterSpec): boolean {
  return spec.kind === 'text' && spec.default === undefined;
}

function resultSchema(result: string): Json {
  const name = result.replace(/\[\]$/, '');
  const item = name === 'string' ? { type: 'string' } : { $ref: `#/components/schemas/${name}` };
  return result.endsWith('[]') ? { type: 'array', items: item } : item;
}

function parametersOf(route: Route): Json[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(route.parameters).map(([name, spec]) => ({
    name,
    in: 'query',
    required: isRequired(spec),
    description: spec.help,
    schema: parameterSchema(spec),
  }));
  return [...inPath, ...inQuery];
}

const settingsBody: Json = {
  required: false,
  content: {
    'application/json': {
      schema: {
        type: 'object',
        additionalProperties: false,
        properties: {
          settings: { type: 'object', additionalProperties: { type: ['number', 'string', 'array'], items: { type: 'string' } } },
        },
      },
    },
  },
};

function operation(route: Route): Json {
  const files = (route.formats ?? []).map(type => [type, { schema: { type: 'string' } }]);
  const error = {
    description: 'What went wrong and what to do',
    content: { 'application/json': { schema: { $ref: '#/components/schemas/ApiError' } } },
  };
  return {
    summary: route.summary,
    operationId: `${route.method.toLowerCase()}${route.path.replace(/[{}]/g, '').replace(/\/(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
    parameters: parametersOf(route),
    ...(route.takesSettings ? { requestBody: settingsBody } : {}),
    responses: {
      '200': {
        description: route.result,
        content: { 'application/json': { schema: resultSchema(route.result) }, ...Object.fromEntries(files) },
      },
      default: error,
    },
  };
}

/** OpenAPI 3.1. Schemas of results are those of their types in api.ts. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = `${apiPrefix}${route.path}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  const names = new Set(routes.map(route => route.result.replace(/\[\]$/, '')).filter(name => name !== 'string'));
  return {
    openapi: '3.1.0',
    info: { title: 'hotspan', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      schemas: typeSchemas([...names, 'ApiError', 'LiveMessage']),
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}
