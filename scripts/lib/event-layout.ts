/**
 * From BTF to what the generated code is made of: structs with fields that have a TypeScript type and an expression that reads
 * them. What cannot be mapped is refused here, with one sentence naming struct and field.
 *
 * A record of variable size ends in a flexible array that holds parts one after another, without padding, in the order in which
 * their counts are declared: a field `<part>_depth` counts code addresses of 8 bytes (the event gets `<part>Stack`, a view), a
 * field `<part>_length` counts bytes of text (the event gets `<part>`, a string), a field `<part>_bytes` of type __u16 counts bytes
 * of any other form (the event gets `<part>`, a view; a `byte_count` of that name is a number like any other). The array is
 * `code_addr x[]` where all parts are stacks, `char x[]` where all are texts, else `__u8 x[]`.
 */

import type { Btf, BtfMember, BtfType } from './btf.ts';

/** How a value at an offset is read and written; `at` is a JavaScript expression. */
interface Codec {
  readonly ts: string;
  read(at: string): string;
  write(at: string, value: string): string;
}

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly codec: Codec;
  /** Set where the value must be one of an enum's: anything else makes the record malformed. */
  readonly isChecked: boolean;
}

export type PartKind = 'stack' | 'text' | 'bytes';

export interface Part {
  readonly name: string;
  readonly kind: PartKind;
  /** Reads the count. */
  readonly count: Field;
}

export interface Layout {
  /** As in C: exec_image_event. */
  readonly structName: string;
  /** ExecImageEvent. */
  readonly typeName: string;
  readonly fields: readonly Field[];
  readonly parts: readonly Part[];
  /** Up to the flexible array, or the whole struct. */
  readonly fixedBytes: number;
  /** Structs and enums that fields name, in order of use. */
  readonly nested: readonly Layout[];
  readonly enums: readonly EnumLayout[];
}

export interface EnumLayout {
  readonly enumName: string;
  readonly typeName: string;
  /** Lower-case names without the common prefix; sentinels ending in _MAX are left out. */
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

/** A layout that has no TypeScript form. The message is one sentence for the person who wrote the header. */
export class LayoutError extends Error {
  override name = 'LayoutError';
}

function integer(ts: string, use: string): Codec {
  return { ts, read: at => `${use}(data, ${at})`, write: (at, value) => writers[use]!(at, value) };
}

const writers: Readonly<Record<string, (at: string, value: string) => string>> = {
  u64Number: (at, value) => `data.writeBigUInt64LE(BigInt(${value}), ${at})`,
  s64Number: (at, value) => `data.writeBigInt64LE(BigInt(${value}), ${at})`,
  u32: (at, value) => `data.writeUInt32LE(${value}, ${at})`,
  u16: (at, value) => `data.writeUInt16LE(${value}, ${at})`,
};

const bigint: Codec = {
  ts: 'bigint',
  read: at => `u64BigInt(data, ${at})`,
  write: (at, value) => `data.writeBigUInt64LE(${value}, ${at})`,
};

/** Typedefs of bpf/lib/types.h that decide the type by themselves. */
const typedefs: Readonly<Record<string, Codec>> = {
  ktime_ns: integer('number', 'u64Number'),
  duration_ns: integer('number', 'u64Number'),
  byte_count: integer('number', 'u64Number'),
  event_count: integer('number', 'u64Number'),
  kernel_result: integer('number', 's64Number'),
  exact_u64: bigint,
  code_addr: bigint,
  comm_text: {
    ts: 'string',
    read: at => `commText(data, ${at})`,
    write: (at, value) => `data.write(${value}.slice(0, 15), ${at}, 'latin1')`,
  },
};

function plain(ts: string, read: (at: string) => string, write: (at: string, value: string) => string): Codec {
  return { ts, read, write };
}

/** Plain integers by size and sign. 8 bytes are missing on purpose: those need a typedef that says what they are. */
const integers: Readonly<Record<string, Codec>> = {
  u1: plain(
    'number',
    at => `data[${at}]!`,
    (at, value) => `data.writeUInt8(${value}, ${at})`,
  ),
  u2: integer('number', 'u16'),
  u4: integer('number', 'u32'),
  s1: plain(
    'number',
    at => `data.readInt8(${at})`,
    (at, value) => `data.writeInt8(${value}, ${at})`,
  ),
  s2: plain(
    'number',
    at => `data.readInt16LE(${at})`,
    (at, value) => `data.writeInt16LE(${value}, ${at})`,
  ),
  s4: plain(
    'number',
    at => `data.readInt32LE(${at})`,
    (at, value) => `data.writeInt32LE(${value}, ${at})`,
  ),
};

const boolean: Codec = plain(
  'boolean',
  at => `data[${at}] !== 0`,
  (at, value) => `data.writeUInt8(${value} ? 1 : 0, ${at})`,
);

/** Reads one struct. Throws a LayoutError for what has no TypeScript form. */
export function layoutOf(btf: Btf, structName: string): Layout {
  const struct = btf.named('STRUCT', structName);
  if (struct === undefined) throw new LayoutError(`struct ${structName} is not in the compiled types`);
  return new LayoutReader(btf, struct).layout();
}

export function enumLayoutOf(btf: Btf, enumName: string): EnumLayout {
  const type = btf.named('ENUM', enumName);
  if (type === undefined) throw new LayoutError(`enum ${enumName} is not in the compiled types`);
  const values = (type.values ?? []).filter(({ name }) => !name.endsWith('_MAX'));
  const prefix = commonPrefix(
    values.map(({ name }) => name),
    enumName,
  );
  return {
    enumName,
    typeName: pascalCase(enumName),
    values: values.map(({ name, val }) => ({ name: name.slice(prefix.length).toLowerCase(), value: val })),
  };
}

/** Up to the last underscore that all names share; for a single name, the enum's own name without _kind. */
function commonPrefix(names: readonly string[], enumName: string): string {
  const [first = ''] = names;
  if (names.length === 1) {
    const own = `${enumName.replace(/_kind$/, '')}_`.toUpperCase();
    return first.startsWith(own) ? own : '';
  }
  let length = first.length;
  while (length > 0 && !(first[length - 1] === '_' && names.every(name => name.startsWith(first.slice(0, length))))) length -= 1;
  return first.slice(0, length);
}

/** What a count's last word says of its part. */
const partKinds: Readonly<Record<string, PartKind>> = { depth: 'stack', length: 'text', bytes: 'bytes' };

class LayoutReader {
  private readonly btf: Btf;
  private readonly struct: BtfType;
  private readonly fields: Field[] = [];
  private readonly parts: Part[] = [];
  private readonly nested: Layout[] = [];
  private readonly enums: EnumLayout[] = [];
  private tail: { readonly name: string; readonly offset: number; readonly element: string } | undefined;

  constructor(btf: Btf, struct: BtfType) {
    this.btf = btf;
    this.struct = struct;
  }

  layout(): Layout {
    const { name, size = 0 } = this.struct;
    for (const member of this.struct.members ?? []) this.member(member, 0);
    this.checkTail();
    return {
      structName: name,
      typeName: pascalCase(name),
      fields: this.fields,
      parts: this.parts,
      fixedBytes: this.tail?.offset ?? size,
      nested: this.nested,
      enums: this.enums,
    };
  }

  private refuse(field: string, why: string): never {
    throw new LayoutError(`struct ${this.struct.name}, field ${field}: ${why}`);
  }

  private member(member: BtfMember, base: number): void {
    const { name } = member;
    if ((member.bitfield_size ?? 0) > 0) this.refuse(name, 'a bitfield has no fixed place; use a __u8, __u16 or __u32 and masks');
    const offset = base + member.bits_offset / 8;
    const { type, typedef } = this.btf.resolve(member.type_id, known => known in typedefs);
    if (type.kind === 'STRUCT' && name === 'header' && type.name === 'event_header') {
      for (const inner of type.members ?? []) if (inner.name !== 'kind') this.member(inner, offset);
      return;
    }
    if (/^(reserved|pad)\d*$/.test(name)) return;
    if (type.kind === 'ARRAY' && type.nr_elems === 0) {
      this.tail = { name, offset, element: this.btf.type(type.type_id).name };
      return;
    }
    const { codec, isChecked } = this.codec(name, member.type_id, typedef);
    const field: Field = { name: camelCase(name), offset, codec, isChecked };
    const part = /^(\w+)_(depth|length|bytes)$/.exec(name);
    const kind = part === null || codec.ts !== 'number' ? undefined : partKinds[part[2]!];
    if (kind === undefined || (kind === 'bytes' && codec !== integers.u2)) {
      this.fields.push(field);
    } else {
      this.parts.push({ name: camelCase(kind === 'stack' ? `${part![1]}_stack` : part![1]!), kind, count: field });
    }
  }

  private codec(field: string, typeId: number, typedef: string | undefined): { codec: Codec; isChecked: boolean } {
    if (typedef !== undefined) return { codec: typedefs[typedef]!, isChecked: false };
    const { type, outermost } = this.btf.resolve(typeId, () => false);
    switch (type.kind) {
      case 'INT':
        return { codec: this.integer(field, type, outermost), isChecked: false };
      case 'ENUM':
        return { codec: this.enumeration(field, type), isChecked: true };
      case 'STRUCT':
        return { codec: this.structure(field, type), isChecked: false };
      case 'ARRAY':
        return { codec: this.array(field, type), isChecked: false };
      case 'PTR':
        return this.refuse(field, 'a pointer means nothing outside the kernel; copy what it points to');
      default:
        return this.refuse(field, `${type.kind.toLowerCase()} has no TypeScript form here`);
    }
  }

  private integer(field: string, type: BtfType, outermost: string): Codec {
    if (/^(unsigned )?long$/.test(type.name))
      this.refuse(field, `${type.name} differs between machines; use a typedef of bpf/lib/types.h`);
    if (type.encoding === 'BOOL') return boolean;
    const codec = integers[`${type.encoding === 'SIGNED' ? 's' : 'u'}${type.size}`];
    return codec ?? this.refuse(field, `${outermost} does not say what it is; use a 64-bit typedef of bpf/lib/types.h`);
  }

  private enumeration(field: string, type: BtfType): Codec {
    if (type.name === '(anon)') this.refuse(field, 'give the enum a name');
    const layout = enumLayoutOf(this.btf, type.name);
    this.enums.push(layout);
    return {
      ts: layout.typeName,
      read: at => `${camelCase(type.name)}Names[u32(data, ${at})]`,
      write: (at, value) => `data.writeUInt32LE(${camelCase(type.name)}[${value}], ${at})`,
    };
  }

  private structure(field: string, type: BtfType): Codec {
    if (type.name === '(anon)') this.refuse(field, 'give the nested struct a name');
    const layout = layoutOf(this.btf, type.name);
    if (layout.parts.length > 0) this.refuse(field, 'a nested struct cannot be of variable size');
    if (layout.fields.some(inner => inner.isChecked))
      this.refuse(field, 'an enum inside a nested struct cannot be checked; move it out');
    this.nested.push(layout);
    return {
      ts: layout.typeName,
      read: at => `{ ${layout.fields.map(inner => `${inner.name}: ${inner.codec.read(plus(at, inner.offset))}`).join(', ')} }`,
      write: (at, value) =>
        layout.fields.map(inner => inner.codec.write(plus(at, inner.offset), `${value}.${inner.name}`)).join('; '),
    };
  }

  private array(field: string, type: BtfType): Codec {
    const count = type.nr_elems ?? 0;
    const element = this.btf.resolve(type.type_id, () => false).type;
    if (element.name === 'char') {
      return {
        ts: 'string',
        read: at => `fixedText(data, ${at}, ${count})`,
        write: (at, value) => `data.write(${value}, ${at}, ${count - 1}, 'utf8')`,
      };
    }
    const { typedef } = this.btf.resolve(type.type_id, known => known in typedefs);
    const { codec, isChecked } = this.codec(field, type.type_id ?? -1, typedef);
    if (isChecked) this.refuse(field, 'an enum inside an array cannot be checked; use integers');
    const stride = this.btf.sizeBytes(type.type_id ?? -1);
    return {
      ts: `readonly ${codec.ts.includes(' ') ? `(${codec.ts})` : codec.ts}[]`,
      read: at =>
        count <= 8
          ? `[${Array.from({ length: count }, (_, i) => codec.read(plus(at, i * stride))).join(', ')}]`
          : `Array.from({ length: ${count} }, (_, i) => ${codec.read(`${at} + i * ${stride}`)})`,
      write: (at, value) => `for (let i = 0; i < ${count}; i += 1) ${codec.write(`${at} + i * ${stride}`, `${value}[i]!`)}`,
    };
  }

  /** The flexible array and the counts must belong together, or a decoder could not tell where a part ends. */
  private checkTail(): void {
    if (this.tail === undefined) {
      // Without a flexible array a count is a number like any other.
      for (const part of this.parts.splice(0)) this.fields.push(part.count);
      this.fields.sort((a, b) => a.offset - b.offset);
      return;
    }
    const { name, element } = this.tail;
    const kinds = new Set(this.parts.map(part => part.kind));
    if (kinds.size === 0)
      this.refuse(
        name,
        'a flexible array needs counts: fields <part>_depth (addresses), <part>_length (bytes of text) or <part>_bytes (__u16)',
      );
    const wanted = kinds.size > 1 || kinds.has('bytes') ? '__u8' : kinds.has('stack') ? 'code_addr' : 'char';
    if (element !== wanted) this.refuse(name, `its counts say that it is ${wanted} ${name}[], not ${element} ${name}[]`);
  }
}

/** `offset + 8` plus 4 is `offset + 12`. */
export function plus(at: string, bytes: number): string {
  const sum = /^(.*) \+ (\d+)$/.exec(at);
  if (sum !== null) return `${sum[1]} + ${Number(sum[2]) + bytes}`;
  return bytes === 0 ? at : `${at} + ${bytes}`;
}

export function camelCase(name: string): string {
  return name.replace(/_+(\w)/g, (_, letter: string) => letter.toUpperCase());
}

export function pascalCase(name: string): string {
  const camel = camelCase(name);
  return camel.charAt(0).toUpperCase() + camel.slice(1);
}
