/**
 * Starts, stops and sets the sources as people ask for it, within what the budget allows at the moment (budget-steps.ts). What was
 * asked for is kept apart from what is in force, so that it comes back exactly.
 */

import { isDeepStrictEqual } from 'node:util';
import { limitedTo } from './budget-steps.ts';
import type { Capture } from './capture.ts';
import type { SourceBooks } from './capture-books.ts';
import type { SourceName } from './events/index.ts';
import type { ProgramMeter } from './program-meter.ts';
import type { SourceState } from './server/api.ts';
import { defaultsOf, kits } from './sources/index.ts';
import { resolveSettings } from './sources/settings.ts';
import type { SourceSettings } from './sources/source.ts';

export interface SourceControlParts {
  readonly capture: Capture;
  readonly meter: ProgramMeter;
  readonly counts: (name: SourceName, books: SourceBooks) => Record<string, number>;
  readonly warn: (message: string) => void;
}

export class SourceControl {
  private readonly parts: SourceControlParts;
  private readonly failures = new Map<SourceName, string>();
  private readonly asked = new Map<SourceName, SourceSettings>();
  private readonly inForce = new Map<SourceName, SourceSettings>();
  private readonly paused = new Set<SourceName>();
  private level = 0;
  private applying: Promise<void> | undefined;

  constructor(parts: SourceControlParts) {
    this.parts = parts;
  }

  /** Throws a RangeError for what is no setting of the source, a BpfError where it cannot run here. */
  async start(name: SourceName, given: SourceSettings): Promise<void> {
    const merged = this.merged(name, given);
    try {
      await this.startLimited(name, merged);
      this.asked.set(name, merged);
      this.failures.delete(name);
    } catch (error) {
      this.failures.set(name, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async stop(name: SourceName): Promise<void> {
    this.paused.delete(name);
    await this.parts.capture.stop(name);
    this.failures.delete(name);
  }

  async update(name: SourceName, given: SourceSettings): Promise<void> {
    const merged = this.merged(name, given);
    const { settings } = limitedTo(this.level, name, merged);
    await this.parts.capture.update(name, settings);
    this.asked.set(name, merged);
    this.inForce.set(name, settings);
  }

  /** What was asked for, whether it runs or not. */
  askedOf(name: SourceName): SourceSettings {
    return this.asked.get(name) ?? defaultsOf(name);
  }

  /** Runs, or would run if the budget allowed it. */
  isWanted(name: SourceName): boolean {
    return this.paused.has(name) || this.parts.capture.running(name) !== undefined;
  }

  isPaused(name: SourceName): boolean {
    return this.paused.has(name);
  }

  /**
   * The first `level` steps are in force from now on. Resolves when every source follows, or a call before has had its turn; never
   * rejects. Called once a second, so that what changes meanwhile is followed as well.
   */
  hold(level: number): Promise<void> {
    this.level = level;
    this.applying ??= this.apply().finally(() => {
      this.applying = undefined;
    });
    return this.applying;
  }

  /** Resolves when nothing is being followed: before the end, or a source would be started behind its back. */
  async settle(): Promise<void> {
    await this.applying;
  }

  private async apply(): Promise<void> {
    for (const name of Object.keys(kits) as SourceName[]) {
      try {
        await this.follow(name);
      } catch (error) {
        this.paused.delete(name);
        const message = error instanceof Error ? error.message : String(error);
        this.failures.set(name, message);
        this.parts.warn(`source ${name} could not be held to the budget, or not be given back what it was asked for: ${message}`);
      }
    }
  }

  private async follow(name: SourceName): Promise<void> {
    if (!this.isWanted(name)) return;
    const { isPaused, settings } = limitedTo(this.level, name, this.askedOf(name));
    if (isPaused && !this.paused.has(name)) {
      this.paused.add(name);
      await this.parts.capture.stop(name);
    } else if (!isPaused && this.paused.has(name)) {
      await this.startLimited(name, this.askedOf(name));
    } else if (!isPaused && !isDeepStrictEqual(this.inForce.get(name), settings)) {
      await this.parts.capture.update(name, settings);
      this.inForce.set(name, settings);
    }
  }

  private async startLimited(name: SourceName, asked: SourceSettings): Promise<void> {
    const { settings } = limitedTo(this.level, name, asked);
    await this.parts.capture.start(name, settings);
    this.paused.delete(name);
    this.inForce.set(name, settings);
  }

  private merged(name: SourceName, settings: SourceSettings): SourceSettings {
    return resolveSettings(kits[name].settings, settings, this.asked.get(name));
  }

  states(): SourceState[] {
    this.parts.capture.readCounters();
    return (Object.keys(kits) as SourceName[]).map(name => this.state(name));
  }

  state(name: SourceName): SourceState {
    const { capture, meter, counts } = this.parts;
    const kit = kits[name];
    const active = capture.running(name);
    const failure = this.failures.get(name) ?? '';
    const cost = meter.costOf(name);
    const books = capture.books.get(name);
    const reader = active === undefined ? undefined : capture.reader.stats(Object.keys(kits).indexOf(name));
    return {
      name,
      title: kit.title,
      state: active !== undefined ? 'running' : failure !== '' ? 'failed' : 'stopped',
      message: failure || [...(active?.running.problems?.() ?? []), ...this.heldBack(name)].join('; '),
      settings: { ...this.askedOf(name) },
      settingSpecs: kit.settings,
      hooks: (active?.running.hooks ?? []).map(hook => ({
        observes: hook.observes,
        way: hook.way,
        refused: hook.refused.map(refusal => ({ ...refusal })),
      })),
      programs: cost.programs,
      hitsPerSecond: cost.hitsPerSecond,
      nsPerHit: cost.nsPerHit,
      cpuShare: cost.cpuShare,
      mapBytes: active?.running.mapBytes() ?? 0,
      bufferBytes: reader?.bufferBytes ?? 0,
      counts: books === undefined ? {} : counts(name, books),
      startedMs: active?.startedMs ?? 0,
    };
  }

  /** What the budget takes from a source now, as sentences. */
  private heldBack(name: SourceName): string[] {
    if (this.paused.has(name)) return ['paused to keep the CPU budget; it comes back by itself when the host does less'];
    if (this.parts.capture.running(name) === undefined) return [];
    const less = this.differences(name).map(
      ({ setting, unit, asked, inForce }) => `${setting} ${inForce} ${unit} instead of ${asked}`,
    );
    return less.length === 0 ? [] : [`held back to keep the CPU budget: ${less.join(', ')}`];
  }

  /** Settings that differ from what was asked for. */
  differences(name: SourceName): { setting: string; unit: string; asked: number; inForce: number }[] {
    const [asked, inForce] = [this.askedOf(name), this.inForce.get(name) ?? {}];
    return kits[name].settings.flatMap(({ key, unit }) => {
      const [wanted, given] = [asked[key], inForce[key]];
      if (typeof wanted !== 'number' || typeof given !== 'number' || wanted === given) return [];
      return [{ setting: key, unit, asked: wanted, inForce: given }];
    });
  }
}
