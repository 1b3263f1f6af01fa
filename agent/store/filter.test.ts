import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSeriesFilter } from './entity-filter.ts';
import { FilterError, parseFilter, textTest } from './filter.ts';
import { compileSpanFilter } from './span-filter.ts';
import { randomSource } from './test-kit.ts';

const parts = (text: string) => parseFilter(text).map(({ key, operator, value }) => [key, operator, value]);

test('terms are split by spaces, and quotes hold what has spaces', () => {
  assert.deepEqual(parts(''), []);
  assert.deepEqual(parts('service="gateway" thread=~"worker.*"'), [
    ['service', '=', 'gateway'],
    ['thread', '=~', 'worker.*'],
  ]);
  assert.deepEqual(parts('  error!=""  duration>1.5ms\tfile.path!~/tmp/  '), [
    ['error', '!=', ''],
    ['duration', '>', '1.5ms'],
    ['file.path', '!~', '/tmp/'],
  ]);
  assert.deepEqual(parts('name = "do work" duration <= 3s'), [
    ['name', '=', 'do work'],
    ['duration', '<=', '3s'],
  ]);
  assert.deepEqual(parts('java "Reference Handler" x-y:z'), [
    ['', '=', 'java'],
    ['', '=', 'Reference Handler'],
    ['', '=', 'x-y:z'],
  ]);
  assert.deepEqual(parts(String.raw`name="say \"hi\" \\ \d"`), [['name', '=', String.raw`say "hi" \ \d`]]);
  assert.deepEqual(parts('url=http://a?b=c'), [['url', '=', 'http://a?b=c']]);
});

test('what is wrong is told with its place and a remedy', () => {
  const wrong: Record<string, [number, RegExp]> = {
    'service="a': [8, /the quote is not closed; add a "/],
    'service=': [8, /a value is missing/],
    '=a': [0, /"=" stands where a key or word should; write key="value"/],
    'name !a': [5, /"!" is no operator; use = != =~ !~ > or </],
    'name~a': [4, /"~" is no operator/],
    'name=~"a("': [0, /the pattern is not valid: .*; escape special characters/],
    'name=~"(?=a)"': [0, /looks around or back; leave out/],
    'name=~"(a)\\1"': [0, /looks around or back/],
    [`name=~${'a'.repeat(300)}`]: [0, /longer than 256 characters; shorten it/],
    'service>a': [0, /service is a text and cannot be compared by >; use = != =~ or !~/],
    'pid=abc': [0, /"abc" is no number; write pid=123/],
    'duration>1': [0, /"1" is no duration; write a number with ns, us, ms or s/],
    'duration=~1': [0, /duration is a number and has no patterns/],
    'trace=12': [0, /"12" is no trace id; write its 32 hexadecimal digits/],
    'a trace>12': [2, /trace cannot be compared by >/],
    'file.size>x': [0, /"x" is no number/],
    ['a '.repeat(33)]: [64, /more than 32 terms/],
    ['a'.repeat(5000)]: [4096, /longer than 4096 characters/],
  };
  for (const [text, [position, message]] of Object.entries(wrong)) {
    const isExpected = (error: unknown) => {
      assert.ok(error instanceof FilterError, `${text}: ${error}`);
      assert.match(error.message, message, text);
      assert.equal(error.position, position, text);
      return true;
    };
    assert.throws(() => compileSpanFilter(text), isExpected);
  }
  assert.throws(() => compileSeriesFilter('duration>1ms'), /profiles have no duration; use one of service, process, thread/);
  assert.throws(() => compileSeriesFilter('colour=red'), /"colour" is no key of profiles/);
  assert.throws(
    () => compileSeriesFilter('thread=a', 'processes'),
    /processes have no thread; use one of service, process, container/,
  );
});

test('a pattern that backtracks without end is finished in time', () => {
  const evil = textTest({ key: 'name', operator: '=~', value: '(a+)+$', position: 0 });
  const begin = performance.now();
  assert.equal(evil(`${'a'.repeat(60)}!`), false);
  assert.equal(evil('a'.repeat(60)), true);
  assert.ok(performance.now() - begin < 1000, `it took ${performance.now() - begin} ms`);
});

test('any text gives terms or a FilterError, and terms survive being written out', () => {
  const random = randomSource(1234);
  const alphabet = [...'abz.09 \t"\\=!~<>()[]*+?|^$:;/é\u0000😀', '=~', '!=', 'name', 'duration>', '1ms'];
  let valid = 0;
  for (let i = 0; i < 30_000; i += 1) {
    const length = Math.floor(random() * 24);
    const text = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
    try {
      const terms = parseFilter(text);
      valid += 1;
      const quoted = terms.map(
        ({ key, operator, value }) => `${key}${key === '' ? '' : operator}"${value.replaceAll(/["\\]/g, '\\$&')}"`,
      );
      assert.deepEqual(parts(quoted.join(' ')), parts(text), text);
      compileSpanFilter(text);
    } catch (error) {
      if (!(error instanceof FilterError)) throw new Error(`${JSON.stringify(text)}: ${error}`, { cause: error });
      assert.ok(error.position >= 0 && error.position <= text.length, `${JSON.stringify(text)}: position ${error.position}`);
      assert.ok(error.remedy !== '');
    }
  }
  assert.ok(valid > 3000, `only ${valid} texts were valid: the fuzzer tests nothing`);
});
