/** Records of any source, made from its header's layout: valid in size, kind, counts and enums, and random in all else. */

import { readHeader } from '../../scripts/gen.ts';
import { sourceHeader } from '../../scripts/lib/bpf.ts';
import type { EnumLayout, Layout } from '../../scripts/lib/event-layout.ts';

export interface EventShape {
  readonly kind: number;
  readonly layout: Layout;
}

/** The events of a source, as its header has them. */
export async function shapesOf(source: string): Promise<EventShape[]> {
  const { types } = await readHeader(source, sourceHeader(source));
  return types.events.map(layout => {
    const kind = types.kinds?.values.find(({ name }) => layout.structName === `${source}_${name}_event`);
    return { layout, kind: kind?.value ?? 0 };
  });
}

/** Numbers in [0, 2^32), the same for the same seed, so that a failure can be repeated (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

export function randomBytes(random: () => number, length: number): Buffer {
  const data = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) data[i] = random() >>> 24;
  return data;
}

/** Header offsets of struct event_header, bpf/lib/event.h. */
const header = { kind: 8, sizeBytes: 12 } as const;

const maxDepth = 5;
const maxTextBytes = 40;

export function randomRecord(random: () => number, { layout, kind }: EventShape): Buffer {
  const counts = layout.parts.map(part => random() % (part.kind === 'stack' ? maxDepth : maxTextBytes));
  const tailBytes = layout.parts.reduce((sum, part, i) => sum + counts[i]! * (part.kind === 'stack' ? 8 : 1), 0);
  const data = randomBytes(random, layout.fixedBytes + tailBytes);
  data.writeUInt16LE(kind, header.kind);
  data.writeUInt32LE(data.length, header.sizeBytes);
  for (const [i, part] of layout.parts.entries())
    writeCount(data, part.count.offset, widthOf(layout, part.count.offset), counts[i]!);
  for (const field of layout.fields.filter(({ isChecked }) => isChecked)) {
    const values = enumOf(layout, field.codec.ts).values;
    data.writeInt32LE(values[random() % values.length]!.value, field.offset);
  }
  return data;
}

/** A count's width is told by the place of what follows it; counts of 2 and 4 bytes are in use. */
function widthOf(layout: Layout, offset: number): number {
  const part = layout.parts.find(({ count }) => count.offset === offset);
  return part?.count.codec.read('0').startsWith('u16') ? 2 : 4;
}

export function writeCount(data: Buffer, offset: number, width: number, value: number): void {
  data.writeUIntLE(value, offset, width);
}

function enumOf(layout: Layout, typeName: string): EnumLayout {
  const found = layout.enums.find(candidate => candidate.typeName === typeName);
  if (found === undefined) throw new Error(`${layout.structName} has no enum ${typeName}`);
  return found;
}
