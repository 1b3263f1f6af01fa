// Burns CPU in a function with a name, to be run with `node --perf-basic-prof jsloop.mjs SECONDS`: V8 then writes the addresses
// of its machine code to /tmp/perf-PID.map, and the names below must turn up in a profile. Start it in a temporary folder: V8 leaves a
// log of its own there.

const seconds = Number(process.argv[2]);
if (!(seconds > 0)) {
  process.stderr.write('usage: node --perf-basic-prof jsloop.mjs SECONDS\n');
  process.exit(2);
}

function hashRounds(rounds) {
  let value = rounds | 1;
  for (let round = 0; round < rounds; round++) value = (Math.imul(value, 1664525) + 1013904223) | 0;
  return value;
}

function burnInJavaScript(endMs) {
  let value = 0;
  while (performance.now() < endMs) value ^= hashRounds(1_000_000);
  return value;
}

// Long enough for the optimising compiler to have replaced the code that the first calls ran in.
burnInJavaScript(performance.now() + 300);
process.stdout.write('ready\n');
process.stdout.write(`${JSON.stringify({ value: burnInJavaScript(performance.now() + seconds * 1000) })}\n`);
