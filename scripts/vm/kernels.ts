// The kernels of the test matrix: which Debian package each comes from, and how it gets into the cache. A kernel is fetched
// once, unpacked and never installed; what stays is its image and the few modules that a VM needs to reach the shared folders.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { debianMirror } from './mirror.ts';

interface KernelRecipe {
  /** Debian suites in which the package is looked for; the newest version over all of them is taken. */
  readonly suites: readonly string[];
  /** Which packages hold the image; the first group is the part that the image and the modules share in their names. */
  readonly image: RegExp;
  /** From 7.x on Debian packs the modules apart; given the shared part, this names the package that holds them. */
  readonly modules?: (version: string) => string;
}

/** The matrix, from the floor that hotspan supports to the newest kernel that Debian builds. */
export const KERNELS = {
  '5.10': { suites: ['bullseye', 'bullseye-security'], image: /^linux-image-(5\.10\.0-\d+)-amd64-unsigned$/ },
  '6.1': { suites: ['bookworm'], image: /^linux-image-(6\.1\.0-\d+)-amd64-unsigned$/ },
  '6.12': { suites: ['trixie'], image: /^linux-image-(6\.12\.\d+\+deb13)-amd64-unsigned$/ },
  '7.2': {
    suites: ['sid'],
    image: /^linux-binary-(7\.\d+\.\d+\+deb\d+)-amd64$/,
    modules: version => `linux-modules-${version}-amd64`,
  },
} as const satisfies Record<string, KernelRecipe>;

export type KernelName = keyof typeof KERNELS;

export const KERNEL_NAMES = Object.keys(KERNELS) as KernelName[];

/** Where a fetched kernel lies in the cache. */
export interface CachedKernel {
  readonly name: KernelName;
  /** The Debian package that it came from. */
  readonly packageName: string;
  readonly imagePath: string;
  /** Module files in the order in which they must be loaded. */
  readonly modulePaths: readonly string[];
}

/**
 * The drivers for the shared folders and the output ports, and the overlay; and what live tests watch: a block device on a file, and a
 * network that loses packets, and the answers to ss. Those built into a kernel are not found as files and are skipped.
 */
const WANTED_MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'loop', 'sch_netem', 'tcp_diag'];

/** The folder that holds the kernels, outside the tree so that fresh clones share it. */
export function vmCacheDir(): string {
  return process.env.HOTSPAN_VM_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hotspan', 'vm');
}

/** Returns the kernel from the cache, and fetches it first where it is missing. `log` gets a line for each slow step. Throws an Error of one sentence. */
export function ensureKernel(name: KernelName, log: (line: string) => void): CachedKernel {
  const home = join(vmCacheDir(), name);
  if (!isWhole(home)) fetchKernel(name, home, log);
  const moduleDir = join(home, 'modules');
  return {
    name,
    packageName: readFileSync(join(home, 'package'), 'utf8').trim(),
    imagePath: join(home, 'vmlinuz'),
    modulePaths: readdirSync(moduleDir)
      .sort()
      .map(file => join(moduleDir, file)),
  };
}

/** False also where an older version of this file kept fewer modules. */
function isWhole(home: string): boolean {
  const list = join(home, 'wanted');
  return existsSync(join(home, 'package')) && existsSync(list) && readFileSync(list, 'utf8') === WANTED_MODULES.join('\n');
}

function fetchKernel(name: KernelName, home: string, log: (line: string) => void): void {
  mkdirSync(vmCacheDir(), { recursive: true });
  const scratch = mkdtempSync(join(vmCacheDir(), `.fetch-${name}-`));
  try {
    const apt = privateApt(scratch, KERNELS[name].suites);
    log(`kernel ${name}: reading the package lists of ${KERNELS[name].suites.join(' and ')}`);
    apt(['update']);
    const packages = kernelPackages(KERNELS[name], apt(['search', '--names-only', '^linux-(image|binary)-[0-9]'], 'apt-cache'));
    log(`kernel ${name}: fetching ${packages.join(' and ')}`);
    apt(['download', ...packages]);
    for (const file of readdirSync(scratch).filter(entry => entry.endsWith('.deb')))
      run('dpkg', ['-x', file, 'unpacked'], scratch);
    const fresh = join(scratch, 'kernel');
    keepWhatIsNeeded(join(scratch, 'unpacked'), fresh);
    writeFileSync(join(fresh, 'wanted'), WANTED_MODULES.join('\n'));
    writeFileSync(join(fresh, 'package'), `${packages[0]}\n`);
    // Whoever renames first wins when two runs fetch the same kernel at once; both hold the same files.
    rmSync(home, { recursive: true, force: true });
    renameSync(fresh, home);
  } catch (cause) {
    throw new Error(`cannot fetch kernel ${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** An apt with its own lists and cache, so that the machine's apt never hears of the other suites. */
function privateApt(scratch: string, suites: readonly string[]): (args: string[], program?: string) => string {
  const mirror = debianMirror();
  for (const folder of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(scratch, folder), { recursive: true });
  const lines = suites.map(suite => {
    const uri = suite.endsWith('-security') ? mirror.securityUri : mirror.uri;
    return `deb [signed-by=${mirror.keyring}] ${uri} ${suite} main\n`;
  });
  writeFileSync(join(scratch, 'sources.list'), lines.join(''));
  const options = {
    'Dir::Etc::sourcelist': join(scratch, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(scratch, 'lists'),
    'Dir::Cache': join(scratch, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    // Without this, apt calls an update done that reached nobody.
    'APT::Update::Error-Mode': 'any',
    // A mirror may be a snapshot whose lists are older than they say they should be. Their signatures are checked all the same.
    'Acquire::Check-Valid-Until': 'false',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return (args, program = 'apt-get') => run(program, [...flags, '-q', ...args], scratch);
}

/** The packages to download, newest version: one, or two where the modules are packed apart. */
function kernelPackages(recipe: KernelRecipe, searchOutput: string): string[] {
  const names = searchOutput.split('\n').map(line => line.split(' ')[0] ?? '');
  const newest = names
    .filter(name => recipe.image.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  if (newest === undefined) throw new Error(`no package of ${recipe.suites.join(' or ')} matches ${recipe.image.source}`);
  const version = recipe.image.exec(newest)?.[1] ?? '';
  return recipe.modules ? [newest, recipe.modules(version)] : [newest];
}

/** Copies the image and the wanted modules, with all that they depend on, into `target`; files are numbered in load order. */
function keepWhatIsNeeded(unpacked: string, target: string): void {
  const files = readdirSync(unpacked, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  const image = files.find(entry => entry.name.startsWith('vmlinuz'));
  if (!image) throw new Error('the package holds no vmlinuz');
  mkdirSync(join(target, 'modules'), { recursive: true });
  copyFileSync(join(image.parentPath, image.name), join(target, 'vmlinuz'));

  const pathByModule = new Map(
    files
      .filter(entry => /\.ko(\.xz)?$/.test(entry.name))
      .map(entry => [moduleName(entry.name), join(entry.parentPath, entry.name)]),
  );
  const taken = new Set<string>();
  const take = (name: string): void => {
    const path = pathByModule.get(name);
    if (path === undefined || taken.has(name)) return;
    taken.add(name);
    const bytes = moduleBytes(path);
    for (const dependency of moduleDependencies(bytes)) take(dependency);
    const order = String(readdirSync(join(target, 'modules')).length).padStart(2, '0');
    writeFileSync(join(target, 'modules', `${order}-${name}.ko`), bytes);
  };
  for (const name of WANTED_MODULES) take(name);
}

/** The kernel writes - and _ for the same thing; its own lists of dependencies mix both. */
function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

function moduleBytes(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path);
  const result = spawnSync('xz', ['-dc', path], { maxBuffer: 64 << 20 });
  if (result.status !== 0) throw new Error(`xz cannot unpack ${basename(path)}: ${result.error?.message ?? result.stderr}`);
  return result.stdout;
}

/** Reads the `depends=a,b` entry of a module's .modinfo section, which is a list of NUL-terminated strings. */
function moduleDependencies(bytes: Buffer): string[] {
  const start = bytes.indexOf('\0depends=');
  if (start < 0) return [];
  const valueStart = start + '\0depends='.length;
  const value = bytes.toString('latin1', valueStart, bytes.indexOf(0, valueStart));
  return value.split(',').filter(Boolean).map(moduleName);
}

function run(program: string, args: string[], cwd: string): string {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.error) throw new Error(`cannot start ${program}: ${result.error.message}; run \`npm run setup -- test\``);
  if (result.status !== 0) {
    const reason =
      result.stderr
        .trim()
        .split('\n')
        .find(line => line.startsWith('E:')) ?? result.stderr.trim().split('\n').at(-1);
    throw new Error(`${program} ${args.at(-1)} failed: ${reason}; check that the machine reaches its Debian mirror`);
  }
  return result.stdout;
}
