// Runs functions until they are compiled, says "ready", and waits for its standard input to end.
function hotFunction(n) {
  let sum = 0;
  for (let i = 0; i < n; i += 1) sum += i % 7;
  return sum;
}

class Basket {
  fillUp(n) {
    return hotFunction(n) + 1;
  }
}

/** Code that holds for one closure only is marked as such by newer engines. */
function makeCounter() {
  let calls = 0;
  return function countUp(n) {
    calls += 1;
    return hotFunction(n) + calls;
  };
}

const countUp = makeCounter();
const basket = new Basket();
let total = 0;
for (let i = 0; i < 20000; i += 1) total += basket.fillUp(200) + countUp(50);
console.log('ready');
process.stdin.on('data', () => {
  total += basket.fillUp(100);
});
process.stdin.on('end', () => process.exit(total > 0 ? 0 : 1));
