/** What goes between the page and the worker that fetches, changes and lays out profiles. */

import type { FrameKind, ProfileResult } from '../../../agent/server/api.ts';
import type { FlameLayout } from '../lib/flame-layout.ts';

export type FlameFunctions = ProfileResult['functions'];

export interface FlameRequest {
  id: number;
  /** Where the profile comes from; or its JSON text itself (bench). */
  url: string;
  text?: string;
  /** Fetch again even if this profile is at hand. */
  isRefresh: boolean;
  /** Names of functions; '' for none. */
  focus: string;
  hidden: readonly string[];
  foldedKinds: readonly FrameKind[];
  /** Callers and callees of this function as well. */
  pivot: string;
}

/** Everything of a profile but its tree. */
export type ProfileHead = Omit<ProfileResult, 'parent' | 'fn' | 'self' | 'waits'>;

export interface FlamePicture {
  head: ProfileHead;
  layout: FlameLayout;
  callers: FlameLayout | undefined;
  callees: FlameLayout | undefined;
}

export type FlameReply =
  | { id: number; picture: FlamePicture }
  | { id: number; failure: { message: string; remedy: string; status: number } };
