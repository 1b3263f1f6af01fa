/** The table of keys as text: for --help and for the README. */

import { formatDuration, formatSize } from '../lib/units.ts';
import { configEntries, flagOf, type KeySpec, variableOf } from './keys.ts';

/** The default as a person would write it; '' for none. */
export function defaultText(spec: KeySpec): string {
  switch (spec.kind) {
    case 'duration':
      return formatDuration(spec.default * 1e6).replace(' ', '');
    case 'size':
      return formatSize(spec.default).replace(' ', '');
    case 'list':
      return spec.default.join(',');
    case 'pairs':
      return '';
    default:
      return String(spec.default);
  }
}

/** A Markdown table of every key, its variable, default and meaning. */
export function configMarkdown(): string {
  const rows = configEntries.map(([, spec]) => {
    const otel = spec.otelVariable === undefined ? '' : `, \`${spec.otelVariable}\``;
    const fallback = defaultText(spec);
    const name = `\`${spec.name}\` (\`--${flagOf(spec.name)}\`)`;
    return `| ${name} | \`${variableOf(spec.name)}\`${otel} | ${fallback === '' ? '' : `\`${fallback}\``} | ${spec.help} |`;
  });
  return ['| Key (flag) | Environment | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}
