/** Answers all queries on the store from a read-only connection. Each query sees one moment of the file. */

import type Database from 'better-sqlite3';
import { openForReading } from './database.ts';
import { DistributionReader } from './distribution-query.ts';
import { EntityReader } from './entity-query.ts';
import { type FullProfile, FullProfileReader } from './full-profile.ts';
import { JsonWriter } from './json-writer.ts';
import { LedgerReader } from './ledger-query.ts';
import { type ProfileColumns, ProfileReader } from './profile-query.ts';
import type {
  DistributionQuery,
  DistributionResult,
  HeatmapResult,
  LedgerResult,
  OperationRow,
  ProcessSummary,
  ProfileQuery,
  ProfileResult,
  SeriesQuery,
  SeriesResult,
  ServiceRow,
  SpansQuery,
  SpansResult,
  StoreReader,
  ThreadsQuery,
  ThreadsResult,
  TimeRange,
  TraceResult,
} from './rows.ts';
import { SeriesIndex } from './series-index.ts';
import { SeriesReader } from './series-query.ts';
import { SpanReader } from './span-query.ts';
import { SpanScan } from './span-scan.ts';
import { StackTrie } from './stack-trie.ts';
import { asStoreError, QueryError } from './store-error.ts';
import { ThreadReader } from './thread-query.ts';

/** Opens an existing store for queries. Throws a StoreError. */
export function openStoreReader(path: string): SqliteStoreReader {
  return new SqliteStoreReader(path);
}

export class SqliteStoreReader implements StoreReader {
  private readonly path: string;
  private readonly database: Database.Database;
  private readonly seriesIndex: SeriesIndex;
  private readonly stacks: StackTrie;
  private readonly profiles: ProfileReader;
  private readonly fullProfiles: FullProfileReader;
  private readonly seriesReader: SeriesReader;
  private readonly threadReader: ThreadReader;
  private readonly spanReader: SpanReader;
  private readonly entities: EntityReader;
  private readonly ledgerReader: LedgerReader;
  private readonly distributions: DistributionReader;

  constructor(path: string) {
    this.path = path;
    this.database = openForReading(path);
    this.seriesIndex = new SeriesIndex(this.database);
    this.stacks = new StackTrie(this.database);
    const { stacks } = this;
    const scan = new SpanScan(this.database, this.seriesIndex);
    this.profiles = new ProfileReader(this.database, this.seriesIndex, stacks);
    this.fullProfiles = new FullProfileReader(this.database, this.profiles, this.seriesIndex);
    this.seriesReader = new SeriesReader(this.database, { series: this.seriesIndex, scan, stacks });
    this.threadReader = new ThreadReader(this.database, this.seriesIndex, stacks);
    this.spanReader = new SpanReader(this.database, { scan, series: this.seriesIndex, stacks });
    this.entities = new EntityReader(this.database, { series: this.seriesIndex, scan, stacks });
    this.ledgerReader = new LedgerReader(this.database);
    this.distributions = new DistributionReader(this.database);
  }

  profile(query: ProfileQuery): ProfileResult {
    const columns = this.ask(() => this.profiles.profile(checkRange(query)));
    const { functions, waits, ...rest } = columns;
    return {
      ...rest,
      parent: Array.from(columns.parent),
      fn: Array.from(columns.fn),
      self: Array.from(columns.self),
      ...(waits === undefined ? {} : { waits: Array.from(waits) }),
      functions: {
        name: functions.map(info => info.name),
        module: functions.map(info => info.module),
        kind: functions.map(info => info.kind),
        file: functions.map(info => info.file),
        line: functions.map(info => info.line),
        isGuess: functions.map(info => info.isGuess),
      },
    };
  }

  /** The profile with its addresses and threads, for exports. Nothing is pruned: minShare does not matter. */
  fullProfile(query: ProfileQuery): FullProfile {
    return this.ask(() => this.fullProfiles.profile(checkRange(query)));
  }

  /** Reads stacks and names ahead of the first query. */
  warm(): void {
    this.ask(() => this.stacks.load());
  }

  /** What JSON.stringify(profile(query)) gives, in a fraction of its time. */
  profileJson(query: ProfileQuery): Buffer {
    return profileToJson(this.ask(() => this.profiles.profile(checkRange(query))));
  }

  series(query: SeriesQuery): SeriesResult {
    return this.ask(() => this.seriesReader.query(checkRange(query)));
  }

  threads(query: ThreadsQuery): ThreadsResult {
    return this.ask(() => this.threadReader.query(checkRange(query)));
  }

  spans(query: SpansQuery): SpansResult {
    return this.ask(() => this.spanReader.spans(checkRange(query)));
  }

  heatmap(query: TimeRange & { filter: string; columns: number; rows: number }): HeatmapResult {
    return this.ask(() => this.spanReader.heatmap(checkRange(query)));
  }

  trace(traceId: string): TraceResult | undefined {
    return this.ask(() => this.spanReader.trace(traceId));
  }

  services(query: TimeRange & { filter: string }): ServiceRow[] {
    return this.ask(() => this.entities.services(checkRange(query)));
  }

  processes(query: TimeRange & { filter: string }): ProcessSummary[] {
    return this.ask(() => this.entities.processes(checkRange(query)));
  }

  ledger(range: TimeRange): LedgerResult {
    return this.ask(() => this.ledgerReader.ledger(checkRange(range)));
  }

  values(key: string, prefix: string, range: TimeRange): string[] {
    return this.ask(() => this.entities.values(key, prefix, checkRange(range)));
  }

  operations(range: TimeRange): OperationRow[] {
    return this.ask(() => this.ledgerReader.operations(checkRange(range)));
  }

  distribution(query: DistributionQuery): DistributionResult {
    return this.ask(() => this.distributions.query(checkRange(query)));
  }

  extent(): { oldestMs: number; newestMs: number; bytes: number; tables: Record<string, number> } {
    return this.ask(() => this.ledgerReader.extent());
  }

  close(): void {
    this.database.close();
  }

  /** Runs a query within one read transaction, so that all its statements see the same commit. */
  private ask<T>(query: () => T): T {
    try {
      this.seriesIndex.refresh(Date.now());
      return this.database.transaction(query)();
    } catch (error) {
      if (error instanceof QueryError) throw error;
      throw asStoreError('query', this.path, error);
    }
  }
}

/** Times of a query must be numbers in order; a range of no length is empty, not wrong. */
function checkRange<T extends TimeRange>(query: T): T {
  const { fromMs, toMs } = query;
  if (!(Math.abs(fromMs) < 8.64e15 && Math.abs(toMs) < 8.64e15))
    throw new QueryError('the range is not given in milliseconds', 'give from and to as numbers');
  if (toMs < fromMs) throw new QueryError('the range ends before it begins', 'give a `to` after `from`');
  return query;
}

function profileToJson({ parent, fn, self, waits, functions, ...rest }: ProfileColumns): Buffer {
  const out = new JsonWriter(parent.length * 20 + functions.length * 100 + 1024);
  const head = JSON.stringify(rest);
  out.raw(head.slice(0, -1));
  out.raw(',"parent":').integers(parent);
  out.raw(',"fn":').integers(fn);
  out.raw(',"self":').integers(self);
  if (waits !== undefined) out.raw(',"waits":').integers(waits);
  out.raw(',"functions":{"name":').value(functions.map(info => info.name));
  out.raw(',"module":').value(functions.map(info => info.module));
  out.raw(',"kind":').value(functions.map(info => info.kind));
  out.raw(',"file":').value(functions.map(info => info.file));
  out.raw(',"line":').integers(functions.map(info => info.line));
  out.raw(',"isGuess":').value(functions.map(info => info.isGuess));
  return out.raw('}}').take();
}
