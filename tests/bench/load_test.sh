#!/bin/bash
# The load generator against its own server: every load does the amount of work it reports, and
# a broken way through is an error, not a figure.
set -euo pipefail
load=$1

fail() { echo "FAILED: $*" >&2; exit 1; }

# Named pipes: bash forgets the pid of a coproc as soon as that has ended, which may be before it is waited for.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/to_server" "$scratch/of_server"
"$load" server --listen 127.0.0.1:0 <"$scratch/to_server" >"$scratch/of_server" &
server=$!
exec {to_server}>"$scratch/to_server" {of_server}<"$scratch/of_server"
read -r word port <&"$of_server"
[[ $word == listening && $port -gt 0 ]] || fail "the server said \"$word $port\""

# The result line of a load; fails unless "ready" came first.
result() {
  local output
  output=$(printf 'go\n' | timeout 30 "$load" "$@" --target "127.0.0.1:$port") || return 1
  [[ $output == ready$'\n'* ]] || fail "$1 did not say ready: $output"
  echo "${output#*$'\n'}"
}
has() { [[ $2 == *"$3"* ]] || fail "$1: no $3 in $2"; }

for size in 1 64 4096 1000000; do
  got=$(result requests --connections 3 --size "$size" --seconds 0.1)
  [[ $got =~ \"count\":\ ([0-9]+) && ${BASH_REMATCH[1]} -ge 3 ]] || fail "requests of $size bytes: $got"
  has requests "$got" p99_us
done
got=$(result connections --connections 4 --count 50)
has connections "$got" '"count": 50, "failed": 0'
# 200 a second, and what came while the last request was answered. A machine that was busy just then leaves some
# unanswered, however long the storm: so a longer one is asked for before that counts.
for tenths in 5 20 80; do
  got=$(result storm --connections 2 --rate 200 --seconds "$((tenths / 10)).$((tenths % 10))")
  [[ $got =~ \"count\":\ ([0-9]+) && ${BASH_REMATCH[1]} -ge 2 ]] || fail "requests in a storm: $got"
  has storm "$got" '"failed": 0, "left_out": 0'
  [[ $got =~ \"arrived\":\ ([0-9]+),\ \"answered\":\ ([0-9]+) ]] || fail "a storm says nothing of arrivals: $got"
  if ((BASH_REMATCH[1] >= 18 * tenths && BASH_REMATCH[2] >= 16 * tenths)); then break; fi
  ((tenths < 80)) || fail "not the rate that was asked for: $got"
done
for direction in up down; do
  got=$(result "bulk-$direction" --bytes 5000001)
  has "bulk-$direction" "$got" '"bytes": 5000001'
done
got=$(result idle --connections 40)
has idle "$got" '"count": 40'

got=$("$load" aead)
for figure in record_64_ns record_4096_ns record_16384_ns; do has aead "$got" "\"$figure\": "; done

# What must not pass as a result.
if result requests --connections 1 --no-such-flag 1 2>/dev/null; then fail "an unknown flag was taken"; fi
if printf 'go\n' | "$load" requests --target 127.0.0.1:1 >/dev/null 2>&1; then fail "a refused connection was taken"; fi
if result bulk-down --bytes 1000000000000 --timeout 0.2 2>/dev/null; then fail "an endless load did not end"; fi

exec {to_server}>&-
wait "$server" || fail "the server did not end in good order"
echo "all loads do what they report"
