/** Which code of a file has call frame information, as readelf tells: the referee where gdb and hotspan disagree. */

import { spawnSync } from 'node:child_process';

/** Start and end of what each FDE covers, by start. */
type Ranges = readonly (readonly [number, number])[];

const rangesOf = new Map<string, Ranges>();

function readRanges(path: string): Ranges {
  // It ends with 1 where it warns, as of a debug file that it follows a link to and finds no frames in.
  const { stdout: text } = spawnSync('readelf', ['--debug-dump=frames', '--wide', path], {
    encoding: 'latin1',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ranges = [...text.matchAll(/ FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)/g)].map(
    ([, start = '', end = '']) => [Number.parseInt(start, 16), Number.parseInt(end, 16)] as const,
  );
  return ranges.sort((left, right) => left[0] - right[0]);
}

/** Whether the file has an FDE for the ELF address. */
export function isCovered(path: string, elfAddress: number): boolean {
  const ranges = rangesOf.get(path) ?? readRanges(path);
  rangesOf.set(path, ranges);
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]![0] <= elfAddress) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range !== undefined && elfAddress < range[1];
}

/**
 * Functions of Go's runtime that change the stack pointer to another stack, or that begin one: its sources mark them SPWRITE or
 * TOPFRAME (asm_amd64.s), its own traceback stops or changes stacks there, and its DWARF describes neither.
 */
const GO_SWITCHES =
  / runtime\.(mcall|mstart|systemstack|morestack|asmcgocall|asmcgocall_no_g|cgocallback|goexit|rt0_go|gogo|sigtramp|sigreturn__sigaction)(\.abi0)?$/;

const switchesOf = new Map<string, Ranges>();

function readSwitches(path: string): Ranges {
  const { stdout: text } = spawnSync('nm', ['--numeric-sort', '--defined-only', path], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  const lines = text.split('\n').filter(line => / [tT] /.test(line));
  const start = (line: string | undefined): number => Number.parseInt(line ?? '0', 16);
  return lines.flatMap((line, i) => (GO_SWITCHES.test(line) ? [[start(line), start(lines[i + 1])] as const] : []));
}

/** Whether the ELF address lies in a function of Go's runtime that changes stacks. */
export function switchesStacks(path: string, elfAddress: number): boolean {
  const ranges = switchesOf.get(path) ?? readSwitches(path);
  switchesOf.set(path, ranges);
  return ranges.some(([start, end]) => elfAddress >= start && elfAddress < end);
}
