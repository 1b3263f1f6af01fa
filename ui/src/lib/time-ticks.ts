/** Round places for the labels of an axis. */

const stepsMs = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
  1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000,
];

/** Unix milliseconds at round local times, at most `most` of them. */
export function timeTicks(fromMs: number, toMs: number, most: number): number[] {
  const stepMs = stepsMs.find(step => (toMs - fromMs) / step <= most) ?? 604_800_000;
  const zoneMs = new Date(fromMs).getTimezoneOffset() * -60_000;
  const ticks: number[] = [];
  for (let at = Math.ceil((fromMs + zoneMs) / stepMs) * stepMs - zoneMs; at < toMs; at += stepMs) ticks.push(at);
  return ticks;
}

/** Multiples of 1, 2 or 5 times a power of ten from 0 to the length, at most `most` of them. */
export function lengthTicks(length: number, most: number): number[] {
  if (!(length > 0)) return [0];
  const rough = length / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let i = 0; i * step <= length; i += 1) ticks.push(i * step);
  return ticks;
}
