/** The Probes page: every source, whether it runs, how it is attached and what it costs; switches, settings, and new function targets. */

import { useEffect, useState } from 'preact/hooks';
import type { SourceState } from '../../../agent/server/api.ts';
import { formatBytes, formatCount, formatDuration, formatRate, formatRelative, formatShare } from '../lib/format.ts';
import { groupHooks } from '../lib/hook-groups.ts';
import { lossOf, reasonTitle } from '../lib/source-loss.ts';
import { navigate, param } from '../state/address.ts';
import { type ApiFailure, apiUrl, postJson } from '../state/api.ts';
import { agentNowMs, sources as liveSources } from '../state/live.ts';
import { toFailure, useApi } from '../state/use-api.ts';
import { Empty, FailureNote, PageLink, SkeletonRows } from './parts.tsx';
import { SettingsForm } from './settings-form.tsx';
import { TargetBox } from './target-box.tsx';

export function PageOfSources({ list, onChange }: { list: readonly SourceState[]; onChange: (state: SourceState) => void }) {
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
            <th class="num">Each</th>
            <th class="num">CPU of host</th>
            <th class="num">Kernel memory</th>
            <th class="num">Lost</th>
            <th class="num">Switch</th>
          </tr>
        </thead>
        <tbody>
          {list.map(source => (
            <SourceLines key={source.name} source={source} isOpen={opened === source.name} onChange={onChange} />
          ))}
        </tbody>
      </table>
    </>
  );
}

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
        <PageOfSources list={list} onChange={setChanged} />
      )}
    </div>
  );
}

interface SourceLinesProps {
  source: SourceState;
  isOpen: boolean;
  onChange: (state: SourceState) => void;
}

function SourceLines({ source, isOpen, onChange }: SourceLinesProps) {
  const [failure, setFailure] = useState<ApiFailure | undefined>(undefined);
  const toggle = () => navigate({ params: { open: isOpen ? undefined : source.name } });
  const isRunning = source.state === 'running';
  const lost = lossOf(source.counts);
  const ways = [...new Set(source.hooks.map(hook => hook.way.replaceAll('_', ' ')))].join(', ');
  return (
    <>
      <tr class="clickable" aria-selected={isOpen} onClick={toggle} data-testid={`source-${source.name}`}>
        <td>
          <button type="button" class="plain" aria-expanded={isOpen}>
            <span class="twist">{isOpen ? '▾' : '▸'}</span>
            <b>{source.name}</b> <span class="dim">{source.title}</span>
          </button>
        </td>
        <td class={`state-${source.state}`} data-testid={`state-${source.name}`}>
          {source.state}
        </td>
        <td>{ways === '' ? <span class="faint">–</span> : ways}</td>
        <td class="num">{isRunning ? formatRate(source.hitsPerSecond) : <span class="faint">–</span>}</td>
        <td class="num">
          {isRunning && source.hitsPerSecond > 0 ? formatDuration(source.nsPerHit) : <span class="faint">–</span>}
        </td>
        <td class="num">{isRunning ? formatShare(source.cpuShare) : <span class="faint">–</span>}</td>
        <td class="num">{isRunning ? formatBytes(source.mapBytes + source.bufferBytes) : <span class="faint">–</span>}</td>
        <td class="num">
          {lost === 0 ? (
            <span class="faint">0</span>
          ) : (
            <PageLink to={{ page: 'agent' }} class="bad">
              {formatCount(lost)}
            </PageLink>
          )}
        </td>
        <td class="num">
          <SourceSwitch source={source} onChange={onChange} onFailure={setFailure} />
        </td>
      </tr>
      {(source.message !== '' || failure !== undefined) && (
        <tr class="message-row">
          <td colSpan={9}>
            {source.message !== '' && <div class={source.state === 'failed' ? 'note error' : 'note'}>{source.message}</div>}
            {failure !== undefined && <FailureNote failure={failure} />}
          </td>
        </tr>
      )}
      {isOpen && (
        <tr class="opened">
          <td colSpan={9}>
            <SourcePanel source={source} onChange={onChange} />
          </td>
        </tr>
      )}
    </>
  );
}

function SourceSwitch(props: {
  source: SourceState;
  onChange: (state: SourceState) => void;
  onFailure: (failure: ApiFailure | undefined) => void;
}) {
  const { source, onChange, onFailure } = props;
  const [isBusy, setBusy] = useState(false);
  const isOn = source.state === 'running';
  const change = (event: MouseEvent) => {
    event.stopPropagation();
    setBusy(true);
    onFailure(undefined);
    postJson<SourceState>(apiUrl(`sources/${source.name}/${isOn ? 'stop' : 'start'}`), {})
      .then(onChange, (error: unknown) => onFailure(toFailure(error)))
      .finally(() => setBusy(false));
  };
  return (
    <button
      type="button"
      role="switch"
      class="switch"
      aria-checked={isOn}
      aria-label={`${isOn ? 'Stop' : 'Start'} source ${source.name}`}
      disabled={isBusy}
      onClick={change}
      data-testid={`switch-${source.name}`}
    />
  );
}

function SourcePanel({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  return (
    <div class="source-panel" data-testid={`panel-${source.name}`}>
      <div>
        <h3>Hooks</h3>
        {source.hooks.length === 0 && <p class="dim">Not attached. Start the source to see how this kernel lets it attach.</p>}
        <ul class="plain-list hooks">
          {groupHooks(source.hooks).map(group => (
            <li key={group.observes.join()}>
              {group.observes.map(observed => (
                <div key={observed}>{observed}</div>
              ))}
              <div>
                by <b>{group.way.replaceAll('_', ' ')}</b>
              </div>
              {group.refused.map(refused => (
                <div key={refused.way} class="dim">
                  not by {refused.way.replaceAll('_', ' ')}: {refused.reason}
                </div>
              ))}
            </li>
          ))}
        </ul>
        {source.programs.length > 0 && (
          <>
            <h3>Programs</h3>
            <table class="grid">
              <thead>
                <tr>
                  <th>Program</th>
                  <th class="num">Hits</th>
                  <th class="num">Each</th>
                  <th class="num">CPU of host</th>
                  <th class="num">Memory</th>
                </tr>
              </thead>
              <tbody>
                {source.programs.map(program => (
                  <tr key={program.id}>
                    <td>
                      {program.name} <span class="dim">{program.id}</span>
                    </td>
                    <td class="num">{formatRate(program.hitsPerSecond)}</td>
                    <td class="num">
                      {program.hitsPerSecond > 0 ? formatDuration(program.nsPerHit) : <span class="faint">–</span>}
                    </td>
                    <td class="num">{formatShare(program.cpuShare)}</td>
                    <td class="num">{formatBytes(program.memoryBytes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
      </div>
      <div>
        <h3>Settings</h3>
        <SettingsForm source={source} onChange={onChange} />
      </div>
      <div>
        <h3>
          Counts{' '}
          {source.state === 'running' && (
            <span class="dim">since its start, {formatRelative(source.startedMs, agentNowMs())}</span>
          )}
        </h3>
        <dl class="counts">
          {Object.entries(source.counts).map(([reason, count]) => (
            <div key={reason}>
              <dt>{reasonTitle(reason)}</dt>
              <dd>{formatCount(count)}</dd>
            </div>
          ))}
        </dl>
      </div>
    </div>
  );
}
