/**
 * Unwind tables against binutils: every row of real files and of programs built in all the ways that call frame information comes.
 * And unwind-test.cc under AddressSanitizer and UndefinedBehaviorSanitizer: what no real file has; and a short run of the fuzzer.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, openSync, readFileSync, realpathSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildFuzzer, FUZZERS, runFuzzer } from '../../../scripts/lib/fuzzers.ts';
import { build, buildDir } from '../symbols/programs.ts';

const projectDir = fileURLToPath(new URL('../../../', import.meta.url));
const programDir = join(projectDir, '.build/unwind-test');

before(() => {
  execFileSync('cmake', ['-S', join(projectDir, 'native/test/unwind'), '-B', programDir], { stdio: 'ignore' });
  execFileSync('cmake', ['--build', programDir, '--parallel', '2'], { stdio: ['ignore', 'ignore', 'inherit'] });
});

interface Counts {
  readonly functions: number;
  readonly rows: number;
  readonly unsupported: number;
  readonly special: number;
  readonly source: string;
}

/** Compares the table of `file` with what readelf prints of `dumped`, and asserts that nothing differs. */
async function compare(file: string, dumped = file, ...mode: 'go'[]): Promise<Counts> {
  const readelf = spawn('readelf', ['--debug-dump=frames-interp', dumped], { stdio: ['ignore', 'pipe', 'ignore'] });
  const check = spawn(join(programDir, 'readelf-check'), [file, ...mode], { stdio: [readelf.stdout, 'pipe', 'pipe'] });
  // The pipe is the child's now; read here as well, it would lose lines.
  readelf.stdout.destroy();
  let out = '';
  let complaints = '';
  check.stdout?.setEncoding('utf8').on('data', text => (out += text));
  check.stderr?.setEncoding('utf8').on('data', text => (complaints += text));
  const [code] = await once(check, 'close');
  assert.equal(code, 0, `${file}: ${out}${complaints}`);
  const value = (name: string) => new RegExp(`\\b${name} (\\S+)`).exec(out)?.[1] ?? '';
  console.log(`${file}: ${out.trim()}`);
  return {
    functions: Number(value('functions')),
    rows: Number(value('rows')),
    unsupported: Number(value('unsupported')),
    special: Number(value('special')),
    // What else there is between functions is followed: _init, hand-written code, what the C compiler puts into all programs.
    source: value('source').replace('+followed', ''),
  };
}

/** A copy of the file that says it has no section headers: e_shoff, e_shnum and e_shstrndx of the ELF header are 0. */
function withoutSections(file: string): string {
  const copy = `${file}.bare`;
  copyFileSync(file, copy);
  const fd = openSync(copy, 'r+');
  writeSync(fd, Buffer.alloc(8), 0, 8, 40);
  writeSync(fd, Buffer.alloc(4), 0, 4, 60);
  return copy;
}

/** Libraries of this process, by the start of their names. */
function loaded(name: string): string {
  const path = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .map(line => line.slice(line.indexOf('/')))
    .find(path => path.includes(`/${name}`));
  assert.ok(path, `${name} is loaded here`);
  return path;
}

test('tables of real files agree with readelf in every row', { timeout: 300_000 }, async () => {
  const wanted: readonly (readonly [string, number])[] = [
    [loaded('libc.so'), 20_000],
    [loaded('libstdc++.so'), 25_000],
    [loaded('ld-linux'), 1_500],
    [process.execPath, 400_000],
  ];
  for (const [file, minRows] of wanted) {
    const counts = await compare(file);
    assert.ok(counts.rows > minRows, `${file} has ${counts.rows} rows only`);
    assert.ok(counts.unsupported <= 10, `${counts.unsupported} rows of ${file} have no form in the tables`);
    assert.equal(counts.source, 'eh_frame');
  }
});

test('tables of programs built in many ways agree with readelf', { timeout: 120_000 }, async () => {
  const cc = (name: string, ...flags: string[]) => build(name, 'gcc', [...flags, '-o', '{out}', '{src}functions.c', '-ldl']);
  const onlyDebug = ['-g', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'];
  const programs: readonly (readonly [string, string])[] = [
    [cc('plain', '-O2'), 'eh_frame'],
    [cc('slow', '-O0', '-fno-omit-frame-pointer', '-no-pie'), 'eh_frame'],
    [cc('plt', '-O2', '-fcf-protection=full', '-Wl,-z,lazy'), 'eh_frame'],
    [cc('static', '-O2', '-static'), 'eh_frame'],
    [build('templates', 'g++', ['-O2', '-o', '{out}', '{src}templates.cc']), 'eh_frame'],
    [build('clang', 'clang', ['-O3', '-o', '{out}', '{src}functions.c', '-ldl']), 'eh_frame'],
    [cc('debug', '-O2', '-gz=none', ...onlyDebug), 'eh_frame+debug_frame'],
    [cc('zlib', '-O2', '-gz=zlib', ...onlyDebug), 'eh_frame+debug_frame'],
    [cc('gnu-zlib', '-O2', '-gz=zlib-gnu', ...onlyDebug), 'eh_frame+debug_frame'],
  ];
  for (const [file, source] of programs) assert.equal((await compare(file)).source, source, file);
  const first = programs[0]?.[0] ?? '';
  for (const file of [first, build('templates2', 'g++', ['-O0', '-o', '{out}', '{src}templates.cc'])])
    assert.equal((await compare(withoutSections(file), file)).source, 'eh_frame');
  const libc = join(buildDir, 'libc.so');
  copyFileSync(loaded('libc.so'), libc);
  assert.ok((await compare(withoutSections(libc), libc)).rows > 20_000);
});

const hasGo = spawnSync('go', ['version']).status === 0;

test('tables and their cache hold under the sanitizers against lying, rotten and mutated files', { timeout: 300_000 }, () => {
  const onlyDebug = ['-g', '-gz', '-fno-asynchronous-unwind-tables'];
  const files = [
    build('mutated', 'gcc', ['-O2', '-o', '{out}', '{src}functions.c', '-ldl']),
    build('mutated-debug', 'gcc', ['-O2', ...onlyDebug, '-o', '{out}', '{src}functions.c', '-ldl']),
    ...(hasGo ? [build('mutated-go', 'go', ['build', '-o', '{out}', '{src}names.go'], { CGO_ENABLED: '0' })] : []),
  ];
  const run = spawnSync(join(programDir, 'unwind-test'), [join(buildDir, 'cache'), ...files], { encoding: 'utf8' });
  console.log(run.stdout);
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /all parts passed\n$/);
  const follow = spawnSync(join(programDir, 'follow-test'), { encoding: 'utf8' });
  console.log(follow.stdout);
  assert.equal(follow.status, 0, follow.stderr);
});

test('fuzzing tables from the samples finds nothing', { timeout: 600_000 }, () => {
  const fuzzer = FUZZERS.find(({ name }) => name === 'fuzz-tables');
  assert.ok(fuzzer);
  buildFuzzer(fuzzer);
  const { executions, coverage, ok, log } = runFuzzer(fuzzer, ['-runs=20000', '-seed=1'], join(buildDir, 'corpus'));
  console.log(`${executions} executions, ${coverage} edges`);
  assert.ok(ok, log.split('\n').slice(-60).join('\n'));
  // With fewer the samples are not what they were, and nothing is fuzzed but the way to a refusal.
  assert.ok(executions >= 20_000 && coverage > 1_200);
});

/** Instructions of a function in order, by objdump. */
interface Instruction {
  readonly address: bigint;
  readonly text: string;
}

function disassemble(file: string): Map<string, Instruction[]> {
  const functions = new Map<string, Instruction[]>();
  let current: Instruction[] = [];
  const dump = execFileSync('objdump', ['-d', '-z', '--no-show-raw-insn', file], { encoding: 'utf8', maxBuffer: 1 << 28 });
  for (const line of dump.split('\n')) {
    const label = /^[0-9a-f]+ <(.+)>:$/.exec(line);
    if (label) {
      current = [];
      functions.set(label[1] ?? '', current);
    }
    const instruction = /^ *([0-9a-f]+):\t(.*\S)/.exec(line);
    if (instruction) current.push({ address: BigInt(`0x${instruction[1]}`), text: instruction[2] ?? '' });
  }
  return functions;
}

function rulesAt(file: string, addresses: readonly bigint[]): string[] {
  const input = addresses.map(address => address.toString(16)).join('\n');
  const out = execFileSync(join(programDir, 'table-tool'), ['rules', file], { input, encoding: 'utf8', maxBuffer: 1 << 26 });
  return out.trimEnd().split('\n');
}

test('code without call frame information has a rule where its shape tells it', () => {
  const linker = realpathSync('/lib64/ld-linux-x86-64.so.2');
  const header = execFileSync('readelf', ['-h', linker], { encoding: 'utf8' });
  const entry = BigInt(/Entry point address: +(0x[0-9a-f]+)/.exec(header)?.[1] ?? '0');
  const code = [...disassemble(linker).values()].flat();
  const start = code.slice(code.findIndex(({ address }) => address === entry));
  const length = start.findIndex(({ text }) => /^jmp +\*%r12/.test(text)) + 1;
  const root = rulesAt(
    linker,
    start.slice(0, length).map(({ address }) => address),
  );
  assert.ok(length > 10 && root.every(rule => rule === 'end'), root.join(', '));

  const stubsOf = (file: string) => {
    const dump = execFileSync('objdump', ['-d', '--no-show-raw-insn', '-j', '.plt', file], { encoding: 'utf8' });
    return [...dump.matchAll(/^ *([0-9a-f]+):\t(.*\S)/gm)].map(([, address, text]) => ({
      address: BigInt(`0x${address}`),
      text: text ?? '',
    }));
  };
  const check = (file: string) => {
    const stubs = stubsOf(file);
    const rules = rulesAt(
      file,
      stubs.map(({ address }) => address),
    );
    let pushed = 8;
    stubs.forEach(({ text, address }, index) => {
      // The first stub begins below what the others pushed.
      if (index === 0 && text.startsWith('push')) pushed = 16;
      if (!/^(nop|xchg)/.test(text)) assert.match(rules[index] ?? '', shapeOf(pushed), `${address.toString(16)}: ${text}`);
      if (text.startsWith('push')) pushed += 8;
      else if (/^jmp/.test(text) && pushed > 8) pushed = 8;
    });
    return stubs.length;
  };
  const shapeOf = (bytes: number) => (bytes === 24 ? /^rsp\+24$/ : bytes === 16 ? /^(rsp\+16|plt)/ : /^(rsp\+8|plt)/);
  assert.ok(check(build('stubs-static', 'gcc', ['-static', '-o', '{out}', '{src}functions.c'])) > 10);
  if (spawnSync('ld.lld', ['--version']).status !== 0) return;
  assert.ok(check(build('stubs-lld', 'clang', ['-fuse-ld=lld', '-Wl,-z,lazy', '-o', '{out}', '{src}functions.c'])) > 6);
});

/** What table-tool prints of a file whose code is followed as if nothing described it. */
interface Agreement {
  readonly instructions: number;
  readonly followed: number;
  readonly agreeing: number;
  readonly differing: number;
  readonly behindCalls: number;
  readonly undescribed: number;
}

test('what is followed agrees with call frame information where there is some', { timeout: 120_000 }, () => {
  for (const file of [loaded('libc.so'), loaded('libstdc++.so'), loaded('ld-linux'), process.execPath]) {
    const out = execFileSync(join(programDir, 'table-tool'), ['follow', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
    const lines = out.trimEnd().split('\n');
    const counts = JSON.parse(lines.at(-1) ?? '') as Agreement;
    console.log(`${file}: ${JSON.stringify(counts)}`);
    // OpenSSL's authors took 88 too many twice, before a ret: the code is right there, and what describes it wrong.
    const differing = lines.slice(0, -1).filter(line => !/followed rsp\+8, call frame information rsp\+1[68][48]$/.test(line));
    assert.equal(differing.length - counts.behindCalls, 0, differing.slice(0, 20).join('\n'));
    assert.ok(counts.behindCalls <= counts.followed / 10_000, `${counts.behindCalls} behind calls`);
    assert.ok(counts.undescribed <= counts.followed / 1_000, `${counts.undescribed} in functions that nobody described`);
    assert.ok(counts.agreeing > 0.98 * counts.instructions, `${counts.agreeing} of ${counts.instructions} agree`);
  }
});

test('instructions are as long as objdump says', { timeout: 120_000 }, () => {
  // What vector extensions there are is in its functions for strings.
  const code = [...disassemble(loaded('libc.so')).values()].flatMap(instructions =>
    instructions
      .slice(0, -1)
      .map((here, index) => ({ ...here, length: Number(instructions[index + 1]!.address - here.address) })),
  );
  const input = code.map(({ address }) => address.toString(16)).join('\n');
  const out = execFileSync(join(programDir, 'table-tool'), ['lengths', loaded('libc.so')], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const lengths = out.split('\n').map(line => Number(line.split(' ')[0]));
  const wrong = code.flatMap(({ address, text, length }, index) =>
    lengths[index] === length || /^\(bad\)|^\.byte/.test(text) ? [] : [`${address.toString(16)} ${text}: ${lengths[index]}`],
  );
  console.log(`${code.length} instructions`);
  assert.ok(code.length > 100_000);
  assert.deepEqual(wrong.slice(0, 20), []);
});

test('tables of Go programs agree with the depths that Go writes for debuggers', {
  timeout: 120_000,
  skip: !hasGo && 'no Go here',
}, async () => {
  const go = (name: string, ...flags: string[]) =>
    build(name, 'go', ['build', ...flags, '-o', '{out}', '{src}names.go'], { CGO_ENABLED: '0' });
  const whole = go('go-whole');
  const counts = await compare(whole, whole, 'go');
  assert.equal(counts.source, 'gopclntab');
  assert.ok(counts.rows > 8_000 && counts.special > 20 && counts.special < 100, `${counts.rows} rows, ${counts.special} special`);
  // Position-independent and stripped: the same rules at other addresses; and with no section headers at all.
  assert.equal((await compare(withoutSections(whole), whole, 'go')).rows, counts.rows);
  const pie = go('go-pie', '-buildmode=pie');
  assert.ok((await compare(pie, pie, 'go')).rows > 8_000);
  const stripped = go('go-stripped', '-ldflags=-s -w');
  assert.ok(
    rulesAt(
      stripped,
      [...disassemble(whole).values()]
        .flat()
        .slice(0, 1000)
        .map(({ address }) => address),
    ).every(rule => rule !== 'none'),
  );
});

test('rbp in Go functions is where the code puts it', { timeout: 120_000, skip: !hasGo && 'no Go here' }, () => {
  const file = build('go-rbp', 'go', ['build', '-o', '{out}', '{src}names.go'], { CGO_ENABLED: '0' });
  const functions = disassemble(file);
  const all = [...functions.values()].flat();
  const rules = new Map(
    rulesAt(
      file,
      all.map(({ address }) => address),
    ).map((rule, index) => [all[index]?.address, rule]),
  );
  let checked = 0;
  for (const [name, code] of functions) {
    if (/^runtime\.(rt0_go|goexit|mstart|mcall)/.test(name)) continue;
    code.forEach(({ address, text }, index) => {
      const before = rules.get(address) ?? '';
      const after = rules.get(code[index + 1]?.address) ?? '';
      if (/^push +%rbp$/.test(text) && /^mov +%rsp,%rbp$/.test(code[index + 1]?.text ?? '')) {
        assert.equal(before, 'rsp+8', `${name} at ${address.toString(16)}`);
        assert.equal(after, 'rsp+16 rbp=*cfa-16', `${name} behind ${address.toString(16)}`);
        checked++;
      } else if (/^pop +%rbp$/.test(text) && /^(ret|jmp)/.test(code[index + 1]?.text ?? '')) {
        assert.match(before, /rbp=\*cfa-16$/, `${name} at ${address.toString(16)}`);
        assert.equal(after, 'rsp+8', `${name} behind ${address.toString(16)}`);
        checked++;
      }
    });
  }
  console.log(`${checked} places checked`);
  assert.ok(checked > 2_000);
  // Where stacks begin, are switched and are left by signals.
  const last = (name: string) => rules.get(functions.get(name)?.at(-1)?.address);
  const callIn = (name: string) => {
    const code = functions.get(name) ?? [];
    return rules.get(code[code.findIndex(({ text }) => /^call +\*%rdi$/.test(text)) + 1]?.address);
  };
  assert.equal(last('runtime.goexit.abi0'), 'end');
  assert.equal(last('runtime.mstart.abi0'), 'end');
  assert.equal(last('runtime.morestack.abi0'), 'end');
  assert.equal(callIn('runtime.systemstack.abi0'), 'other rbp+16 rbp=*cfa-16');
  const handlerEnd = functions.get('runtime.sigreturn__sigaction.abi0')?.[0]?.address ?? 0n;
  assert.deepEqual(rulesAt(file, [handlerEnd, handlerEnd - 1n]), ['signal rsp+40', 'signal rsp+40']);
});

test('C code that Go linked in has rules, though its call frame information is gone', {
  timeout: 300_000,
  skip: !hasGo && 'no Go here',
}, () => {
  // Go's own linker, as for all programs whose only C is that of the standard library.
  const file = build('go-net', 'go', ['build', '-ldflags=-linkmode=internal', '-o', '{out}', '{src}resolver.go'], {
    CGO_ENABLED: '1',
  });
  const isC = ([name]: [string, Instruction[]]) => /^(_cgo_[0-9a-f]+_C|crosscall1$|threadentry$|x_cgo_)/.test(name);
  const functions = [...disassemble(file)].filter(isC);
  let calls = 0;
  for (const [name, code] of functions) {
    const depths = code.map(({ text }) => (/^push /.test(text) ? 8 : Number(/^sub +\$(0x[0-9a-f]+),%rsp$/.exec(text)?.[1] ?? 0)));
    code.forEach(({ text, address }, index) => {
      const [before, after] = [code[index - 1], code[index + 1]];
      // Functions with ways out before the call are left to the test of the scan itself.
      if (!/^call /.test(text) || !before || !after || code.slice(0, index).some(it => /^(ret|add .*%rsp$|pop )/.test(it.text)))
        return;
      const depth = depths.slice(0, index).reduce((sum, one) => sum + one, 8);
      const [rule = ''] = rulesAt(file, [address]);
      assert.ok(rule === `rsp+${depth}` || rule.startsWith(`rsp+${depth} `), `${name} at ${address.toString(16)}: ${rule}`);
      calls++;
    });
  }
  console.log(`${calls} calls in ${functions.length} functions`);
  assert.ok(calls > 20);
});
