/** How far the agent holds itself back to keep its budget of CPU: a notice on the Overview, and a section of the Agent page. */

import type { StatusResponse } from '../../../agent/server/api.ts';
import { formatCount, formatDateTime, formatDuration, formatShare } from '../lib/format.ts';
import { status } from '../state/live.ts';
import { Figure, PageLink } from './parts.tsx';

type Governor = StatusResponse['governor'];

/** Nothing where everything is as it was asked for. */
export function BudgetNotice() {
  const governor = status.value?.governor;
  if (governor === undefined || governor.level === 0) return null;
  return (
    <div class="note" role="status" data-testid="budget-notice">
      hotspan holds itself back to keep to {formatShare(governor.budgetShare)} of the host's CPU: {takenText(governor)}. Totals
      stay right{governor.paused.length > 0 ? ' but for what is paused' : ''}. <PageLink to={{ page: 'agent' }}>More</PageLink>
    </div>
  );
}

/** "cpu hz 49 instead of 99; file paused" */
function takenText({ limits, paused }: Governor): string {
  const words = [
    ...limits.map(limit => `${limit.source} ${limit.setting} ${limit.inForce} ${limit.unit} instead of ${limit.asked}`),
    ...paused.map(source => `${source} paused`),
  ];
  return words.length === 0 ? 'the sources that run are as they were asked for' : words.join('; ');
}

export function Budget({ governor }: { governor: Governor }) {
  const { budgetShare, costShare, level, levels } = governor;
  const isOver = budgetShare > 0 && costShare > budgetShare;
  return (
    <section aria-label="Budget" data-testid="budget">
      <div class="section-head">
        <h2>Budget</h2>
        <span class="dim">
          {budgetShare === 0
            ? 'none: start with --budget 2 to have hotspan keep to 2 % of the CPU of all cores'
            : 'over it, rates are lowered and floors raised step by step; under it, they come back'}
        </span>
      </div>
      {budgetShare > 0 && (
        <div class="figures">
          <Figure
            name={`of ${formatShare(budgetShare)}, without queries, last 10 s`}
            value={formatShare(costShare)}
            isBad={isOver}
          />
          <Figure name={`of ${levels} steps in force`} value={formatCount(level)} />
          <Figure name="held back since the start" value={formatDuration(governor.secondsHeldBack * 1e9)} />
          <Figure name="last change" value={governor.changedMs === 0 ? 'none' : formatDateTime(governor.changedMs, 0)} />
        </div>
      )}
      {level > 0 && <BudgetTable governor={governor} />}
    </section>
  );
}

function BudgetTable({ governor: { limits, paused } }: { governor: Governor }) {
  return (
    <table class="grid" data-testid="budget-limits">
      <thead>
        <tr>
          <th>Source</th>
          <th>Setting</th>
          <th class="num">Asked for</th>
          <th class="num">In force</th>
          <th>Unit</th>
        </tr>
      </thead>
      <tbody>
        {limits.map(limit => (
          <tr key={`${limit.source} ${limit.setting}`}>
            <td>
              <b>{limit.source}</b>
            </td>
            <td>{limit.setting}</td>
            <td class="num">{formatCount(limit.asked)}</td>
            <td class="num">{formatCount(limit.inForce)}</td>
            <td class="dim">{limit.unit}</td>
          </tr>
        ))}
        {paused.map(source => (
          <tr key={source}>
            <td>
              <b>{source}</b>
            </td>
            <td colSpan={4}>paused: its programs alone cost too much at what the host does now</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
