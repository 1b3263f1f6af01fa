/** Fetches a profile, leaves out what is hidden, and lays it out, so that the page itself never parses or walks a large tree. */

import type { ProfileResult } from '../../../agent/server/api.ts';
import { calleesOf, callersOf, changeTree } from '../lib/call-tree.ts';
import { type CallTree, type FlameLayout, layoutFlame } from '../lib/flame-layout.ts';
import { ApiFailure, request } from '../state/api.ts';
import type { FlamePicture, FlameReply, FlameRequest } from './flame-protocol.ts';

/** Profiles at hand for another focus, fold or pivot without a fetch. Four: the page's, a row's on the Overview, and their last ones. */
const profiles = new Map<string, ProfileResult>();
const profileLimit = 4;

self.onmessage = async (event: MessageEvent<FlameRequest>) => {
  const { data } = event;
  try {
    const picture = paint(await profileOf(data), data);
    const reply: FlameReply = { id: data.id, picture };
    self.postMessage(reply, { transfer: [picture.layout, picture.callers, picture.callees].flatMap(buffersOf) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const failure =
      error instanceof ApiFailure ? { message, remedy: error.remedy, status: error.status } : { message, remedy: '', status: 0 };
    const reply: FlameReply = { id: data.id, failure };
    self.postMessage(reply);
  }
};

async function profileOf(data: FlameRequest): Promise<ProfileResult> {
  if (data.text !== undefined) return JSON.parse(data.text) as ProfileResult;
  const known = profiles.get(data.url);
  if (known !== undefined && !data.isRefresh) return known;
  const profile = (await (await request(data.url, {})).json()) as ProfileResult;
  profiles.delete(data.url);
  profiles.set(data.url, profile);
  const oldest = profiles.keys().next().value;
  if (profiles.size > profileLimit && oldest !== undefined) profiles.delete(oldest);
  return profile;
}

function paint(profile: ProfileResult, data: FlameRequest): FlamePicture {
  const { parent, fn, self: own, waits, ...head } = profile;
  const names = head.functions.name;
  const tree = wantedTree({ parent, fn, self: own, ...(waits === undefined ? {} : { waits }) }, head.functions, data);
  const pivot = data.pivot === '' ? -1 : names.indexOf(data.pivot);
  const lay = (part: CallTree) => layoutFlame(part, names.length);
  return {
    head,
    layout: lay(tree),
    callers: pivot < 0 ? undefined : lay(callersOf(tree, pivot)),
    callees: pivot < 0 ? undefined : lay(calleesOf(tree, pivot)),
  };
}

function wantedTree(tree: CallTree, functions: ProfileResult['functions'], data: FlameRequest): CallTree {
  if (data.focus === '' && data.hidden.length === 0 && data.foldedKinds.length === 0) return tree;
  const hidden = new Set(data.hidden);
  const folded = new Set<string>(data.foldedKinds);
  return changeTree(tree, {
    focus: data.focus === '' ? -1 : functions.name.indexOf(data.focus),
    isHidden: fn => hidden.has(functions.name[fn] ?? ''),
    isFolded: fn => folded.has(functions.kind[fn] ?? ''),
  });
}

function buffersOf(layout: FlameLayout | undefined): ArrayBufferLike[] {
  if (layout === undefined) return [];
  const { parent, fn, self: own, total, waits, start, childFrom, rowFrom, fnSelf, fnTotal } = layout;
  const columns = [parent, fn, own, total, start, childFrom, rowFrom, fnSelf, fnTotal];
  return (waits === undefined ? columns : [...columns, waits]).map(array => array.buffer);
}
