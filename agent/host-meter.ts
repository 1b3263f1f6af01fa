/** What the host as a whole did, from /proc: CPU by kind, run queue, memory, disk and network, for the strip on the Overview. */

import { readFileSync } from 'node:fs';
import type { MetricRow } from './store/rows.ts';

/** USER_HZ: the unit of /proc/stat on every Linux. */
const tickMs = 10;
const sectorBytes = 512;

interface Totals {
  readonly timeMs: number;
  readonly values: ReadonlyMap<string, number>;
}

export class HostMeter {
  private before: Totals | undefined;

  /** Gauges now and rates since the last call; the first call gives gauges only. */
  take(nowMs: number, loadAverage: number): MetricRow[] {
    const values = new Map([...cpuTotals(), ...diskTotals(), ...networkTotals()]);
    const rows: MetricRow[] = [];
    const seconds = this.before === undefined ? 0 : (nowMs - this.before.timeMs) / 1000;
    if (seconds > 0) {
      for (const [key, total] of values) {
        const change = total - (this.before?.values.get(key) ?? total);
        const [name = '', labels = ''] = key.split(' ');
        rows.push({ name, labels, timeMs: nowMs, value: Math.max(0, change) / seconds });
      }
    }
    this.before = { timeMs: nowMs, values };
    rows.push({ name: 'host.load', labels: '', timeMs: nowMs, value: loadAverage });
    for (const [name, value] of memoryGauges()) rows.push({ name, labels: '', timeMs: nowMs, value });
    return rows;
  }
}

/** CPU seconds by kind since boot; a rate of it is in cores. */
function* cpuTotals(): Generator<[string, number]> {
  const words = (/^cpu +(.*)$/m.exec(readText('/proc/stat'))?.[1] ?? '').split(' ').map(Number);
  const [user = 0, nice = 0, system = 0, , iowait = 0, irq = 0, softirq = 0, steal = 0] = words;
  const seconds = tickMs / 1000;
  yield ['host.cpu kind=user', (user + nice) * seconds];
  yield ['host.cpu kind=system', (system + irq + softirq) * seconds];
  yield ['host.cpu kind=iowait', iowait * seconds];
  yield ['host.cpu kind=steal', steal * seconds];
}

/** Bytes read and written by whole disks (partitions, loops and RAM disks would count twice). */
function* diskTotals(): Generator<[string, number]> {
  let read = 0;
  let written = 0;
  for (const line of readText('/proc/diskstats').split('\n')) {
    const fields = line.trim().split(/ +/);
    if (!/^(sd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/.test(fields[2] ?? '')) continue;
    read += Number(fields[5]) * sectorBytes;
    written += Number(fields[9]) * sectorBytes;
  }
  yield ['host.disk direction=read', read];
  yield ['host.disk direction=write', written];
}

function* networkTotals(): Generator<[string, number]> {
  let received = 0;
  let sent = 0;
  for (const line of readText('/proc/net/dev').split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(':');
    if (name.trim() === 'lo' || rest === '') continue;
    const fields = rest.trim().split(/ +/);
    received += Number(fields[0]);
    sent += Number(fields[8]);
  }
  yield ['host.network direction=receive', received];
  yield ['host.network direction=transmit', sent];
}

function* memoryGauges(): Generator<[string, number]> {
  const text = readText('/proc/meminfo');
  const kilobytes = (key: string) => Number(new RegExp(`^${key}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  yield ['host.memory.used', (kilobytes('MemTotal') - kilobytes('MemAvailable')) * 1024];
  yield ['host.memory.total', kilobytes('MemTotal') * 1024];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // A container may hide one of these files; its figures are then missing, the others are not.
    return '';
  }
}
