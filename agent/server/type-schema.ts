/**
 * JSON Schemas of the API's types, read from the TypeScript files that declare them, so that openapi.json cannot say anything else than
 * what the compiler checks. Knows the part of TypeScript that those files use, and throws where it meets another.
 */

import { readFileSync } from 'node:fs';

export type Schema = Readonly<Record<string, unknown>>;

/** Words, texts, signs; a doc comment is kept as a description of what follows. */
const tokenPattern =
  /\/\*\*([\s\S]*?)\*\/|\/\/[^\n]*|\/\*[\s\S]*?\*\/|'([^']*)'|([A-Za-z_$][\w$]*|-?\d[\w.]*)|(=>|[{}()[\]<>:;,?|=&.])/g;

interface Token {
  readonly kind: 'doc' | 'text' | 'word' | 'sign';
  readonly value: string;
}

function tokenize(source: string): Token[] {
  return [...source.matchAll(tokenPattern)].flatMap(([, doc, text, word, sign]): Token[] => {
    if (doc !== undefined) return [{ kind: 'doc', value: doc.replace(/\s*\n\s*\*?\s*/g, ' ').trim() }];
    if (text !== undefined) return [{ kind: 'text', value: text }];
    if (word !== undefined) return [{ kind: 'word', value: word }];
    return sign === undefined ? [] : [{ kind: 'sign', value: sign }];
  });
}

const primitives: Readonly<Record<string, Schema>> = {
  string: { type: 'string' },
  number: { type: 'number' },
  boolean: { type: 'boolean' },
  null: { type: 'null' },
};

/** Reads one declaration; `at` points at the token after its name. */
class TypeReader {
  /** Names of other types that were met. */
  readonly references = new Set<string>();
  private readonly tokens: readonly Token[];
  private at: number;

  constructor(tokens: readonly Token[], at: number) {
    this.tokens = tokens;
    this.at = at;
  }

  declaration(kind: 'interface' | 'type'): Schema {
    if (kind === 'type') {
      this.expect('=');
      return this.union();
    }
    const parents: Schema[] = [];
    if (this.take('extends')) {
      do parents.push(this.reference(this.next().value));
      while (this.take(','));
    }
    const own = this.object();
    return parents.length === 0 ? own : { allOf: [...parents, own] };
  }

  private peek(): Token {
    const token = this.tokens[this.at];
    if (token === undefined) throw new SyntaxError('a type ends in the middle');
    return token;
  }

  private next(): Token {
    const token = this.peek();
    this.at += 1;
    return token;
  }

  private take(value: string): boolean {
    const isThere = this.peek().value === value && this.peek().kind !== 'text' && this.peek().kind !== 'doc';
    if (isThere) this.at += 1;
    return isThere;
  }

  private expect(value: string): void {
    const token = this.peek();
    if (!this.take(value)) throw new SyntaxError(`expected "${value}" in a type, found "${token.value}"`);
  }

  private reference(name: string): Schema {
    this.references.add(name);
    return { $ref: `#/components/schemas/${name}` };
  }

  /** After "{" has not been read yet. */
  private object(): Schema {
    this.expect('{');
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    let description = '';
    while (!this.take('}')) {
      const token = this.next();
      if (token.kind === 'doc') {
        description = token.value;
        continue;
      }
      if (token.value === 'readonly' && this.peek().kind === 'word') continue;
      if (this.peek().value === '(') throw new SyntaxError(`${token.value} is a method, which JSON cannot hold`);
      const isOptional = this.take('?');
      this.expect(':');
      const schema = this.union();
      properties[token.value] = description === '' ? schema : { ...schema, description };
      if (!isOptional) required.push(token.value);
      description = '';
      if (!this.take(';')) this.take(',');
    }
    return { type: 'object', properties, required };
  }

  private union(): Schema {
    this.take('|');
    const parts = [this.array()];
    while (this.take('|')) parts.push(this.array());
    if (parts.length === 1) return parts[0]!;
    return parts.every(part => 'const' in part) ? { enum: parts.map(part => part.const) } : { anyOf: parts };
  }

  private array(): Schema {
    let schema = this.single();
    while (this.take('[')) {
      this.expect(']');
      schema = { type: 'array', items: schema };
    }
    return schema;
  }

  private single(): Schema {
    const token = this.peek();
    if (token.value === '{') return this.object();
    this.at += 1;
    if (token.kind === 'text') return { const: token.value };
    if (token.value === 'readonly') return this.array();
    if (token.value === '(') {
      const inner = this.union();
      this.expect(')');
      return inner;
    }
    const primitive = primitives[token.value];
    if (primitive !== undefined) return primitive;
    if (token.value === 'Record' || token.value === 'Readonly') return this.generic(token.value);
    if (token.kind !== 'word' || !/^[A-Z]/.test(token.value))
      throw new SyntaxError(`"${token.value}" is no type that JSON can hold`);
    return this.reference(token.value);
  }

  private generic(name: 'Record' | 'Readonly'): Schema {
    this.expect('<');
    let schema = this.union();
    if (name === 'Record') {
      this.expect(',');
      schema = { type: 'object', additionalProperties: this.union() };
    }
    this.expect('>');
    return schema;
  }
}

const files: readonly URL[] = [new URL('api.ts', import.meta.url), new URL('../store/rows.ts', import.meta.url)];

/** Schemas of the named types and of all that they refer to. Throws a SyntaxError for what it does not know. */
export function typeSchemas(names: readonly string[]): Record<string, Schema> {
  const declarations = new Map<string, { tokens: readonly Token[]; at: number; kind: 'interface' | 'type' }>();
  for (const file of files) {
    const tokens = tokenize(readFileSync(file, 'utf8'));
    tokens.forEach(({ value: kind }, index) => {
      const name = tokens[index + 1];
      const isDeclaration =
        (kind === 'interface' || kind === 'type') && tokens[index - 1]?.value === 'export' && name?.kind === 'word';
      if (isDeclaration) declarations.set(name.value, { tokens, at: index + 2, kind });
    });
  }
  const schemas: Record<string, Schema> = {};
  const wanted = [...names];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (Object.hasOwn(schemas, name)) continue;
    const declaration = declarations.get(name);
    if (declaration === undefined) throw new SyntaxError(`type ${name} is declared neither in api.ts nor in rows.ts`);
    const reader = new TypeReader(declaration.tokens, declaration.at);
    schemas[name] = { title: name, ...reader.declaration(declaration.kind) };
    wanted.push(...reader.references);
  }
  return schemas;
}
