/** The Probes page: every source, whether it runs, how it is attached and what it costs; switches, settings, and new function targets. */

import { useEffect, useState } from 'preact/hooks';
import type { SourceState } from '../../../agent/server/api.ts';
import { param } from '../state/address.ts';
import { apiUrl } from '../state/api.ts';
import { sources as liveSources } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { Empty, FailureNote, SkeletonRows } from './parts.tsx';
import { SourceRow } from './source-row.tsx';
import { TargetBox } from './target-box.tsx';

export function ProbesPage() {
  const answer = useApi<SourceState[]>(apiUrl('sources'));
  // Live messages carry the sources; an answer to a switch is newer than the last message, but only until the next.
  const [changed, setChanged] = useState<SourceState | undefined>(undefined);
  const live = liveSources.value;
  useEffect(() => setChanged(undefined), [live]);
  const list = (live ?? answer.data)?.map(source => (source.name === changed?.name ? changed : source));
  return (
    <div class="probes-page">
      <div class="section-head">
        <h2>Sources</h2>
        <span class="dim">each starts and stops by itself; a stopped one leaves nothing loaded</span>
      </div>
      {answer.failure !== undefined && list === undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {list === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={5} />
      ) : list.length === 0 ? (
        <Empty title="This agent has no sources.">It was built without any; build it again with npm run build.</Empty>
      ) : (
        <SourceTable list={list} onChange={setChanged} />
      )}
    </div>
  );
}

function SourceTable({ list, onChange }: { list: readonly SourceState[]; onChange: (state: SourceState) => void }) {
  const opened = param('open');
  const func = list.find(source => source.settingSpecs.some(spec => spec.key === 'targets'));
  return (
    <>
      {func !== undefined && <TargetBox source={func} onChange={onChange} />}
      <table class="grid probes" data-testid="sources">
        <thead>
          <tr>
            <th>Source</th>
            <th>State</th>
            <th>Attached by</th>
            <th class="num">Hits</th>
            <th class="num">Per hit</th>
            <th class="num">CPU of host</th>
            <th class="num">Kernel memory</th>
            <th class="num">Lost</th>
            <th class="num">Switch</th>
          </tr>
        </thead>
        <tbody>
          {list.map(source => (
            <SourceRow key={source.name} source={source} isOpen={opened === source.name} onChange={onChange} />
          ))}
        </tbody>
      </table>
    </>
  );
}
