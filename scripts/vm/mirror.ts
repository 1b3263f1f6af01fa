// Which Debian mirror this machine uses, read from its own apt sources, so that no host name stands in the tree.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface DebianMirror {
  /** Base address of the main archive. */
  readonly uri: string;
  /** Base address of the security archive; older suites get their newest kernels there. */
  readonly securityUri: string;
  /** Key ring that signs both. */
  readonly keyring: string;
}

interface SourceEntry {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly keyring: string | undefined;
}

const DEFAULT_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Reads the mirror from `etcApt`. Throws an Error of one sentence when the machine names none. */
export function debianMirror(etcApt = '/etc/apt'): DebianMirror {
  const entries = [...deb822Entries(join(etcApt, 'sources.list.d')), ...oneLineEntries(join(etcApt, 'sources.list'))];
  const isSecurity = (entry: SourceEntry) => entry.suites.some(suite => suite.endsWith('-security'));
  const main = entries.find(entry => !isSecurity(entry) && /\/debian\/?$/.test(entry.uri));
  if (!main)
    throw new Error(`no Debian mirror is named in ${etcApt}; the VM matrix takes its kernels from the machine's own mirror`);
  const security = entries.find(isSecurity);
  return {
    uri: main.uri,
    securityUri: security?.uri ?? main.uri.replace(/\/debian\/?$/, '/debian-security'),
    keyring: main.keyring ?? DEFAULT_KEYRING,
  };
}

/** The newer format: paragraphs of `Field: value`, described in sources.list(5) as DEB822. */
function deb822Entries(folder: string): SourceEntry[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter(file => file.endsWith('.sources'));
  return files.flatMap(file => {
    const paragraphs = readFileSync(join(folder, file), 'utf8').split(/\n\s*\n/);
    return paragraphs.flatMap(paragraph => {
      const field = (name: string) => new RegExp(`^${name}:\\s*(\\S.*)$`, 'im').exec(paragraph)?.[1]?.trim().split(/\s+/);
      const keyring = field('Signed-By')?.[0];
      return (field('URIs') ?? []).map(uri => ({
        uri,
        suites: field('Suites') ?? [],
        keyring: keyring?.startsWith('/') ? keyring : undefined,
      }));
    });
  });
}

/** The older format: `deb [options] uri suite component...`. */
function oneLineEntries(file: string): SourceEntry[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap(line => {
      const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)/.exec(line.trim());
      if (!match?.[2] || !match[3]) return [];
      return [{ uri: match[2], suites: [match[3]], keyring: /signed-by=(\/\S+)/.exec(match[1] ?? '')?.[1] }];
    });
}
