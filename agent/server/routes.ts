/** The one table of API routes: dispatch, parameter checks and openapi.json are made from it. */

import { type StoreReader, timeKinds } from '../store/rows.ts';
import type { Backend, ProfileFormat, QueryMethod, SettingValues } from './backend.ts';
import { HttpError } from './http-error.ts';
import type { ParameterSpecs, ParameterValues } from './parameters.ts';

/** What a handler answers; the status is 200. */
export interface Reply {
  readonly contentType: string;
  readonly body: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RouteRequest<P extends ParameterSpecs> {
  /** Values of {placeholders} of the path, decoded. */
  readonly path: Readonly<Record<string, string>>;
  readonly parameters: ParameterValues<P>;
  /** Parsed JSON of a POST, an object; empty where no body came. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Route<P extends ParameterSpecs = ParameterSpecs> {
  readonly method: 'GET' | 'POST';
  /** Under /api/v1; {name} stands for one segment. */
  readonly path: string;
  readonly summary: string;
  readonly parameters: P;
  /** Name of the answer's type in api.ts, with [] for a list of it. */
  readonly result: string;
  /** Further content types that it may answer with. */
  readonly formats?: readonly string[];
  /** Whether a POST takes {settings}. */
  readonly takesSettings?: boolean;
  handle(backend: Backend, request: RouteRequest<P>): Promise<Reply>;
}

/** Keeps the type of the parameters for the handler. */
function route<const P extends ParameterSpecs>(definition: Route<P>): Route {
  return definition as unknown as Route;
}

const range = {
  from: { kind: 'time', default: 'now-15m', help: 'start of the range: Unix milliseconds, now-15m or RFC 3339' },
  to: { kind: 'time', default: 'now', help: 'end of the range, not included' },
} as const;

const filter = {
  kind: 'text',
  maxLength: 4096,
  default: '',
  help: 'key op "value" terms, such as service="gateway" duration>1ms',
} as const;

const jsonType = 'application/json; charset=utf-8';

function json(value: unknown): Reply {
  return { contentType: jsonType, body: JSON.stringify(value) };
}

async function query<M extends QueryMethod>(backend: Backend, method: M, ...args: Parameters<StoreReader[M]>): Promise<Reply> {
  return { contentType: jsonType, body: await backend.query.json(method, args) };
}

const profileFiles: Readonly<Record<ProfileFormat, { contentType: string; suffix: string }>> = {
  pprof: { contentType: 'application/octet-stream', suffix: 'pb.gz' },
  folded: { contentType: 'text/plain; charset=utf-8', suffix: 'folded' },
  speedscope: { contentType: jsonType, suffix: 'speedscope.json' },
  otlp: { contentType: 'application/x-protobuf', suffix: 'otlp' },
};

/** Throws an HttpError 404 with the known names. */
async function knownSource(backend: Backend, name: string): Promise<string> {
  const names = (await backend.sources()).map(source => source.name);
  if (names.includes(name)) return name;
  throw new HttpError(404, `there is no source "${name.slice(0, 60)}"`, `use one of ${names.join(', ')}`);
}

/** The body's `settings`. Throws an HttpError 400 for anything but numbers, texts and lists of texts. */
function settingsOf(body: Readonly<Record<string, unknown>>): SettingValues {
  const { settings = {}, ...rest } = body;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw new HttpError(400, `unknown field "${unknown.slice(0, 60)}" in the body`, 'send {"settings": {...}}');
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new HttpError(400, '"settings" is not an object', 'send {"settings": {"key": value}}');
  }
  for (const [key, value] of Object.entries(settings)) {
    const isList = Array.isArray(value) && value.every(item => typeof item === 'string');
    if (typeof value !== 'number' && typeof value !== 'string' && !isList) {
      throw new HttpError(
        400,
        `setting "${key.slice(0, 60)}" is no number, text or list of texts`,
        'see settingSpecs of GET /api/v1/sources',
      );
    }
  }
  return settings as SettingValues;
}

export const routes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/status',
    summary: "The agent's own cost, loss, store and exporters",
    parameters: {},
    result: 'StatusResponse',
    handle: async backend => json(await backend.status()),
  }),
  route({
    method: 'GET',
    path: '/sources',
    summary: 'Every source with its state, settings, hooks and cost',
    parameters: {},
    result: 'SourceState[]',
    handle: async backend => json(await backend.sources()),
  }),
  route({
    method: 'POST',
    path: '/sources/{name}/start',
    summary: 'Start a source',
    parameters: {},
    result: 'SourceState',
    takesSettings: true,
    handle: async (backend, { path, body }) => {
      const settings = settingsOf(body);
      return json(await backend.startSource(await knownSource(backend, path.name!), settings));
    },
  }),
  route({
    method: 'POST',
    path: '/sources/{name}/stop',
    summary: 'Stop a source and unload its programs',
    parameters: {},
    result: 'SourceState',
    handle: async (backend, { path }) => json(await backend.stopSource(await knownSource(backend, path.name!))),
  }),
  route({
    method: 'POST',
    path: '/sources/{name}/settings',
    summary: 'Change settings of a source without a restart',
    parameters: {},
    result: 'SourceState',
    takesSettings: true,
    handle: async (backend, { path, body }) => {
      const settings = settingsOf(body);
      return json(await backend.setSettings(await knownSource(backend, path.name!), settings));
    },
  }),
  route({
    method: 'GET',
    path: '/probes/complete',
    summary: 'Functions that a probe target could mean',
    parameters: { target: { kind: 'text', maxLength: 512, default: '', help: 'the start of a target or a glob: kernel:vfs_*' } },
    result: 'TargetCompletion[]',
    handle: async (backend, { parameters }) => json(await backend.completeTargets(parameters.target)),
  }),
  route({
    method: 'GET',
    path: '/series',
    summary: 'A profile type or metric over time',
    parameters: {
      name: { kind: 'text', maxLength: 128, help: "a profile type such as cpu, or a metric's name" },
      ...range,
      filter,
      groupBy: { kind: 'text', maxLength: 64, default: '', help: 'a key of the filter to draw one line per value of' },
      points: { kind: 'integer', min: 1, max: 5000, default: 300, help: 'wanted number of points' },
    },
    result: 'SeriesResult',
    handle: (backend, { parameters: { from, to, ...rest } }) => query(backend, 'series', { ...rest, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/profile',
    summary: 'Samples of a range merged into a call tree, or as a file for other tools',
    parameters: {
      type: { kind: 'text', maxLength: 64, default: 'cpu', help: 'profile type' },
      ...range,
      filter,
      minShare: { kind: 'number', min: 0, max: 1, default: 0, help: 'nodes below this share of the total are merged' },
      without: { kind: 'text', maxLength: 128, default: '', help: 'kinds of time to leave out: idle,lock' },
      format: {
        kind: 'choice',
        choices: ['json', 'pprof', 'folded', 'speedscope', 'otlp'],
        default: 'json',
        help: 'what to answer with',
      },
    },
    result: 'ProfileResult',
    formats: ['application/octet-stream', 'text/plain'],
    handle: async (backend, { parameters: { from, to, format, without, ...rest } }) => {
      const kinds = without.split(',').filter(kind => kind !== '');
      const profileQuery = { ...rest, without: kinds, fromMs: from, toMs: to };
      if (format === 'json') return query(backend, 'profile', profileQuery);
      const { contentType, suffix } = profileFiles[format];
      // The type is the caller's text: only what is safe in a header goes into the file's name.
      const fileName = `hotspan-${rest.type.replace(/[^\w-]/g, '_')}-${from}-${to}.${suffix}`;
      const body = await backend.profileFile(format, profileQuery);
      return { contentType, body, headers: { 'Content-Disposition': `attachment; filename="${fileName}"` } };
    },
  }),
  route({
    method: 'GET',
    path: '/threads',
    summary: 'What each thread did over time: on CPU, runnable, blocked by cause',
    parameters: {
      ...range,
      filter,
      points: { kind: 'integer', min: 1, max: 1000, default: 300, help: 'wanted number of steps of time' },
      limit: { kind: 'integer', min: 1, max: 1000, default: 100, help: 'threads at most, the first in this order' },
      order: {
        kind: 'choice',
        choices: ['active', 'process', ...timeKinds],
        default: 'active',
        help: 'what to sort by: activity, activity by process, or a kind of time',
      },
    },
    result: 'ThreadsResult',
    handle: (backend, { parameters: { from, to, ...rest } }) => query(backend, 'threads', { ...rest, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/spans',
    summary: 'Spans of a range, page by page',
    parameters: {
      ...range,
      filter,
      order: { kind: 'choice', choices: ['start', 'duration'], default: 'start', help: 'what to sort by' },
      desc: { kind: 'switch', default: true, help: 'latest or slowest first' },
      limit: { kind: 'integer', min: 1, max: 1000, default: 100, help: 'spans per page' },
      cursor: { kind: 'text', maxLength: 512, default: '', help: '`next` of the page before' },
    },
    result: 'SpansResult',
    handle: (backend, { parameters: { from, to, desc, ...rest } }) =>
      query(backend, 'spans', { ...rest, isDescending: desc, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/spans/heatmap',
    summary: 'Spans counted by time and latency',
    parameters: {
      ...range,
      filter,
      columns: { kind: 'integer', min: 1, max: 1000, default: 120, help: 'steps of time' },
      rows: { kind: 'integer', min: 1, max: 200, default: 40, help: 'steps of latency' },
    },
    result: 'HeatmapResult',
    handle: (backend, { parameters: { from, to, ...rest } }) => query(backend, 'heatmap', { ...rest, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/traces/{id}',
    summary: 'All spans of a trace with their attributes and stacks',
    parameters: {},
    result: 'TraceResult',
    handle: async (backend, { path }) => {
      const id = path.id!.toLowerCase();
      if (!/^[0-9a-f]{32}$/.test(id)) throw new HttpError(400, 'a trace id has 32 hexadecimal digits', 'take it from a span');
      const reply = await query(backend, 'trace', id);
      if (reply.body.toString() === 'null')
        throw new HttpError(404, `there is no trace ${id}`, 'it may have been deleted by retention');
      return reply;
    },
  }),
  route({
    method: 'GET',
    path: '/services',
    summary: 'Services with their CPU time, span rates and latencies',
    parameters: { ...range, filter },
    result: 'ServiceRow[]',
    handle: (backend, { parameters: { from, to, filter } }) => query(backend, 'services', { filter, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/processes',
    summary: 'Processes that lived in the range',
    parameters: { ...range, filter },
    result: 'ProcessSummary[]',
    handle: (backend, { parameters: { from, to, filter } }) => query(backend, 'processes', { filter, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/values',
    summary: 'Values that a filter key has had, for completion',
    parameters: {
      key: { kind: 'text', maxLength: 128, help: 'a key of the filter' },
      prefix: { kind: 'text', maxLength: 256, default: '', help: 'what the values start with' },
      ...range,
    },
    result: 'string[]',
    handle: (backend, { parameters: { key, prefix, from, to } }) =>
      query(backend, 'values', key, prefix, { fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/operations',
    summary: 'Counts and latency histograms made in the kernel',
    parameters: range,
    result: 'OperationRow[]',
    handle: (backend, { parameters: { from, to } }) => query(backend, 'operations', { fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/distribution',
    summary: 'How long a kernel operation or a kind of wait took, over time',
    parameters: {
      ...range,
      source: { kind: 'text', maxLength: 256, default: '', help: 'sources, separated by commas; all without it' },
      prefix: { kind: 'text', maxLength: 128, default: '', help: 'what the names of the operations begin with' },
      operation: { kind: 'text', maxLength: 256, default: '', help: 'one of them; without it the one that took the most time' },
      columns: { kind: 'integer', min: 1, max: 1000, default: 150, help: 'steps of time at most' },
    },
    result: 'DistributionResult',
    handle: (backend, { parameters: { from, to, ...rest } }) =>
      query(backend, 'distribution', { ...rest, fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/ledger',
    summary: 'What was seen, stored and lost, by source and reason',
    parameters: range,
    result: 'LedgerResult',
    handle: (backend, { parameters: { from, to } }) => query(backend, 'ledger', { fromMs: from, toMs: to }),
  }),
  route({
    method: 'GET',
    path: '/doctor',
    summary: 'What works on this host, how hooks attach, and remedies',
    parameters: {},
    result: 'DoctorReport',
    handle: async backend => json(await backend.doctor()),
  }),
];

export const apiPrefix = '/api/v1';

export interface RouteMatch {
  readonly route: Route;
  readonly path: Readonly<Record<string, string>>;
}

/** The route of a path below the prefix. Throws an HttpError 404, or 405 where the path is known with another method. */
export function matchRoute(method: string, segments: readonly string[]): RouteMatch {
  const matches = routes.flatMap(candidate => {
    const path = matchPath(candidate.path.slice(1).split('/'), segments);
    return path === undefined ? [] : [{ route: candidate, path }];
  });
  if (matches.length === 0) throw new HttpError(404, 'there is no such route', `see ${apiPrefix}/openapi.json`);
  const wanted = method === 'HEAD' ? 'GET' : method;
  const match = matches.find(candidate => candidate.route.method === wanted);
  if (match !== undefined) return match;
  const allow = matches.map(candidate => candidate.route.method).join(', ');
  throw new HttpError(405, `${method.slice(0, 20)} is not for this route`, `use ${allow}`, { Allow: allow });
}

function matchPath(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const values: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index]!;
    if (part.startsWith('{')) values[part.slice(1, -1)] = segment;
    else if (part !== segment) return undefined;
  }
  return values;
}
