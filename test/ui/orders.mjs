// A small shop without a network, for the README's picture: takes orders apart, prices them, sorts them, renders a page and compresses
// it, so that a profile has many functions with names. Run with `node --perf-basic-prof orders.mjs SECONDS`.

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

const endMs = performance.now() + 1000 * Number(process.argv[2]);
const text = JSON.stringify(Array.from({ length: 400 }, (_, i) => ({ id: i, name: `article ${(i * 7919) % 400}`, cents: (i * 7907) % 9999 })));

function parseOrders(body) {
  return JSON.parse(body);
}

function taxOf(cents) {
  let tax = 0;
  for (let rate = 1; rate <= 19; rate++) tax += Math.round((cents * rate) / 1900);
  return tax;
}

function priceOrder(order) {
  return { ...order, total: order.cents + taxOf(order.cents) };
}

function priceOrders(orders) {
  return orders.map(order => priceOrder(order));
}

function sortByName(orders) {
  return orders.sort((a, b) => a.name.localeCompare(b.name));
}

function escapeHtml(value) {
  return value.replace(/[&<>"a-e]/g, letter => `&#${letter.charCodeAt(0)};`);
}

function renderRow(order) {
  return `<tr><td>${escapeHtml(order.name)}<td>${(order.total / 100).toFixed(2)}`;
}

function renderPage(orders) {
  return `<table>${orders.map(order => renderRow(order)).join('\n')}</table>`;
}

function signPage(page) {
  return createHash('sha256').update(page).digest('hex');
}

function compressPage(page) {
  return gzipSync(page, { level: 1 });
}

function answerRequest() {
  const orders = sortByName(priceOrders(parseOrders(text)));
  const page = renderPage(orders);
  return compressPage(page + signPage(page)).length;
}

function serveRequests() {
  let bytes = 0;
  while (performance.now() < endMs) bytes += answerRequest();
  return bytes;
}

process.stdout.write('ready\n');
// In a turn of the event loop of its own, as a server would answer.
setImmediate(() => process.stdout.write(`${serveRequests()}\n`));
