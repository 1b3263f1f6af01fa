/**
 * Container id from a control group's path. The forms are those of the runtimes' cgroup drivers:
 *   docker       /docker/ID                         /system.slice/docker-ID.scope
 *   containerd   /kubepods/burstable/podUID/ID      /kubepods.slice/…/cri-containerd-ID.scope
 *   cri-o        …/crio-ID  …/crio-ID.scope         (crio-conmon-ID is the monitor beside the container)
 *   podman       …/libpod-ID.scope[/container]      /libpod_parent/libpod-ID
 *   lxc          /lxc/NAME  /lxc.payload/NAME  /lxc.payload.NAME
 * The innermost container counts: control groups that a container makes for itself, and containers in containers, lie below.
 */

const hexId = /^(?:([a-z][a-z-]*)[-:])?([0-9a-f]{64})(?:\.scope)?$/;
const lxcPayload = /^lxc\.payload\.(.+)$/;
const lxcParents = new Set(['lxc', 'lxc.payload']);

/** '' for a process outside of containers. */
export function containerIdOf(cgroupPath: string): string {
  const parts = cgroupPath.split('/');
  for (let i = parts.length - 1; i > 0; i -= 1) {
    // systemd's cgroup driver in containerd's "slice:prefix:id" form keeps only the last two.
    const part = parts[i]!.slice(parts[i]!.lastIndexOf(':') + 1);
    const hex = hexId.exec(part);
    if (hex !== null && !hex[1]?.endsWith('conmon')) return hex[2]!;
    const payload = lxcPayload.exec(part);
    if (payload !== null) return payload[1]!;
    if (lxcParents.has(parts[i - 1]!) && part !== '') return part;
  }
  return '';
}
