/** Attributes of a span in the groups of OpenTelemetry's semantic conventions. */

import type { AttributeValue } from '../../../agent/server/api.ts';

const titles: readonly (readonly [string, string])[] = [
  ['http', 'HTTP'],
  ['url', 'HTTP'],
  ['user_agent', 'HTTP'],
  ['rpc', 'RPC'],
  ['db', 'Database'],
  ['messaging', 'Messaging'],
  ['file', 'File'],
  ['code', 'Code'],
  ['network', 'Network'],
  ['client', 'Network'],
  ['server', 'Network'],
  ['dns', 'Network'],
  ['error', 'Error'],
  ['exception', 'Error'],
  ['process', 'Process'],
  ['thread', 'Process'],
  ['container', 'Process'],
  ['hotspan', 'hotspan'],
];

export interface AttributeGroup {
  title: string;
  entries: { key: string; value: AttributeValue }[];
}

/** In the order of the table above, each sorted by key; what is in no convention stands last under "Other". */
export function groupAttributes(attributes: Readonly<Record<string, AttributeValue>>): AttributeGroup[] {
  const groups = new Map<string, AttributeGroup>();
  for (const [, title] of titles) groups.set(title, { title, entries: [] });
  groups.set('Other', { title: 'Other', entries: [] });
  for (const key of Object.keys(attributes).sort()) {
    const prefix = key.split('.')[0] ?? '';
    const title = titles.find(([name]) => name === prefix)?.[1] ?? 'Other';
    const value = attributes[key];
    if (value !== undefined) groups.get(title)?.entries.push({ key, value });
  }
  return [...groups.values()].filter(group => group.entries.length > 0);
}

/** In the order in which they tell most on one line: texts (paths, statements) before numbers, our own last. */
export function tellingAttributes(attributes: Readonly<Record<string, AttributeValue>>): [string, AttributeValue][] {
  const rank = ([key, value]: [string, AttributeValue]) =>
    (typeof value === 'string' ? 0 : 1) + (key.startsWith('hotspan.') ? 2 : 0);
  return Object.entries(attributes).sort((a, b) => rank(a) - rank(b));
}

/** A key where its group is clear or does not matter: "process.exit.code" is "exit.code", "hotspan.file.inode" is "inode". */
export function shortKey(key: string): string {
  const plain = key.replace(/^hotspan\./, '');
  return plain.slice(plain.indexOf('.') + 1);
}

/** Numbers whose attribute's name tells the unit get it shown; the rest stand as they are. */
export function attributeUnit(key: string): 'bytes' | 'nanoseconds' | undefined {
  if (/(^|[._])(bytes|size|body\.size)$/.test(key)) return 'bytes';
  return /(_ns|Ns|nanoseconds)$/.test(key) ? 'nanoseconds' : undefined;
}
