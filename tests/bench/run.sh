#!/bin/bash
# Builds the load generator and lanyard-proxy (optimised) and runs the benchmark.
#   tests/bench/run.sh [--quick] [--rounds N] [--contenders direct,lanyard,haproxy,nginx] [--out DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."

targets=(//tests/bench:lanyard-bench-load)
contenders=
for ((i = 1; i <= $#; i++)); do
  case "${!i}" in
    --contenders=*) contenders="${!i#*=}" ;;
    --contenders) next=$((i + 1)); contenders="${!next:-}" ;;
  esac
done
if [[ -z $contenders || ,$contenders, == *,lanyard,* ]]; then targets+=(//proxy:lanyard-proxy); fi

bazel build "${targets[@]}" 1>&2
bin=$(bazel info bazel-bin 2>/dev/null)
exec python3 -B tests/bench/bench.py --load-binary "$bin/tests/bench/lanyard-bench-load" \
  --lanyard-proxy "$bin/proxy/lanyard-proxy" "$@"
