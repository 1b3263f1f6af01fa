/** A source's settings as a form made from their specification; applied to the running source without a restart. */

import { useState } from 'preact/hooks';
import type { SettingSpec, SourceState } from '../../../agent/server/api.ts';
import { parseSetting, type SettingValue, settingText } from '../lib/setting-value.ts';
import { type ApiFailure, apiUrl, postJson } from '../state/api.ts';
import { toFailure } from '../state/use-api.ts';
import { FailureNote } from './parts.tsx';

export function SettingsForm({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  // Only what the user has touched is kept here: everything else follows the source.
  const [edits, setEdits] = useState<Readonly<Record<string, string>>>({});
  const [failure, setFailure] = useState<ApiFailure | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  if (source.settingSpecs.length === 0) return <p class="dim">It has none.</p>;
  const current = (spec: SettingSpec) => settingText(source.settings[spec.key] ?? spec.default);
  const problems = source.settingSpecs.filter(spec => 'problem' in parseSetting(spec, edits[spec.key] ?? current(spec)));
  const changed = source.settingSpecs.filter(spec => edits[spec.key] !== undefined && edits[spec.key] !== current(spec));
  const apply = (event: Event) => {
    event.preventDefault();
    const settings: Record<string, SettingValue> = {};
    for (const spec of changed) {
      const parsed = parseSetting(spec, edits[spec.key] ?? '');
      if ('value' in parsed) settings[spec.key] = parsed.value;
    }
    setBusy(true);
    setFailure(undefined);
    postJson<SourceState>(apiUrl(`sources/${source.name}/settings`), { settings })
      .then(
        state => {
          setEdits({});
          onChange(state);
        },
        (error: unknown) => setFailure(toFailure(error)),
      )
      .finally(() => setBusy(false));
  };
  return (
    <form class="settings" onSubmit={apply}>
      {source.settingSpecs.map(spec => {
        const text = edits[spec.key] ?? current(spec);
        const parsed = parseSetting(spec, text);
        const common = {
          id: `setting-${source.name}-${spec.key}`,
          value: text,
          'aria-invalid': 'problem' in parsed,
          'data-testid': `setting-${source.name}-${spec.key}`,
          onInput: (event: Event) => setEdits({ ...edits, [spec.key]: (event.currentTarget as HTMLInputElement).value }),
        };
        return (
          <label key={spec.key} class="setting" htmlFor={`setting-${source.name}-${spec.key}`}>
            <span class="setting-key">{spec.key}</span>
            <span class="row">
              {spec.kind === 'list' ? (
                <textarea rows={3} spellcheck={false} {...common} />
              ) : (
                <input type="text" spellcheck={false} {...common} />
              )}
              <span class="dim">{spec.unit.replace(/^us$/, 'µs')}</span>
            </span>
            <span class={'problem' in parsed ? 'bad' : 'dim'}>{'problem' in parsed ? parsed.problem : spec.help}</span>
          </label>
        );
      })}
      {failure !== undefined && <FailureNote failure={failure} />}
      <span class="row">
        <button type="submit" class="primary" disabled={changed.length === 0 || problems.length > 0 || isBusy}>
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
