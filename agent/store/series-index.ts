/** The reader's side of series: what a series id stands for, looked up once and remembered for a moment. */

import type Database from 'better-sqlite3';
import { GenerationMap } from '../lib/generation-map.ts';
import type { SeriesInfo, SeriesTest } from './entity-filter.ts';

/** A process may change its name by exec, so what is remembered is looked up again after this. */
const freshMs = 3000;

const unknown: SeriesInfo = {
  processId: 0,
  service: '[unknown]',
  process: '',
  pid: 0,
  tid: 0,
  thread: '',
  container: '',
  executable: '',
};

export class SeriesIndex {
  private readonly select: Database.Statement;
  private readonly known = new GenerationMap<number, SeriesInfo>(50_000);
  private knownSinceMs = 0;

  constructor(database: Database.Database) {
    this.select = database.prepare(
      `SELECT process.id AS processId, service, comm AS process, pid, tid, thread, container_id AS container, executable
       FROM series JOIN process ON process.id = series.process WHERE series.id = ?`,
    );
  }

  get(id: number): SeriesInfo {
    let info = this.known.get(id);
    if (info === undefined) {
      info = (this.select.get(id) as SeriesInfo | undefined) ?? unknown;
      this.known.set(id, info);
    }
    return info;
  }

  /** Call before a query. */
  refresh(nowMs: number): void {
    if (nowMs - this.knownSinceMs < freshMs && nowMs >= this.knownSinceMs) return;
    this.known.clear();
    this.knownSinceMs = nowMs;
  }

  /** A test by id that asks the filter once per series. */
  tester(test: SeriesTest): (id: number) => boolean {
    const answers = new Map<number, boolean>();
    return id => {
      let answer = answers.get(id);
      if (answer === undefined) {
        answer = test(this.get(id));
        answers.set(id, answer);
      }
      return answer;
    };
  }
}
