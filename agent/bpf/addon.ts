/**
 * Loads the addon: the only place that does. Checks first that this Node can, because a native module that does not fit ends the
 * process without a word.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { BpfError } from './errors.ts';
import type { NativeAddon } from './native.ts';

const minimumNode = [22, 18] as const;
/** The Node-API version that the addon is built for (NAPI_VERSION in native/CMakeLists.txt). */
const minimumNodeApi = 8;

/** Why a Node cannot run hotspan, one sentence with the remedy; empty where it can. */
export function nodeRefusal(versions: { readonly node: string; readonly napi?: string | undefined }): string {
  const [major = 0, minor = 0] = versions.node.split('.').map(Number);
  const isOld = major < minimumNode[0] || (major === minimumNode[0] && minor < minimumNode[1]);
  const needed = `hotspan needs Node ${minimumNode.join('.')} or later`;
  if (isOld) return `${needed}, and this is ${versions.node}: install a newer one, or run npm install, which brings one.`;
  if (Number(versions.napi ?? 0) < minimumNodeApi) {
    return `${needed} with Node-API ${minimumNodeApi}, and this one has ${versions.napi ?? 'none'}: use a standard build of Node.`;
  }
  return '';
}

/** Where the addon may be: named by HOTSPAN_ADDON (tests of another build), built in the checkout, or packaged. */
function candidatePaths(): string[] {
  const named = process.env.HOTSPAN_ADDON;
  if (named) return [named];
  const packaged = `../../native/prebuilt/${process.platform}-${process.arch}/hotspan.node`;
  return ['../../.build/native/hotspan.node', packaged].map(path => fileURLToPath(new URL(path, import.meta.url)));
}

let addon: NativeAddon | undefined;

/** The addon of this thread, loaded at the first call. Throws one sentence when this Node cannot load it or it is not built. */
export function loadAddon(): NativeAddon {
  if (addon) return addon;
  const refusal = nodeRefusal(process.versions);
  if (refusal) throw new Error(refusal);
  const candidates = candidatePaths();
  const path = candidates.find(candidate => existsSync(candidate));
  if (!path) throw new Error(`The addon is missing (looked for ${candidates.join(', ')}): run npm run build.`);
  try {
    addon = createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`The addon ${path} cannot be loaded (${words}): run npm run build, which needs libbpf and libelf.`, {
      cause,
    });
  }
  addon.setErrorFactory(fields => BpfError.of(fields));
  return addon;
}
