/**
 * Debug information from debuginfod servers, for files that have none on this host: off unless servers are configured, for it tells
 * them which programs run here. One file at a time, each of bounded size, into a cache of bounded size in the data directory.
 * Protocol: debuginfod(8), GET /buildid/BUILDID/debuginfo.
 */

import { createWriteStream, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { NativeSymbolizer } from './bpf/native.ts';

export interface DebuginfodOptions {
  readonly urls: readonly string[];
  readonly cacheDir: string;
  readonly warn: (message: string) => void;
  readonly maxFileBytes?: number;
  readonly maxCacheBytes?: number;
  readonly timeoutMs?: number;
}

type DebugFiles = Pick<NativeSymbolizer, 'missingDebugFiles' | 'addDebugFile'>;

/** New programs are looked for this often. */
const pollIntervalMs = 2000;
/** A server is slow to find what it has to unpack from a package first: the reference server takes up to 90 s. */
const defaultTimeoutMs = 120_000;
/** The debug information of a browser has 1.5 GB; those of services some tens of MB. */
const defaultMaxFileBytes = 512 * 2 ** 20;
const defaultMaxCacheBytes = 2 * 2 ** 30;
/** Build ids that no server has are remembered, so that they are asked for once in a run of the agent. */
const maxRemembered = 65_536;

/** Servers as configured: "env" stands for the list in DEBUGINFOD_URLS, which is separated by blanks. */
export function debuginfodUrls(configured: readonly string[], variable = process.env['DEBUGINFOD_URLS']): string[] {
  const all = configured.flatMap(url => (url === 'env' ? (variable ?? '').split(/\s+/) : [url]));
  return all.filter(url => /^https?:\/\//.test(url)).map(url => url.replace(/\/+$/, ''));
}

/** Fetches what the symbolizer lacks from now on. Ends with the process or by stop(). */
export function fetchDebugFiles(symbolizer: DebugFiles, options: DebuginfodOptions): { stop(): Promise<void> } {
  const fetcher = new DebugFileFetcher(symbolizer, options);
  // The first call makes the symbolizer collect.
  symbolizer.missingDebugFiles();
  let running = Promise.resolve();
  let isBusy = false;
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    running = fetcher.run().finally(() => {
      isBusy = false;
    });
  }, pollIntervalMs).unref();
  return {
    stop: () => {
      clearInterval(timer);
      fetcher.abort();
      return running;
    },
  };
}

export class DebugFileFetcher {
  private readonly symbolizer: DebugFiles;
  private readonly options: DebuginfodOptions;
  private readonly stopping = new AbortController();
  private readonly asked = new Set<string>();
  private hasWarned = false;

  constructor(symbolizer: DebugFiles, options: DebuginfodOptions) {
    this.symbolizer = symbolizer;
    this.options = options;
    mkdirSync(options.cacheDir, { recursive: true, mode: 0o700 });
  }

  abort(): void {
    this.stopping.abort();
  }

  /** Brings all files that are missing now, one after the other. */
  async run(): Promise<void> {
    for (const buildId of this.symbolizer.missingDebugFiles()) {
      if (this.stopping.signal.aborted) return;
      // It becomes part of a path and of an address.
      if (!/^[0-9a-f]{16,64}$/.test(buildId) || this.asked.has(buildId) || this.asked.size >= maxRemembered) continue;
      this.asked.add(buildId);
      const path = await this.bring(buildId);
      if (path !== undefined && !this.stopping.signal.aborted) this.symbolizer.addDebugFile(buildId, path);
    }
  }

  private async bring(buildId: string): Promise<string | undefined> {
    const path = join(this.options.cacheDir, `${buildId}.debug`);
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) {
      // The oldest by this time are deleted first.
      utimesSync(path, new Date(), new Date());
      return path;
    }
    for (const url of this.options.urls) {
      try {
        if (await this.download(`${url}/buildid/${buildId}/debuginfo`, path)) {
          this.trimCache();
          return path;
        }
      } catch (error) {
        if (!this.hasWarned && !this.stopping.signal.aborted) {
          const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
          this.options.warn(
            `debug information could not be fetched from ${url}: ${reason}; names and lines of some programs are missing`,
          );
        }
        this.hasWarned = true;
      }
    }
    return undefined;
  }

  /** False where the server does not have it. */
  private async download(url: string, path: string): Promise<boolean> {
    const signal = AbortSignal.any([this.stopping.signal, AbortSignal.timeout(this.options.timeoutMs ?? defaultTimeoutMs)]);
    const response = await fetch(url, { signal, headers: { 'user-agent': 'hotspan' } });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      return false;
    }
    const partial = `${path}.part`;
    const maxBytes = this.options.maxFileBytes ?? defaultMaxFileBytes;
    try {
      await pipeline(Readable.fromWeb(response.body), bounded(maxBytes), createWriteStream(partial, { mode: 0o600 }), { signal });
      renameSync(partial, path);
    } catch (error) {
      rmSync(partial, { force: true });
      throw error;
    }
    return true;
  }

  private trimCache(): void {
    const { cacheDir, maxCacheBytes = defaultMaxCacheBytes } = this.options;
    const files = readdirSync(cacheDir)
      .map(name => ({ path: join(cacheDir, name), status: statSync(join(cacheDir, name)) }))
      .sort((a, b) => b.status.mtimeMs - a.status.mtimeMs);
    let bytes = 0;
    for (const [i, file] of files.entries()) {
      bytes += file.status.size;
      // The newest stays, whatever its size: it was just asked for.
      if (bytes > maxCacheBytes && i > 0) rmSync(file.path, { force: true });
    }
  }
}

/** Passes on at most so many bytes, then fails. */
function bounded(maxBytes: number): (chunks: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  return async function* pass(chunks) {
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new RangeError(`the file has more than ${maxBytes} bytes`);
      yield chunk;
    }
  };
}
