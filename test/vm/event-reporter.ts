// A reporter for Node's test runner that writes one JSON object a line and test, for the matrix to read back from a VM.

import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** One finished test, as the matrix needs it. */
export interface TestRecord {
  readonly file: string;
  readonly name: string;
  readonly nesting: number;
  readonly outcome: 'pass' | 'fail' | 'skip';
  /** Why it was skipped, or the message of its failure. */
  readonly reason: string;
  readonly durationMs: number;
}

/** Node calls this with the stream of its events. */
export default async function* eventReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { data } = event;
    const skipReason = data.skip === undefined || data.skip === false ? undefined : String(data.skip);
    const record: TestRecord = {
      file: data.file ? relative(process.cwd(), data.file) : '',
      name: data.name,
      nesting: data.nesting,
      outcome: event.type === 'test:fail' ? 'fail' : skipReason === undefined ? 'pass' : 'skip',
      reason: event.type === 'test:fail' ? failureText(event.data.details.error) : (skipReason ?? ''),
      durationMs: data.details.duration_ms,
    };
    yield `${JSON.stringify(record)}\n`;
  }
}

/** The runner wraps what a test threw; the wrapped error says more. */
function failureText(error: Error & { cause?: unknown }): string {
  return error.cause instanceof Error ? `${error.cause.message}\n${error.cause.stack ?? ''}` : error.message;
}
