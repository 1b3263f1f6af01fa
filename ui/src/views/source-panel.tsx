/** All about one source: how each hook is attached and why not better, its programs with their cost, its settings, its counts. */

import type { SourceState } from '../../../agent/server/api.ts';
import { formatBytes, formatCount, formatDuration, formatRate, formatRelative, formatShare } from '../lib/format.ts';
import { groupHooks } from '../lib/hook-groups.ts';
import { reasonTitle } from '../lib/source-loss.ts';
import { navigate, param } from '../state/address.ts';
import { agentNowMs } from '../state/live.ts';
import { Distribution } from './distribution.tsx';
import { SettingsForm } from './settings-form.tsx';

export function SourcePanel({ source, onChange }: { source: SourceState; onChange: (state: SourceState) => void }) {
  return (
    <div class="source-panel" data-testid={`panel-${source.name}`}>
      <div>
        <Hooks source={source} />
        {source.programs.length > 0 && <Programs source={source} />}
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
      <div class="source-durations">
        <Distribution
          sources={[source.name]}
          prefix=""
          operation={param('operation')}
          onOperation={operation => navigate({ params: { operation } })}
          heightPx={150}
        />
      </div>
    </div>
  );
}

function Hooks({ source }: { source: SourceState }) {
  return (
    <>
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
    </>
  );
}

function Programs({ source }: { source: SourceState }) {
  return (
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
              <td class="num">{program.hitsPerSecond > 0 ? formatDuration(program.nsPerHit) : <span class="faint">–</span>}</td>
              <td class="num">{formatShare(program.cpuShare)}</td>
              <td class="num">{formatBytes(program.memoryBytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
