#!/usr/bin/env bash
# Installs, builds and runs every test: tests/run.sh [BAZEL OPTIONS]
#
#   tests/run.sh                  unit, integration, quickstart, fuzz (10 s a target), tidy
#   tests/run.sh --config=asan    unit and integration under the address and undefined-behaviour sanitizers
#   tests/run.sh --config=tsan    the same under the thread sanitizer
#
# Needs root, for network namespaces. The last line is `N passed, N failed`; exit 0 only if none failed.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly options=("$@")
cd "$root" || exit 1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 failures=()

sanitizer=
case "${options[*]:-}" in
  *asan*) sanitizer=asan ;;
  *tsan*) sanitizer=tsan ;;
esac

section() { printf '\n== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"; }

# count NAME PASSED FAILED
count() {
  passed=$((passed + $2)) failed=$((failed + $3))
  printf '%s: %d passed, %d failed\n' "$1" "$2" "$3"
}

# one NAME COMMAND...: a command that is one test.
one() {
  local name=$1
  shift
  if "$@"; then
    count "$name" 1 0
  else
    failures+=("$name")
    count "$name" 0 1
  fi
}

# bazel_tests NAME BAZEL-ARGUMENTS...
bazel_tests() {
  local name=$1 status=0 report line
  shift
  rm -f "$scratch/events.json"
  bazel test --keep_going --build_event_json_file="$scratch/events.json" "$@" || status=$?
  report=$(python3 tests/kit/bazel_results.py "$scratch/events.json") || report="0 0"
  while read -r line; do
    if [[ $line == failed:* ]]; then failures+=("${line#failed: }"); fi
  done <<<"$report"
  read -r good bad <<<"${report##*$'\n'}"
  # A build that failed before any target did is a failure too.
  if [[ $status -ne 0 && $bad -eq 0 ]]; then
    bad=1
    failures+=("$name: bazel ended with status $status")
  fi
  count "$name" "$good" "$bad"
}

integration() {
  local line
  LANYARD_BIN=$(bazel info bazel-bin "${options[@]}" 2>/dev/null)
  export LANYARD_BIN
  case $sanitizer in
    # The processes forbid debuggers, and the leak checker is one; unit tests look for leaks.
    # What the sanitizer keeps of freed memory would count as buffered where a test bounds a proxy's memory.
    asan) export LANYARD_PATIENCE=3 ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1 UBSAN_OPTIONS=print_stacktrace=1 ;;
    tsan) export LANYARD_PATIENCE=5 TSAN_OPTIONS=second_deadlock_stack=1 ;;
  esac
  python3 tests/integration/run.py --sum "$scratch/integration.sum" 2>&1 | tee "$scratch/integration.log"
  while read -r line; do failures+=("integration: ${line#failed: }"); done < <(grep '^failed: ' "$scratch/integration.log")
  if [[ -f $scratch/integration.sum && $(<"$scratch/integration.sum") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    count integration "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  else
    failures+=("integration: the runner did not finish")
    count integration 0 1
  fi
}

finish() {
  printf '\n'
  if [[ ${#failures[@]} -gt 0 ]]; then printf 'failed: %s\n' "${failures[@]}"; fi
  printf '%d passed, %d failed\n' "$passed" "$failed"
  if ((failed > 0)); then exit 1; fi
  exit 0
}

section "dependencies"
if ! deploy/dependencies.sh; then
  failures+=("deploy/dependencies.sh")
  failed=1
  finish
fi

section "unit tests"
bazel_tests unit "${options[@]}" //...

section "integration tests"
integration

if [[ -z $sanitizer ]]; then
  section "quickstart"
  one deploy/quickstart.sh deploy/quickstart.sh --no-build

  section "tidy"
  one "tests/tidy --self-test" tests/tidy --self-test
  one tests/tidy tests/tidy

  section "fuzz, ten seconds a target"
  bazel_tests fuzz --config=fuzz --build_tests_only --test_tag_filters=fuzz "${options[@]}" //...
fi

finish
