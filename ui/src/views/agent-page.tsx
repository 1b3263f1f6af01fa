/** The Agent page: what hotspan costs, what became of everything it saw, where it puts it, and what doctor says about this host. */

import type { DoctorReport, ExporterState, LedgerResult, StatusResponse } from '../../../agent/server/api.ts';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDateTime,
  formatDuration,
  formatRelative,
  formatShare,
} from '../lib/format.ts';
import { balanceParts, storeFullMs } from '../lib/ledger-balance.ts';
import { isLoss, reasonTitle } from '../lib/source-loss.ts';

import { apiUrl } from '../state/api.ts';
import { queryFrom, queryTo, status } from '../state/live.ts';
import { useApi } from '../state/use-api.ts';
import { Budget } from './budget.tsx';
import { FailureNote, Figure, SkeletonRows } from './parts.tsx';

export function AgentPage() {
  const answer = useApi<StatusResponse>(apiUrl('status'), { isLive: false });
  const now = status.value ?? answer.data;
  return (
    <div class="agent-page">
      {now === undefined ? (
        answer.failure !== undefined ? (
          <FailureNote failure={answer.failure} retry={answer.reload} />
        ) : (
          <SkeletonRows rows={4} />
        )
      ) : (
        <>
          <Figures now={now} />
          <div class="columns">
            <CpuParts now={now} />
            <MemoryParts now={now} />
            <StoreFacts now={now} />
          </div>
          <Budget governor={now.governor} />
        </>
      )}
      <Ledger />
      {now !== undefined && <Exporters list={now.exporters} />}
      <Doctor />
    </div>
  );
}

function Figures({ now }: { now: StatusResponse }) {
  return (
    <div class="figures" data-testid="agent-figures">
      <Figure name="CPU of the whole host, last 10 s" value={formatShare(now.cpuShare)} />
      <Figure name="memory, with kernel maps and buffers" value={formatBytes(now.rssBytes + now.mapBytes + now.bufferBytes)} />
      <Figure name="lost since the start" value={formatCount(now.lost)} isBad={now.lost > 0} />
      <Figure name={`on ${now.host}, kernel ${now.kernel}, ${now.cpus} CPUs`} value={`hotspan ${now.version}`} />
      <Figure
        name={`up, since ${formatDateTime(now.startedMs, 0)}`}
        value={formatDuration(Math.max(0, Math.round((now.nowMs - now.startedMs) / 1000)) * 1e9)}
      />
    </div>
  );
}

function CpuParts({ now }: { now: StatusResponse }) {
  const most = Math.max(1, ...now.cpuByPart.map(part => part.percentOfCore));
  const parts = [...now.cpuByPart].sort((a, b) => b.percentOfCore - a.percentOfCore);
  return (
    <section aria-label="Own CPU">
      <h2>CPU by part, of one core</h2>
      <Bars
        rows={parts.map(part => ({
          name: part.part,
          share: part.percentOfCore / most,
          value: formatShare(part.percentOfCore / 100),
        }))}
      />
    </section>
  );
}

function MemoryParts({ now }: { now: StatusResponse }) {
  const parts = [...now.memoryByPart].sort((a, b) => b.bytes - a.bytes);
  const most = Math.max(1, ...parts.map(part => part.bytes));
  return (
    <section aria-label="Own memory">
      <h2>Memory by part</h2>
      <Bars rows={parts.map(part => ({ name: part.part, share: part.bytes / most, value: formatBytes(part.bytes) }))} />
      <p class="dim">
        Process {formatBytes(now.rssBytes)}, kernel maps {formatBytes(now.mapBytes)}, perf buffers {formatBytes(now.bufferBytes)}
      </p>
    </section>
  );
}

function Bars({ rows }: { rows: readonly { name: string; share: number; value: string }[] }) {
  return (
    <ul class="plain-list bars">
      {rows.map(row => (
        <li key={row.name}>
          <span>{row.name}</span>
          <span class="bar-track">
            <i style={{ width: `${Math.min(100, row.share * 100).toFixed(1)}%` }} />
          </span>
          <span class="num">{row.value}</span>
        </li>
      ))}
    </ul>
  );
}

function StoreFacts({ now }: { now: StatusResponse }) {
  const { store } = now;
  const fullMs = storeFullMs(store, now.nowMs);
  return (
    <section aria-label="Store">
      <h2>Store</h2>
      {store.state !== 'ok' && <div class="note error">{store.message}</div>}
      <Bars
        rows={[
          {
            name: 'of its limit',
            share: store.bytes / Math.max(1, store.limitBytes),
            value: formatShare(store.bytes / Math.max(1, store.limitBytes)),
          },
        ]}
      />
      <dl class="counts">
        <Fact name="size" value={`${formatBytes(store.bytes)} of ${formatBytes(store.limitBytes)}`} />
        <Fact name="growth" value={`${formatBytes(store.growthBytesPerHour)}/h`} />
        <Fact name="reaches its limit" value={fullMs === undefined ? 'not at this rate' : formatDateTime(fullMs, 0)} />
        <Fact name="oldest data" value={store.oldestMs === 0 ? 'none yet' : formatRelative(store.oldestMs, now.nowMs)} />
        <Fact name="file" value={store.path} />
      </dl>
      {fullMs !== undefined && <p class="dim">At its limit the oldest data goes first.</p>}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Ledger() {
  const answer = useApi<LedgerResult>(apiUrl('ledger', { from: queryFrom.value, to: queryTo.value }));
  return (
    <section aria-label="Ledger" class={answer.isLoading ? 'loading' : ''}>
      <div class="section-head">
        <h2>Ledger</h2>
        <span class="dim">what became of everything that was seen in the range: seen = stored + lost + in flight</span>
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined ? (
        answer.failure === undefined && <SkeletonRows rows={4} />
      ) : (
        <LedgerTable ledger={answer.data} />
      )}
    </section>
  );
}

function LedgerTable({ ledger }: { ledger: LedgerResult }) {
  if (ledger.sources.length === 0) return <p class="dim">No source saw anything in this range.</p>;
  return (
    <>
      <table class="grid ledger" data-testid="ledger">
        <thead>
          <tr>
            <th>Source</th>
            <th class="num">Seen</th>
            <th class="num">= Stored</th>
            <th class="num">+ Lost or left out</th>
            <th class="num">+ In flight</th>
            <th class="num">+ Unexplained</th>
            <th>Balance</th>
          </tr>
        </thead>
        <tbody>
          {ledger.sources.map(line => (
            <LedgerLine key={line.source} line={line} />
          ))}
        </tbody>
      </table>
      {ledger.other.length > 0 && (
        <dl class="counts other-counts">
          {ledger.other.map(entry => (
            <Fact
              key={`${entry.source} ${entry.stage}`}
              name={`${entry.source} ${reasonTitle(entry.stage)}`}
              value={formatCount(entry.count)}
            />
          ))}
        </dl>
      )}
    </>
  );
}

function LedgerLine({ line }: { line: LedgerResult['sources'][number] }) {
  const lost = line.lost.reduce((sum, entry) => sum + entry.count, 0);
  return (
    <>
      <tr data-testid={`ledger-${line.source}`}>
        <td>
          <b>{line.source}</b>
        </td>
        <td class="num">{formatCount(line.seen)}</td>
        <td class="num">{formatCount(line.stored)}</td>
        <td class="num">{formatCount(lost)}</td>
        <td class="num">{formatCount(line.inFlight)}</td>
        <td class={line.unexplained === 0 ? 'num faint' : 'num unexplained'}>{formatCount(line.unexplained)}</td>
        <td>
          <span class="balance" aria-hidden="true">
            {balanceParts(line).map(part => (
              <i key={part.name} class={`balance-${part.name}`} style={{ width: `${(part.share * 100).toFixed(3)}%` }} />
            ))}
          </span>
        </td>
      </tr>
      {line.unexplained !== 0 && (
        <tr class="message-row">
          <td colSpan={7}>
            <div class="note error">
              The balance of {line.source} is off by {formatCount(line.unexplained)}: a defect of hotspan. Please report it with
              the output of <code>hotspan doctor --json</code>.
            </div>
          </td>
        </tr>
      )}
      {line.lost.map(entry => (
        <tr key={entry.reason} class="sub-row">
          <td />
          <td />
          <td />
          <td class={isLoss(entry.reason) ? 'num bad' : 'num dim'}>{formatCount(entry.count)}</td>
          <td colSpan={3}>
            {reasonTitle(entry.reason)} <span class="dim">{entry.meaning}</span>
          </td>
        </tr>
      ))}
    </>
  );
}

function Exporters({ list }: { list: readonly ExporterState[] }) {
  return (
    <section aria-label="Exporters">
      <h2>Exporters</h2>
      {list.length === 0 ? (
        <p class="dim">
          None. Start with <code>--otlp-endpoint http://collector:4318</code>, or set OTEL_EXPORTER_OTLP_ENDPOINT, to send spans
          and metrics to an OpenTelemetry collector.
        </p>
      ) : (
        <table class="grid" data-testid="exporters">
          <thead>
            <tr>
              <th>Exporter</th>
              <th>Endpoint</th>
              <th>State</th>
              <th class="num">Queued</th>
              <th class="num">Sent</th>
              <th class="num">Dropped</th>
              <th>Last word</th>
            </tr>
          </thead>
          <tbody>
            {list.map(exporter => (
              <tr key={exporter.name}>
                <td>
                  <b>{exporter.name}</b>
                </td>
                <td>{exporter.endpoint}</td>
                <td class={`state-${exporter.state}`}>{exporter.state}</td>
                <td class="num">{formatCompact(exporter.queued)}</td>
                <td class="num">{formatCount(exporter.sent)}</td>
                <td class={exporter.dropped > 0 ? 'num bad' : 'num faint'}>{formatCount(exporter.dropped)}</td>
                <td class="dim">{exporter.message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

const levelMarks = { error: '✕', warning: '!', info: 'i', ok: '✓' } as const;

function Doctor() {
  const answer = useApi<DoctorReport>(apiUrl('doctor'), { isLive: false });
  const levels = Object.keys(levelMarks);
  const findings = [...(answer.data?.findings ?? [])].sort((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level));
  return (
    <section aria-label="Doctor">
      <div class="section-head">
        <h2>Doctor</h2>
        <span class="dim">what works on this host, as of the opening of this page</span>
        <button type="button" class="ghost" onClick={answer.reload}>
          Ask again
        </button>
      </div>
      {answer.failure !== undefined && <FailureNote failure={answer.failure} retry={answer.reload} />}
      {answer.data === undefined && answer.failure === undefined && <SkeletonRows rows={6} />}
      <ul class="plain-list doctor" data-testid="doctor">
        {findings.map(finding => (
          <li key={finding.subject + finding.message} class={`finding-${finding.level}`}>
            <span class="mark">{levelMarks[finding.level]}</span>
            <b>{finding.subject}</b>
            <span>
              {finding.message} {finding.remedy !== '' && <span class="remedy">{finding.remedy}</span>}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
