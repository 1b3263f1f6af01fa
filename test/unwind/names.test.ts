/** Names of two demanglers are brought to what they agree on, and no further. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareName } from './names.ts';

test('parameters, templates, hashes and marks of the compiler do not count', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['inner', 'inner'],
    ['(anonymous namespace)::throw_inner(unsigned long)', 'throw_inner'],
    ['void std::vector<int, std::allocator<int> >::push_back(int const&)', 'push_back'],
    ['core::slice::sort::merge::h0123456789abcdef', 'merge'],
    ['<rust::Sorting as rust::Work>::run', 'run'],
    ['many_registers.constprop.0', 'many_registers'],
    ['many_registers.part.0 [clone .isra.0]', 'many_registers'],
    ['std::string::operator<<(int)', 'operator'],
    ['memcpy@@GLIBC_2.14', 'memcpy'],
    ['Shape::area(unsigned long) const', 'area'],
  ];
  for (const [name, bare] of cases) assert.equal(bareName(name), bare, name);
});

test('different functions stay different', () => {
  assert.notEqual(bareName('ns::inner(int)'), bareName('ns::outer(int)'));
  assert.notEqual(bareName('Square::area() const'), bareName('Square::perimeter() const'));
});
