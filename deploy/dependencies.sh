#!/usr/bin/env bash
# Installs what building, testing and the quickstart need, from this machine's own apt sources:
# the packages below, and BoringSSL's source as Debian ships it. Where everything is present it
# needs no network and changes nothing. Runs as root, or through sudo.
#
#   deploy/dependencies.sh
#
# LANYARD_DISTFILES  where BoringSSL's source goes (default /var/cache/lanyard/distfiles)
# LANYARD_BORINGSSL  an installed upstream BoringSSL to use instead: no source is fetched
set -euo pipefail

build_packages=(
  bazel-bootstrap bazel-rules-java bazel-rules-proto
  g++ git ca-certificates python3 unzip xz-utils zip
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev libgtest-dev libgmock-dev libbenchmark-dev
  libsqlite3-dev nlohmann-json3-dev libyaml-cpp-dev libspdlog-dev libnftables-dev prometheus-cpp-dev libboost-dev
  libcli11-dev libbpf-dev
  clang libclang-rt-14-dev
)
if [[ $(dpkg --print-architecture) == amd64 ]]; then build_packages+=(libipsec-mb-dev); fi
readonly build_packages
# What the quickstart, the integration tests and the benchmark run beside Lanyard.
readonly run_packages=(
  nginx-light libnginx-mod-stream haproxy
  curl openssl
  nftables iproute2 procps util-linux tcpdump
  prometheus
  python3-grpcio python3-websockets
)
# Packages above that start a service when installed; here they must not take a port.
readonly services=(nginx haproxy prometheus)

readonly boringssl_package=android-platform-external-boringssl
readonly boringssl_version=13.0.0+r24-2
readonly boringssl_archive=android-platform-external-boringssl_13.0.0+r24.orig.tar.xz
readonly boringssl_sha256=583b7aeee1fca68b8244d086cea6fca23bd19d517bd63f0b9de714e048f92a7d
readonly distfiles=${LANYARD_DISTFILES:-/var/cache/lanyard/distfiles}
readonly policy_rc_d=/usr/sbin/policy-rc.d

scratch=
own_policy_rc_d=

say() { printf 'dependencies: %s\n' "$*"; }
fail() { printf 'dependencies: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo -- "$@"; fi
}

need_root() {
  if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
    fail "$1 needs root, and there is no sudo: run this script as root."
  fi
}

clean_up() {
  if [[ -n $scratch ]]; then rm -rf "$scratch"; fi
  if [[ -n $own_policy_rc_d ]]; then as_root rm -f "$policy_rc_d"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

is_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# invoke-rc.d asks policy-rc.d before it starts a service; 101 forbids it. One that is there
# already is the administrator's and stays.
forbid_service_starts() {
  if [[ -e $policy_rc_d ]]; then return; fi
  own_policy_rc_d=yes
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy_rc_d" >/dev/null
  as_root chmod 0755 "$policy_rc_d"
}

install_packages() {
  local package missing=() new_services=()
  for package in "${build_packages[@]}" "${run_packages[@]}"; do
    if ! is_installed "$package"; then missing+=("$package"); fi
  done
  if [[ ${#missing[@]} -eq 0 ]]; then
    say "all packages are installed"
    return
  fi
  need_root "installing packages"
  for package in "${services[@]}"; do
    if ! is_installed "$package"; then new_services+=("$package"); fi
  done
  say "installing through apt: ${missing[*]}"
  forbid_service_starts
  as_root apt-get -qq -o Acquire::Retries=3 update ||
    fail "apt-get update failed: see its message above, and this machine's /etc/apt/sources.list.d."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
    --no-install-recommends install "${missing[@]}" >/dev/null ||
    fail "apt-get install failed: see its message above; Lanyard builds on Debian 12 (bookworm)."
  # Forbidden to start now, a service would still start at the next boot.
  for package in "${new_services[@]}"; do
    if command -v systemctl >/dev/null && systemctl cat "$package.service" >/dev/null 2>&1; then
      say "disabling the service $package, which this installation brought along"
      as_root systemctl --quiet disable --now "$package.service" || true
    fi
  done
}

# This machine's apt sources with source packages turned on, in a folder of ours: the user's
# own apt configuration stays as it is.
write_source_lists() {
  local from to_dir=$1 count=0
  shopt -s nullglob
  for from in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [[ ! -f $from ]]; then continue; fi
    sed -nE 's/^[[:space:]]*deb([[:space:]])/deb-src\1/p' "$from" >"$to_dir/$count.list"
    count=$((count + 1))
  done
  for from in /etc/apt/sources.list.d/*.sources; do
    sed -E 's/^Types:.*/Types: deb-src/I' "$from" >"$to_dir/$count.sources"
    count=$((count + 1))
  done
  shopt -u nullglob
  if [[ $count -eq 0 ]]; then fail "this machine has no apt sources in /etc/apt: BoringSSL's source cannot be fetched."; fi
}

has_sha256() {
  printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

fetch_boringssl() {
  local target=$distfiles/$boringssl_archive
  if [[ -n ${LANYARD_BORINGSSL:-} ]]; then
    say "BoringSSL comes from LANYARD_BORINGSSL=$LANYARD_BORINGSSL"
    return
  fi
  if [[ -f $target ]]; then
    has_sha256 "$target" "$boringssl_sha256" ||
      fail "$target does not have the SHA-256 $boringssl_sha256: delete it and run this script again."
    say "BoringSSL's source is in $distfiles"
    return
  fi
  say "fetching BoringSSL's source ($boringssl_package $boringssl_version) through apt"
  scratch=$(mktemp -d)
  mkdir -p "$scratch"/{sources,lists/partial,cache/archives/partial,download}
  write_source_lists "$scratch/sources"
  local apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$scratch/sources"
    -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" -o APT::Sandbox::User=
    -o Acquire::Retries=3 -o Acquire::Languages=none)
  # A third party's source may have no source packages; whether it worked shows in the download.
  "${apt[@]}" update 2>"$scratch/update.log" || true
  (cd "$scratch/download" &&
    "${apt[@]}" source --download-only "$boringssl_package=$boringssl_version" >/dev/null) ||
    fail "apt has no source of $boringssl_package $boringssl_version: $(grep -m1 '^E:' "$scratch/update.log" ||
      echo 'the sources in /etc/apt must include Debian 12 (bookworm) main.')"
  has_sha256 "$scratch/download/$boringssl_archive" "$boringssl_sha256" ||
    fail "what apt fetched as $boringssl_archive does not have the SHA-256 $boringssl_sha256: it is not used."
  place_boringssl "$scratch/download/$boringssl_archive" "$target"
}

place_boringssl() {
  local copy=(cp) dir=(mkdir -p) move=(mv)
  if ! mkdir -p "$distfiles" 2>/dev/null || [[ ! -w $distfiles ]]; then
    need_root "writing to $distfiles"
    copy=(as_root "${copy[@]}") dir=(as_root "${dir[@]}") move=(as_root "${move[@]}")
  fi
  "${dir[@]}" "$distfiles"
  "${copy[@]}" "$1" "$2.part.$$"   # whole or not at all
  "${move[@]}" "$2.part.$$" "$2"
  say "BoringSSL's source is in $distfiles"
}

command -v apt-get >/dev/null || fail "there is no apt-get here: Lanyard is built on Debian 12 (bookworm)."
install_packages
fetch_boringssl
say "done"
