/** Every runtime's form of a control group's path gives its container's id, and what is none gives none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerIdOf } from './container-id.ts';

const id = '3f2c9a'.padEnd(64, '0123456789abcdef');
const pod = 'pod12345678-1234-1234-1234-123456789abc';

const containers: readonly [form: string, path: string, id: string][] = [
  ['docker, cgroupfs', `/docker/${id}`, id],
  ['docker, systemd', `/system.slice/docker-${id}.scope`, id],
  ['docker, a group made inside', `/system.slice/docker-${id}.scope/init.scope`, id],
  ['docker in docker', `/docker/${'a'.repeat(64)}/docker/${id}`, id],
  ['containerd in kubernetes, cgroupfs', `/kubepods/burstable/${pod}/${id}`, id],
  ['containerd in kubernetes, guaranteed', `/kubepods/${pod}/${id}`, id],
  [
    'containerd in kubernetes, systemd',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${pod}.slice/cri-containerd-${id}.scope`,
    id,
  ],
  ['containerd, slice:prefix:id', `/system.slice/containerd.service/kubepods-burstable-${pod}.slice:cri-containerd:${id}`, id],
  ['cri-o, systemd', `/kubepods.slice/kubepods-${pod}.slice/crio-${id}.scope`, id],
  ['cri-o, cgroupfs', `/kubepods/${pod}/crio-${id}`, id],
  ['cri-o, container group', `/kubepods.slice/kubepods-${pod}.slice/crio-${id}.scope/container`, id],
  ['podman', `/machine.slice/libpod-${id}.scope`, id],
  ['podman, container group', `/machine.slice/libpod-${id}.scope/container`, id],
  ['podman, rootless', `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`, id],
  ['podman, cgroupfs', `/libpod_parent/libpod-${id}`, id],
  ['lxc, before 4.0', '/lxc/web1', 'web1'],
  ['lxc, 4.0', '/lxc.payload.web1', 'web1'],
  ['lxc, payload folder', '/lxc.payload/web1/system.slice/ssh.service', 'web1'],
];

for (const [form, path, expected] of containers) {
  test(form, () => assert.equal(containerIdOf(path), expected));
}

test('processes outside of containers have no container id', () => {
  const outside = [
    '',
    '/',
    '/init.scope',
    '/system.slice/ssh.service',
    '/user.slice/user-1000.slice/session-2.scope',
    `/kubepods.slice/kubepods-${pod}.slice`,
    `/machine.slice/libpod-conmon-${id}.scope`,
    `/kubepods.slice/kubepods-${pod}.slice/crio-conmon-${id}.scope`,
    '/lxc.monitor.web1',
    `/docker/${id.slice(1)}`,
    '/docker',
  ];
  for (const path of outside) assert.equal(containerIdOf(path), '', path);
});
