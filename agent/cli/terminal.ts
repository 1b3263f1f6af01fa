/** What the commands write to a terminal, and how Ctrl-C ends them. */

/** A line that is written over itself, on a terminal only; elsewhere nothing is written. */
export interface ProgressLine {
  show(text: string): void;
  /** Takes the line away, so that what follows starts on a clean one. */
  clear(): void;
}

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  if (!stream.isTTY) return { show: () => {}, clear: () => {} };
  let isShown = false;
  return {
    show: text => {
      // Cut to the width: a line that wraps cannot be written over.
      stream.write(`\r\x1b[K${text.slice(0, Math.max(20, stream.columns - 1))}`);
      isShown = true;
    },
    clear: () => {
      if (isShown) stream.write('\r\x1b[K');
      isShown = false;
    },
  };
}

/** "[#####-----] 50 %" */
export function progressBar(share: number, width = 24): string {
  const done = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${'#'.repeat(done)}${'-'.repeat(width - done)}] ${Math.floor(Math.min(1, share) * 100)} %`;
}

/** Aborted by the first Ctrl-C or SIGTERM; the second one ends the process at once, with the code that shells expect. */
export function interruptSignal(): AbortController {
  const controller = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143);
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return controller;
}

/** Rows with columns aligned; numbers (text that starts with a digit) to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (/^\d/.test(cell) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
  return `${[header, ...rows].map(line).join('\n')}\n`;
}

/** Text of other processes with what a terminal would obey (escape sequences, line breaks) written out. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, character => `\\x${character.codePointAt(0)!.toString(16).padStart(2, '0')}`);
}
