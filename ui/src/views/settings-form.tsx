/** A source's settings as a form made from their specification; applied to the running source without a restart. */

import { useState } from 'preact/hooks';
import type { SettingSpec, SourceState } from '../../../agent/server/api.ts';
import { parseSetting, type SettingValue, settingText } from '../lib/setting-value.ts';
import { apiUrl, postJson } from '../state/api.ts';
import { useAction } from '../state/use-action.ts';
import { FailureNote } from './parts.tsx';

export function SettingsForm({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  // Only what the user has touched is kept here: everything else follows the source.
  const [edits, setEdits] = useState<Readonly<Record<string, string>>>({});
  const action = useAction<SourceState>(state => {
    setEdits({});
    onChange(state);
  });
  if (source.settingSpecs.length === 0) return <p class="dim">It has none.</p>;
  const current = (spec: SettingSpec) => settingText(source.settings[spec.key] ?? spec.default);
  const textOf = (spec: SettingSpec) => edits[spec.key] ?? current(spec);
  const isValid = source.settingSpecs.every(spec => 'value' in parseSetting(spec, textOf(spec)));
  const changed = source.settingSpecs.filter(spec => textOf(spec) !== current(spec));
  const apply = (event: Event) => {
    event.preventDefault();
    const settings: Record<string, SettingValue> = {};
    for (const spec of changed) {
      const parsed = parseSetting(spec, textOf(spec));
      if ('value' in parsed) settings[spec.key] = parsed.value;
    }
    action.run(() => postJson<SourceState>(apiUrl(`sources/${source.name}/settings`), { settings }));
  };
  return (
    <form class="settings" onSubmit={apply}>
      {source.settingSpecs.map(spec => (
        <SettingField
          key={spec.key}
          id={`setting-${source.name}-${spec.key}`}
          spec={spec}
          text={textOf(spec)}
          onText={text => setEdits({ ...edits, [spec.key]: text })}
        />
      ))}
      {action.failure !== undefined && <FailureNote failure={action.failure} />}
      <span class="row">
        <button type="submit" class="primary" disabled={changed.length === 0 || !isValid || action.isBusy}>
          Apply
        </button>
        {changed.length > 0 && (
          <button type="button" class="ghost" onClick={() => setEdits({})}>
            Discard
          </button>
        )}
      </span>
    </form>
  );
}

function SettingField(props: { id: string; spec: SettingSpec; text: string; onText: (text: string) => void }) {
  const { id, spec, text } = props;
  const parsed = parseSetting(spec, text);
  const isBad = 'problem' in parsed;
  const common = {
    id,
    value: text,
    spellcheck: false,
    'aria-invalid': isBad,
    'data-testid': id,
    onInput: (event: Event) => props.onText((event.currentTarget as HTMLInputElement | HTMLTextAreaElement).value),
  };
  return (
    <label class="setting" htmlFor={id}>
      <span class="setting-key">{spec.key}</span>
      <span class="row">
        {spec.kind === 'list' ? <textarea rows={3} {...common} /> : <input type="text" {...common} />}
        <span class="dim">{spec.unit.replace(/^us$/, 'µs')}</span>
      </span>
      <span class={isBad ? 'bad' : 'dim'}>{isBad ? parsed.problem : spec.help}</span>
    </label>
  );
}
