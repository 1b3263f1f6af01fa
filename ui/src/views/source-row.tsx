/** A source on one line, with its switch; what went wrong under it, and all about it when it is opened. */

import type { SourceState } from '../../../agent/server/api.ts';
import { formatBytes, formatCount, formatDuration, formatRate, formatShare } from '../lib/format.ts';
import { lossOf } from '../lib/source-loss.ts';
import { navigate } from '../state/address.ts';
import { apiUrl, postJson } from '../state/api.ts';
import { type Action, useAction } from '../state/use-action.ts';
import { FailureNote, PageLink } from './parts.tsx';
import { SourcePanel } from './source-panel.tsx';

export interface SourceRowProps {
  source: SourceState;
  isOpen: boolean;
  onChange: (state: SourceState) => void;
}

export function SourceRow({ source, isOpen, onChange }: SourceRowProps) {
  const action = useAction(onChange);
  const toggle = () => navigate({ params: { open: isOpen ? undefined : source.name } });
  const lost = lossOf(source.counts);
  const ways = [...new Set(source.hooks.map(hook => hook.way.replaceAll('_', ' ')))].join(', ');
  return (
    <>
      <tr class="clickable" aria-selected={isOpen} onClick={toggle} data-testid={`source-${source.name}`}>
        <td>
          <button type="button" class="plain" aria-expanded={isOpen} title={source.title}>
            <span class="twist">{isOpen ? '▾' : '▸'}</span>
            <b>{source.name}</b> <span class="dim">{source.title}</span>
          </button>
        </td>
        <td class={`state-${source.state}`} data-testid={`state-${source.name}`}>
          {source.state}
        </td>
        <td class="nowrap">{ways === '' ? <span class="faint">–</span> : ways}</td>
        <Cost source={source} />
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
          <SourceSwitch source={source} action={action} />
        </td>
      </tr>
      {(source.message !== '' || action.failure !== undefined) && (
        <tr class="message-row">
          <td colSpan={9}>
            {source.message !== '' && <div class={source.state === 'failed' ? 'note error' : 'note'}>{source.message}</div>}
            {action.failure !== undefined && <FailureNote failure={action.failure} />}
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

/** What it costs while it runs. */
function Cost({ source }: { source: SourceState }) {
  const isRunning = source.state === 'running';
  const isHit = isRunning && source.hitsPerSecond > 0;
  const none = <span class="faint">–</span>;
  return (
    <>
      <td class="num">{isRunning ? formatRate(source.hitsPerSecond) : none}</td>
      <td class="num">{isHit ? formatDuration(source.nsPerHit) : none}</td>
      <td class="num">{isRunning ? formatShare(source.cpuShare) : none}</td>
      <td class="num">{isRunning ? formatBytes(source.mapBytes + source.bufferBytes) : none}</td>
    </>
  );
}

function SourceSwitch({ source, action }: { source: SourceState; action: Action<SourceState> }) {
  const isOn = source.state === 'running';
  const change = (event: MouseEvent) => {
    event.stopPropagation();
    action.run(() => postJson<SourceState>(apiUrl(`sources/${source.name}/${isOn ? 'stop' : 'start'}`), {}));
  };
  return (
    <button
      type="button"
      role="switch"
      class="switch"
      aria-checked={isOn}
      aria-label={`${isOn ? 'Stop' : 'Start'} source ${source.name}`}
      disabled={action.isBusy}
      onClick={change}
      data-testid={`switch-${source.name}`}
    />
  );
}
