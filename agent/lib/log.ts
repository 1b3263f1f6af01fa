/**
 * Log lines on stderr: fixed text, data in fields; text for a terminal, JSON elsewhere. The same text comes at most once a second,
 * with the number of those left out, so that nothing can fill a disk by failing often.
 */

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

export type LogFields = Readonly<Record<string, string | number | boolean>>;

export interface Log {
  debug(text: string, fields?: LogFields): void;
  info(text: string, fields?: LogFields): void;
  warning(text: string, fields?: LogFields): void;
  error(text: string, fields?: LogFields): void;
  /** What comes below this level from now on is left out. */
  setLevel(level: LogLevel): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'auto' | 'text' | 'json';
  /** Where lines go; stderr by default. */
  readonly write?: (line: string) => void;
  readonly isTerminal?: boolean;
  readonly nowMs?: () => number;
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warning', 'error'];

const repeatMs = 1000;

/** Distinct texts remembered; a text that carries data of its own would otherwise make this grow. */
const maxTexts = 1000;

export function createLog(options: LogOptions): Log {
  const write = options.write ?? ((line: string) => process.stderr.write(line));
  const isJson =
    options.format === 'json' || (options.format === 'auto' && !(options.isTerminal ?? process.stderr.isTTY === true));
  const nowMs = options.nowMs ?? Date.now;
  let lowest = levels.indexOf(options.level);
  const recent = new Map<string, { atMs: number; left: number }>();

  const emit = (level: LogLevel, text: string, fields: LogFields = {}): void => {
    if (levels.indexOf(level) < lowest) return;
    const now = nowMs();
    const last = recent.get(text);
    if (last !== undefined && now - last.atMs < repeatMs) {
      last.left += 1;
      return;
    }
    if (recent.size >= maxTexts) recent.clear();
    recent.set(text, { atMs: now, left: 0 });
    const all = last !== undefined && last.left > 0 ? { ...fields, repeated: last.left } : fields;
    write(isJson ? jsonLine(now, level, text, all) : textLine(level, text, all));
  };
  return {
    debug: (text, fields) => emit('debug', text, fields),
    info: (text, fields) => emit('info', text, fields),
    warning: (text, fields) => emit('warning', text, fields),
    error: (text, fields) => emit('error', text, fields),
    setLevel: level => {
      lowest = levels.indexOf(level);
    },
  };
}

function jsonLine(timeMs: number, level: LogLevel, text: string, fields: LogFields): string {
  return `${JSON.stringify({ time: new Date(timeMs).toISOString(), level, text, ...fields })}\n`;
}

function textLine(level: LogLevel, text: string, fields: LogFields): string {
  const data = Object.entries(fields).map(([key, value]) => `  ${key}=${value}`);
  return `${level === 'info' ? '' : `${level}: `}${text}${data.join('')}\n`;
}
