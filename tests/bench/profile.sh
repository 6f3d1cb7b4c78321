#!/bin/bash
# Builds as run.sh does and shows where the CPU of one contender goes under one load.
#   tests/bench/profile.sh 1x64B|32x64B|32x4KiB|bulk-up|bulk-down|connections [CONTENDER] [--most N]
set -euo pipefail
cd "$(dirname "$0")/../.."

bazel build //tests/bench:lanyard-bench-load //proxy:lanyard-proxy 1>&2
bin=$(bazel info bazel-bin 2>/dev/null)
exec python3 -B tests/bench/cpu_profile.py --load-binary "$bin/tests/bench/lanyard-bench-load" \
  --lanyard-proxy "$bin/proxy/lanyard-proxy" "$@"
