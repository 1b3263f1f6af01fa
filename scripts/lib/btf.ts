/** Types as `bpftool -j btf dump file` prints them, and what the generator asks of them. */

export interface BtfMember {
  readonly name: string;
  readonly type_id: number;
  readonly bits_offset: number;
  readonly bitfield_size?: number;
}

export interface BtfType {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly type_id?: number;
  readonly size?: number;
  readonly nr_elems?: number;
  readonly encoding?: string;
  readonly members?: readonly BtfMember[];
  readonly values?: readonly { readonly name: string; readonly val: number }[];
}

export class Btf {
  private readonly types: ReadonlyMap<number, BtfType>;

  constructor(json: string) {
    const dump = JSON.parse(json) as { types: BtfType[] };
    this.types = new Map(dump.types.map(type => [type.id, type]));
  }

  type(id: number | undefined): BtfType {
    const type = this.types.get(id ?? -1);
    if (type === undefined) throw new Error(`BTF names a type ${id} that it does not hold`);
    return type;
  }

  named(kind: 'STRUCT' | 'ENUM', name: string): BtfType | undefined {
    for (const type of this.types.values()) if (type.kind === kind && type.name === name) return type;
    return undefined;
  }

  /** The type under typedefs and qualifiers, and the first (outermost) typedef's name for which `isKnown` holds. */
  resolve(
    id: number | undefined,
    isKnown: (typedef: string) => boolean,
  ): { type: BtfType; typedef: string | undefined; outermost: string } {
    let type = this.type(id);
    const outermost = type.name;
    let typedef: string | undefined;
    while (['TYPEDEF', 'CONST', 'VOLATILE'].includes(type.kind)) {
      if (type.kind === 'TYPEDEF' && typedef === undefined && isKnown(type.name)) typedef = type.name;
      type = this.type(type.type_id);
    }
    return { type, typedef, outermost };
  }

  sizeBytes(id: number): number {
    const { type } = this.resolve(id, () => false);
    if (type.kind === 'ARRAY') return (type.nr_elems ?? 0) * this.sizeBytes(type.type_id ?? -1);
    return type.size ?? 8;
  }
}
