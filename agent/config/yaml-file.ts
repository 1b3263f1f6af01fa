/** Reads a configuration file into dotted keys, each with its line. */

import { readFileSync } from 'node:fs';
import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';

export interface FileEntry {
  /** Dotted path: "retention.age". */
  readonly name: string;
  readonly value: unknown;
  readonly line: number;
}

export interface FileContent {
  readonly entries: readonly FileEntry[];
  /** Each "file:line: what is wrong; remedy". */
  readonly problems: readonly string[];
}

/** A configuration larger than this is a mistake (1 MiB), and would only make the parser slow. */
const maxBytes = 2 ** 20;

/** `isGroup` tells whether a dotted name is a group of keys, to be gone into, rather than a key. Throws where the file cannot be read. */
export function readConfigFile(path: string, isGroup: (name: string) => boolean): FileContent {
  const bytes = readFileSync(path);
  if (bytes.length > maxBytes)
    return { entries: [], problems: [`${path}:1: is larger than 1 MiB; is it a hotspan configuration?`] };
  return parseConfigText(bytes.toString('utf8'), path, isGroup);
}

export function parseConfigText(text: string, path: string, isGroup: (name: string) => boolean): FileContent {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number | undefined) => `${path}:${offset === undefined ? 1 : lines.linePos(offset).line}`;
  const problems = document.errors.map(error => `${at(error.pos[0])}: ${firstSentence(error.message)}; correct the YAML there`);
  const root = document.contents;
  if (problems.length > 0 || root === null) return { entries: [], problems };
  if (!isMap(root)) return { entries: [], problems: [`${path}:1: must hold "key: value" lines`] };

  const entries: FileEntry[] = [];
  const visit = (map: YAMLMap, prefix: string): void => {
    for (const { key, value } of map.items) {
      const name = prefix + (isScalar(key) ? String(key.value) : String(key));
      const offset = (key as Node).range?.[0];
      const line = offset === undefined ? 1 : lines.linePos(offset).line;
      if (isMap(value) && isGroup(name)) visit(value, `${name}.`);
      else if (isAlias(value))
        problems.push(`${path}:${line}: "${name}" is a YAML alias, which is not supported; write the value itself`);
      else entries.push({ name, value: plainValue(value as Node | null), line });
    }
  };
  visit(root, '');
  return { entries, problems };
}

function plainValue(node: Node | null): unknown {
  return node === null ? null : node.toJSON();
}

function firstSentence(message: string): string {
  return message.split('\n')[0]!.replace(/[.:]\s*$/, '');
}
