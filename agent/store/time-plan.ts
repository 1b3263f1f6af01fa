/** Which rows hold a range: minutes where there are whole ones, seconds at the ends and for what is not rolled up yet. */

import type Database from 'better-sqlite3';
import { readMeta } from './rollup.ts';
import type { TimeRange } from './rows.ts';

export interface TimePiece {
  readonly isMinute: boolean;
  /** Half-open, in minutes or seconds. */
  readonly from: number;
  readonly to: number;
}

export interface TimePlan extends TimeRange {
  /** In rising order of time; fromMs and toMs are what they cover, which for old data is whole minutes. */
  readonly pieces: readonly TimePiece[];
}

export interface RollupMarks {
  /** Minutes before this are in the minute tables. */
  readonly rolledMinute: number;
  /** Seconds from this on, a full minute, are in the second tables. */
  readonly secondsFloor: number;
}

export function readMarks(database: Database.Database): RollupMarks {
  return { rolledMinute: readMeta(database, 'rolled_minute') ?? 0, secondsFloor: readMeta(database, 'seconds_floor') ?? 0 };
}

/** Marks under which seconds are read as long as they are kept, though their minutes are there: for steps shorter than a minute. */
export function bySeconds({ rolledMinute, secondsFloor }: RollupMarks): RollupMarks {
  return { rolledMinute: Math.min(rolledMinute, Math.ceil(secondsFloor / 60)), secondsFloor };
}

export function planTimes({ fromMs, toMs }: TimeRange, { rolledMinute, secondsFloor }: RollupMarks): TimePlan {
  let from = Math.floor(fromMs / 1000);
  let to = Math.ceil(toMs / 1000);
  if (from < secondsFloor) from = Math.floor(from / 60) * 60;
  if (to < secondsFloor) to = Math.ceil(to / 60) * 60;
  if (to <= from) return { pieces: [], fromMs: from * 1000, toMs: from * 1000 };
  const firstMinute = Math.ceil(from / 60);
  const endMinute = Math.min(Math.floor(to / 60), rolledMinute);
  const pieces: TimePiece[] =
    endMinute <= firstMinute
      ? [{ isMinute: false, from, to }]
      : [
          { isMinute: false, from, to: firstMinute * 60 },
          { isMinute: true, from: firstMinute, to: endMinute },
          { isMinute: false, from: endMinute * 60, to },
        ];
  return { pieces: pieces.filter(piece => piece.from < piece.to), fromMs: from * 1000, toMs: to * 1000 };
}
