/**
 * Worker that probes the kernel for the doctor: trying each feature takes up to 200 ms, which the thread that serves people must not
 * spend, and a native part that cannot be loaded must not take the agent with it.
 */

import { parentPort } from 'node:worker_threads';
import { loadAddon } from './bpf/addon.ts';
import type { KernelFeatures } from './bpf/native.ts';

export type ProbeResult = { readonly features: KernelFeatures } | { readonly error: string };

function probe(): ProbeResult {
  try {
    return { features: loadAddon().probeFeatures() };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.postMessage(probe());
