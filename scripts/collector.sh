#!/bin/sh
# Builds the OpenTelemetry Collector that the export tests use, once, with Go's module proxy, and prints its path. Cached outside
# the tree by the contents of its build file.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
spec="$here/test/collector/builder.yaml"
builder_version=v0.159.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hotspan/collector-$(sha256sum "$spec" | cut -c1-16)"
binary="$cache/otelcol-test"
if [ ! -x "$binary" ]; then
    command -v go >/dev/null 2>&1 || { echo "collector: go is missing; scripts/setup.sh test installs it" >&2; exit 1; }
    mkdir -p "$cache"
    echo "building the OpenTelemetry Collector for the export tests (some minutes, once)" >&2
    # The builder takes its output path from the file only.
    sed "s|^dist:|dist:\n  output_path: $cache/build|" "$spec" >"$cache/builder.yaml"
    GOBIN="$cache/bin" go install "go.opentelemetry.io/collector/cmd/builder@$builder_version" >"$cache/build.log" 2>&1 &&
        CGO_ENABLED=0 "$cache/bin/builder" --config "$cache/builder.yaml" >>"$cache/build.log" 2>&1 || true
    built="$cache/build/otelcol-test"
    [ -x "$built" ] || { tail -n 20 "$cache/build.log" >&2; echo "collector: the build failed; its log is $cache/build.log" >&2; exit 1; }
    mv "$built" "$binary"
    rm -rf "$cache/build" "$cache/bin"
fi
printf '%s\n' "$binary"
