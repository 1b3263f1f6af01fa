/**
 * npm run fuzz [-- MINUTES]: fuzzes all that reads strangers' files, each fuzzer for so long (1 minute unless told), on what earlier
 * runs found interesting (.build/fuzz). Exits 1 where something was found, and says where the input lies.
 */

import { join } from 'node:path';
import { buildFuzzer, FUZZERS, runFuzzer, workDir } from './lib/fuzzers.ts';

const minutes = Number(process.argv[2] ?? 1);
if (!(minutes > 0)) {
  console.error('fuzz: the number of minutes is asked for, as in `npm run fuzz -- 10`');
  process.exit(2);
}
for (const fuzzer of FUZZERS) {
  console.error(`${fuzzer.name}: building`);
  buildFuzzer(fuzzer);
  console.error(`${fuzzer.name}: running for ${minutes} min`);
  const result = runFuzzer(fuzzer, [`-max_total_time=${Math.ceil(minutes * 60)}`], join(workDir(fuzzer), 'corpus'));
  console.log(
    `${fuzzer.name}: ${result.executions.toLocaleString('en-US')} executions, ${result.coverage} edges, ${result.ok ? 'nothing found' : 'FOUND:'}`,
  );
  if (!result.ok) {
    console.log(result.log.split('\n').slice(-60).join('\n'));
    process.exitCode = 1;
  }
}
