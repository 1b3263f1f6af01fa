/** Says in one sentence, before anything else is tried, that hotspan may not do here what it needs to. */

import { effectiveCapabilities, missingCapabilities } from '../lib/capabilities.ts';
import { CommandError } from './command.ts';

/** Throws a CommandError unless this process may load eBPF programs and read other processes. */
export function requirePrivileges(): void {
  const missing = missingCapabilities(effectiveCapabilities());
  if (missing.length === 0) return;
  const names = missing.join(', ').replace(/, ([^,]+)$/, ' and $1');
  if (process.geteuid?.() === 0) {
    throw new CommandError(
      `hotspan needs ${names}, which this root user lacks, as in a container; start the container with ${missing.map(name => `--cap-add ${name.slice(4)}`).join(' ')}, or --privileged`,
    );
  }
  throw new CommandError(`hotspan needs root: observing a host by eBPF takes ${names}; run it with sudo`);
}

/** Throws a CommandError where the native parts would crash this Node instead of refusing it. */
export function requireNode(): void {
  if (Number(process.versions.napi) >= 10) return;
  throw new CommandError(
    `hotspan needs Node 22.18 or newer, not ${process.version}; run "npm install" and start it with scripts/hotspan`,
  );
}
