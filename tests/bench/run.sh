#!/bin/bash
# Builds the load generator and lanyard-proxy (optimised) and runs the benchmark.
#   tests/bench/run.sh [--quick] [--rounds N] [--contenders direct,lanyard,haproxy,...] [--out DIR]
# Peers that Debian does not have take part when they are installed (peers.sh); named, they are installed first.
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
if [[ -z $contenders || ,$contenders, =~ ,(lanyard|relay), ]]; then targets+=(//proxy:lanyard-proxy); fi
for peer in ghostunnel envoy; do
  if [[ ,$contenders, == *,$peer,* ]]; then tests/bench/peers.sh "$peer" 1>&2; fi
done

bazel build "${targets[@]}" 1>&2
bin=$(bazel info bazel-bin 2>/dev/null)
exec python3 -B tests/bench/bench.py --load-binary "$bin/tests/bench/lanyard-bench-load" \
  --lanyard-proxy "$bin/proxy/lanyard-proxy" "$@"
