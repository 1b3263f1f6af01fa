// Sends requests to an HTTP server at a Unix socket, ten at a time, for ever: requests.mjs SOCKET.

import { Agent, get } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 10 });

function request() {
  get({ socketPath: process.argv[2], path: '/', agent, headers: { 'accept-encoding': 'gzip' } }, response => {
    response.resume();
    response.on('end', request);
  }).on('error', () => setTimeout(request, 50));
}

for (let i = 0; i < 10; i++) request();
