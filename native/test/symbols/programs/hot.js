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

const basket = new Basket();
let total = 0;
for (let i = 0; i < 20000; i += 1) total += basket.fillUp(200);
console.log('ready');
process.stdin.on('data', () => {
  total += basket.fillUp(100);
});
process.stdin.on('end', () => process.exit(total > 0 ? 0 : 1));
