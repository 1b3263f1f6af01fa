#!/bin/busybox sh
# First process of a test VM, inside the initramfs: loads the modules that reach the shared folders, lays a writable overlay
# over the machine's own tree, and hands over to guest-main.sh inside it.
PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /lower /rw /newroot /tmp
for applet in mount mkdir insmod ifconfig hostname switch_root sleep echo cat; do /bin/busybox ln -s /bin/busybox /bin/$applet; done

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

# The numbers in front of the names give the order that the modules' own dependencies ask for.
for module in /modules/*.ko; do insmod "$module" || echo "hotspan-vm: cannot load $module"; done

# cache=loose: the guest never sees the machine's later changes to a file it has read, which a test run wants anyway.
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=1048576 hostroot /lower || exec echo "hotspan-vm: cannot mount the machine's tree"
mount -t tmpfs -o size=70% tmpfs /rw
mkdir -p /rw/upper /rw/work
mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /newroot || exec echo "hotspan-vm: cannot lay the overlay"

mount -t proc proc /newroot/proc
mount -t sysfs sysfs /newroot/sys
mount -t devtmpfs devtmpfs /newroot/dev
mkdir -p /newroot/dev/pts /newroot/dev/shm
mount -t devpts devpts /newroot/dev/pts
mount -t tmpfs tmpfs /newroot/dev/shm
mount -t tmpfs tmpfs /newroot/run
mount -t cgroup2 cgroup2 /newroot/sys/fs/cgroup
mount -t bpf bpf /newroot/sys/fs/bpf
mount -t tracefs tracefs /newroot/sys/kernel/tracing
mount -t debugfs debugfs /newroot/sys/kernel/debug
mount -t securityfs securityfs /newroot/sys/kernel/security
mkdir -p /newroot/run/hotspan-vm
mount -t 9p -o rw,trans=virtio,version=9p2000.L,cache=none,msize=1048576 results /newroot/run/hotspan-vm || exec echo "hotspan-vm: cannot mount the results folder"

ifconfig lo 127.0.0.1 up
hostname hotspan-vm
exec switch_root /newroot /bin/sh /run/hotspan-vm/guest-main.sh
