/** What a process is called in spans and in the UI (service.name), where nothing better is configured. */

/** Interpreters whose own name says nothing about what they run. */
const interpreters = /^(node|nodejs|deno|bun|python[0-9.]*|ruby[0-9.]*|perl[0-9.]*|php[0-9.]*|bash|sh|dash|zsh)$/;

/** Flags of interpreters that take the next word as their value. */
const flagsWithValue = new Set(['-r', '--require', '--import', '--loader', '-W', '-X', '-I', '--env-file']);

/**
 * The executable's base name; for an interpreter the script's or module's name, for Java the jar's or main class's; for a kernel
 * thread (no executable, no command line) its name without the instance, in brackets.
 */
export function serviceName(process: { comm: string; executable: string; commandLine: string }): string {
  const { comm, executable, commandLine } = process;
  if (executable === '' && commandLine === '') return comm === '' ? '[unknown]' : `[${comm.replace(/[/:].*$/, '')}]`;
  const words = commandLine.split(' ').filter(word => word !== '');
  const program = baseName(executable.replace(/ \(deleted\)$/, '')) || baseName(words[0] ?? '') || comm;
  if (interpreters.test(program)) return scriptName(words) ?? program;
  if (program === 'java') return javaName(words) ?? program;
  return program;
}

function scriptName(words: readonly string[]): string | undefined {
  for (let i = 1; i < words.length; i += 1) {
    const word = words[i] ?? '';
    if (word === '-m') return words[i + 1];
    if (/^-[a-z]*[ce]$/.test(word) || word === '--eval' || word === '--print' || word === '-p') return undefined;
    if (flagsWithValue.has(word)) i += 1;
    else if (!word.startsWith('-')) return scriptOf(word);
  }
  return undefined;
}

/** The script's file name; one that says nothing takes its folder with it. */
function scriptOf(path: string): string | undefined {
  const name = baseName(path);
  const folder = baseName(path.slice(0, -name.length - 1));
  return /^(index|main|app|server|__main__)\.\w+$/.test(name) && folder !== '' ? `${folder}/${name}` : name || undefined;
}

function javaName(words: readonly string[]): string | undefined {
  for (let i = 1; i < words.length; i += 1) {
    const word = words[i] ?? '';
    if (word === '-jar') return baseName(words[i + 1] ?? '') || undefined;
    if (word === '-cp' || word === '-classpath' || word === '--class-path' || word === '-p' || word === '--module-path') i += 1;
    else if (!word.startsWith('-')) return word.slice(word.lastIndexOf('.') + 1) || undefined;
  }
  return undefined;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
