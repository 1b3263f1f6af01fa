/** Every number that the UI shows goes through here: a value never stands without its unit, and a unit never wraps away from it. */

/** No-break space: keeps a number and its unit on one line. */
const gap = '\u00a0';

const second = 1e9;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Three significant digits, without an exponent, and without a decimal point that says nothing. */
function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95) return Math.round(value).toString();
  if (size >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}

/** "0 ns", "842 ns", "1.23 µs", "12.3 ms", "1.50 s", "2 min 03 s", "3 h 05 min", "2 d 4 h". */
export function formatDuration(ns: number): string {
  if (!Number.isFinite(ns)) return '–';
  if (ns < 0) return `-${formatDuration(-ns)}`;
  if (ns === 0) return `0${gap}ns`;
  if (ns < 999.5) return `${ns < 9.95 && !Number.isInteger(ns) ? ns.toFixed(1) : Math.round(ns)}${gap}ns`;
  if (ns < 999.5e3) return `${threeDigits(ns / 1e3)}${gap}µs`;
  if (ns < 999.5e6) return `${threeDigits(ns / 1e6)}${gap}ms`;
  if (ns < 59.95 * second) return `${threeDigits(ns / second)}${gap}s`;
  if (ns < hour - second / 2) return twoParts(Math.round(ns / second), 60, 'min', 's');
  if (ns < day - minute / 2) return twoParts(Math.round(ns / minute), 60, 'h', 'min');
  const hours = Math.round(ns / hour);
  return `${Math.floor(hours / 24)}${gap}d${gap}${hours % 24}${gap}h`;
}

/** A power of ten on an axis: "10 µs", "100 s"; no digits that say nothing. */
export function formatLatencyTick(ns: number): string {
  const [size, unit] = ns >= second ? [second, 's'] : ns >= 1e6 ? [1e6, 'ms'] : ns >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
  return `${Number((ns / size).toPrecision(3)).toLocaleString('en-US')}${gap}${unit}`;
}

function twoParts(total: number, base: number, large: string, small: string): string {
  const rest = (total % base).toString().padStart(2, '0');
  return `${Math.floor(total / base)}${gap}${large}${gap}${rest}${gap}${small}`;
}

/** "1,234,567": every digit, for ledgers and details. */
export function formatCount(count: number): string {
  if (!Number.isFinite(count)) return '–';
  return Math.round(count).toLocaleString('en-US');
}

/** "842", "1.23 k", "12.3 M": where the size matters and the digits do not. */
export function formatCompact(count: number): string {
  if (!Number.isFinite(count)) return '–';
  const size = Math.abs(count);
  if (size < 1000) return Number.isInteger(count) ? count.toString() : threeDigits(count).replace(/\.?0+$/, '');
  if (size < 999.5e3) return `${threeDigits(count / 1e3)}${gap}k`;
  if (size < 999.5e6) return `${threeDigits(count / 1e6)}${gap}M`;
  return `${threeDigits(count / 1e9)}${gap}G`;
}

/** "0/s", "0.20/s", "12.3/s", "1.23 k/s". */
export function formatRate(perSecond: number): string {
  if (perSecond > 0 && perSecond < 0.01) return `<0.01/s`;
  if (perSecond < 9.995 && !Number.isInteger(perSecond)) return `${perSecond.toFixed(2)}/s`;
  return `${formatCompact(Math.abs(perSecond) < 1000 && !Number.isInteger(perSecond) ? Number(perSecond.toFixed(1)) : perSecond)}/s`;
}

/** Decimal multiples, as disks and networks are sold: "0 B", "842 B", "1.23 kB", "64.0 MB". */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '–';
  const size = Math.abs(bytes);
  if (size < 999.5) return `${Math.round(bytes)}${gap}B`;
  if (size < 999.5e3) return `${threeDigits(bytes / 1e3)}${gap}kB`;
  if (size < 999.5e6) return `${threeDigits(bytes / 1e6)}${gap}MB`;
  if (size < 999.5e9) return `${threeDigits(bytes / 1e9)}${gap}GB`;
  return `${threeDigits(bytes / 1e12)}${gap}TB`;
}

/** A share of 0-1 as "0 %", "<0.01 %", "0.31 %", "12.4 %", "100 %". */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return '–';
  const percent = share * 100;
  if (percent === 0) return `0${gap}%`;
  if (percent < 0.01) return `<0.01${gap}%`;
  if (percent < 9.995) return `${percent.toFixed(2)}${gap}%`;
  if (percent < 99.95) return `${percent.toFixed(1)}${gap}%`;
  return `${Math.round(percent)}${gap}%`;
}

/** CPU use in cores: "0.35 cores". */
export function formatCores(cores: number): string {
  if (cores > 0 && cores < 0.005) return `<0.01${gap}cores`;
  return `${threeDigits(cores)}${gap}cores`;
}

/** The same under a title that names the unit: "0.35". */
export function formatCoreCount(cores: number): string {
  return cores > 0 && cores < 0.005 ? '<0.01' : threeDigits(cores);
}

/** On an axis, where round numbers need no decimals. */
export function formatRoundBytes(bytes: number): string {
  return formatBytes(bytes).replace(/\.0+(?=\s)/, '');
}

/** A point of a series in its unit: cores and threads stand in its title; "1.23 MB/s", "12 faults/s". */
export function formatIn(unit: string, value: number): string {
  if (unit === 'cores') return formatCoreCount(value);
  if (unit === 'threads') return value < 10 ? value.toFixed(2) : formatCompact(value);
  if (unit === 'bytes/s') return `${formatBytes(value)}/s`;
  return unit.endsWith('/s') ? `${formatCompact(Number(value.toPrecision(3)))}${gap}${unit}` : formatCompact(value);
}

/** A profile's value in the unit that the store gives it, or in the name of what was counted: "12 faults", "1 fault". */
export function formatValue(value: number, unit: string): string {
  if (unit === 'nanoseconds' || unit === 'ns') return formatDuration(value);
  if (unit === 'bytes') return formatBytes(value);
  if (unit === 'count' || unit === '') return formatCompact(value);
  return `${formatCompact(value)}${gap}${value === 1 ? unit.replace(/s$/, '') : unit}`;
}

/** A clause of the API as a sentence: "no such file" becomes "No such file." */
export function asSentence(text: string): string {
  if (text === '') return '';
  // A name at the start (a target, a path, a key) stays as it is.
  const sentence = /^[a-z]+(?=[\s,]|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?:]$/.test(sentence) ? sentence : `${sentence}.`;
}

const two = (value: number) => value.toString().padStart(2, '0');

/** "14:03:22" in the browser's time zone; digits is the number of decimals of the second. */
export function formatTime(unixMs: number, digits = 0): string {
  const at = new Date(unixMs);
  const base = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (digits === 0) return base;
  const fraction = (((unixMs % 1000) + 1000) % 1000) / 1000;
  // Cut, not rounded: 59.9996 s must not become 60.000 s.
  return base + (Math.floor(fraction * 10 ** digits) / 10 ** digits).toFixed(digits).slice(1);
}

/** "2026-11-23". */
export function formatDate(unixMs: number): string {
  const at = new Date(unixMs);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** "2026-11-23 14:03:22.123". */
export function formatDateTime(unixMs: number, digits = 3): string {
  return `${formatDate(unixMs)} ${formatTime(unixMs, digits)}`;
}

/** "now", "12 s ago", "in 3 h 05 min". */
export function formatRelative(unixMs: number, nowMs: number): string {
  const distanceMs = nowMs - unixMs;
  if (Math.abs(distanceMs) < 500) return 'now';
  const seconds = Math.round(Math.abs(distanceMs) / 1000);
  const text = seconds < 60 ? `${seconds}${gap}s` : formatDuration(seconds * 1e9);
  return distanceMs > 0 ? `${text} ago` : `in ${text}`;
}
