#!/bin/sh
# First process of a test VM once the machine's tree is its root: runs the command, carries its output to the two virtio
# ports that the host reads, leaves the exit code in the results folder and turns the machine off.
results=/run/hotspan-vm

# A login on Debian starts with these limits; the kernel's own default for the first process is lower.
ulimit -Hn 524288

# The device's number depends on the order in which the kernel found the devices; the port's name does not.
port() {
  for entry in /sys/class/virtio-ports/*; do
    if [ "$(cat "$entry/name")" = "$1" ]; then echo "/dev/${entry##*/}"; fi
  done
}

# A port can be opened once only, so a program that opens /dev/stdout again must find a pipe there.
mkfifo /run/hotspan-stdout /run/hotspan-stderr
cat </run/hotspan-stdout >"$(port stdout)" &
stdout_copier=$!
cat </run/hotspan-stderr >"$(port stderr)" &
stderr_copier=$!

sh "$results/command.sh" </dev/null >/run/hotspan-stdout 2>/run/hotspan-stderr
echo $? >"$results/exit-code"

# A daemon that the command left behind may hold the pipes open for ever.
(sleep 5; kill "$stdout_copier" "$stderr_copier") 2>/dev/null &
wait "$stdout_copier" "$stderr_copier"

sync
echo o >/proc/sysrq-trigger
sleep 60
