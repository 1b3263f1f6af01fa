/** Durations and sizes as people write them: "10s", "500us", "2GiB". */

const nanosecondsOf: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
  d: 86400e9,
};

const bytesOf: Readonly<Record<string, number>> = {
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

function parseWithUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zµ]+)$/.exec(text.trim());
  const factor = match === null ? undefined : units[match[2]!];
  return factor === undefined ? undefined : Math.round(Number(match![1]) * factor);
}

/** Nanoseconds, or undefined where the text is no duration. A number without a unit is none: nobody could tell its unit. */
export function parseDurationNs(text: string): number | undefined {
  return parseWithUnit(text, nanosecondsOf);
}

/** Bytes, or undefined where the text is no size. KiB, MiB, GiB, TiB are powers of two, KB, MB, GB, TB of ten. */
export function parseSizeBytes(text: string): number | undefined {
  return parseWithUnit(text.toLowerCase(), bytesOf);
}

/** How many nanoseconds one of `unit` has ("ms": 1e6), or undefined for an unknown unit. */
export function nanosecondsPer(unit: string): number | undefined {
  return nanosecondsOf[unit];
}

/** The largest unit that needs no more than three digits before the point: "1.5 ms", "7 d". */
export function formatDuration(ns: number): string {
  for (const unit of ['d', 'h', 'm', 's', 'ms', 'us'] as const) {
    const factor = nanosecondsOf[unit]!;
    if (Math.abs(ns) >= factor) return `${trimmed(ns / factor)} ${unit}`;
  }
  return `${trimmed(ns)} ns`;
}

export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (Math.abs(bytes) >= factor) return `${trimmed(bytes / factor)} ${unit}`;
  }
  return `${trimmed(bytes)} B`;
}

/** Three significant digits, without trailing zeros, never in exponent form. */
function trimmed(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}
