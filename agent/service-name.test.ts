/** Names of services from what the process table knows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serviceName } from './service-name.ts';

const cases: [string, string, string, string][] = [
  ['nginx', '/usr/sbin/nginx', 'nginx: worker process', 'nginx'],
  ['node', '/usr/bin/node', 'node --require ./x.js -r y /srv/app/server.js --port 80', 'app/server.js'],
  ['node', '/usr/bin/node', 'node -e 1+1', 'node'],
  ['node', '/usr/bin/node', 'node index.js', 'index.js'],
  ['python3', '/usr/bin/python3.11', 'python3 -m http.server 8000', 'http.server'],
  ['python3', '/usr/bin/python3.11', '/usr/bin/python3 /opt/worker.py', 'worker.py'],
  ['java', '/opt/jdk/bin/java', 'java -Xmx1g -jar /srv/shop.jar', 'shop.jar'],
  ['java', '/opt/jdk/bin/java', 'java -cp /a:/b com.example.Main arg', 'Main'],
  ['gateway', '/srv/gateway (deleted)', '/srv/gateway', 'gateway'],
  ['kworker/0:1-eve', '', '', '[kworker]'],
  ['kthreadd', '', '', '[kthreadd]'],
  ['bash', '/bin/bash', '-bash', 'bash'],
  ['sh', '/bin/dash', 'sh -ec true', 'dash'],
  ['', '', '', '[unknown]'],
];

test('a process is named by its program, script, module, jar or class', () => {
  for (const [comm, executable, commandLine, expected] of cases) {
    assert.equal(serviceName({ comm, executable, commandLine }), expected, commandLine);
  }
});
