#!/usr/bin/env bash
# Lanyard in one command: two machines (network namespaces joined by a veth pair), nginx on one and curl on the
# other, neither knowing of TLS; authority, agents and proxies as processes of their own. Each step is proved and
# printed. Exit 0 only if all held. Everything it makes is its own, and goes away with it.
#
#   deploy/quickstart.sh          installs, builds, shows, cleans up
#   deploy/quickstart.sh --keep   leaves the mesh running and prints how to look around
#   deploy/quickstart.sh --no-build   uses the binaries that are there (LANYARD_BIN, or bazel-bin)
#
# Needs root for the network namespaces; from another user's hands it goes on through sudo once built.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly trust_domain=quickstart.test
readonly client_id=spiffe://$trust_domain/client server_id=spiffe://$trust_domain/server
readonly client_address=10.79.0.1 server_address=10.79.0.2
readonly client_uid=21001 server_uid=21002   # the proxies'; no such users need exist
readonly nobody_uid=21003                    # a proxy's that no entry speaks of
readonly authority_port=7443 http_port=80 admin_port=15000
readonly secret_word=plaintext-that-must-not-be-on-the-wire

keep='' build=yes
declare -A running=()                        # pid -> name, of what is to be ended
namespaces=() failures=0 proofs=0

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

for argument in "$@"; do
  case $argument in
    --keep) keep=yes ;;
    --no-build) build= ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'quickstart: there is no option %s (see --help)\n' "$argument" >&2; exit 2 ;;
  esac
done

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' green='' red='' plain=''
fi

step() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '    %s\n' "$*"; }
proved() { proofs=$((proofs + 1)); printf '  %sproved%s  %s\n' "$green" "$plain" "$*"; }
broken() { failures=$((failures + 1)); printf '  %sFAILED%s  %s\n' "$red" "$plain" "$*"; }
fail() { printf '%squickstart: %s%s\n' "$red" "$*" "$plain" >&2; exit 1; }
now_ms() { date +%s%3N; }

# --- What it makes, and taking it away ------------------------------------------------------------------

clean_up() {
  local status=$? pid namespace
  trap - EXIT INT TERM
  set +e
  if [[ -n $keep && $status -eq 0 ]]; then return; fi
  if [[ $status -ne 0 && -n ${work:-} ]]; then
    for log in "$work"/*.log; do
      if [[ -s $log ]]; then printf -- '--- the end of %s\n' "${log##*/}" >&2; tail -n 8 "$log" >&2; fi
    done
  fi
  for pid in "${!running[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${!running[@]}"; do
    timeout 5 tail --pid="$pid" -f /dev/null 2>/dev/null || kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  for namespace in "${namespaces[@]}"; do ip netns delete "$namespace" 2>/dev/null; done
  if [[ -n ${work:-} ]]; then rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME NAMESPACE UID COMMAND...: its output goes to $work/NAME.log, its pid to $started.
start() {
  local name=$1 namespace=$2 uid=$3
  shift 3
  setsid nsenter --net="/run/netns/$namespace" setpriv --reuid="$uid" --regid="$uid" --clear-groups -- \
    "$@" >>"$work/$name.log" 2>&1 </dev/null &
  started=$!
  running[$started]=$name
}

stop() {
  kill "$1" 2>/dev/null || true
  timeout 10 tail --pid="$1" -f /dev/null || kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
  unset "running[$1]"   # its pid may be another's from now on
}

# wait_until WHAT COMMAND...: polls until the command succeeds. Only what fails takes the whole time.
wait_until() {
  local deadline=$(($(now_ms) + 120000)) what=$1
  shift
  until "$@" >/dev/null 2>&1; do
    if (($(now_ms) > deadline)); then fail "$what did not happen in time"; fi
    sleep 0.02
  done
}

in_client() { nsenter --net="/run/netns/$client" "$@"; }
in_server() { nsenter --net="/run/netns/$server" "$@"; }
lanyard() { "$bin/lanyard" "$@"; }

# --- Building -------------------------------------------------------------------------------------------

build_binaries() {
  step "Installing and building"
  "$root/deploy/dependencies.sh"
  (cd "$root" && bazel build //identity/authority:lanyard-authority //identity/agent:lanyard-agent \
    //proxy:lanyard-proxy //identity/cli:lanyard) || fail "the build failed: see its messages above"
}

stage_binaries() {
  local from=${LANYARD_BIN:-$root/bazel-bin} name
  bin=$work/bin
  mkdir "$bin"
  # Copied, because the proxies' users may not see into the folder of whoever builds.
  for name in identity/authority/lanyard-authority identity/agent/lanyard-agent proxy/lanyard-proxy identity/cli/lanyard; do
    if [[ -f $from/$name ]]; then install -m 0755 "$from/$name" "$bin"
    elif [[ -f $from/${name##*/} ]]; then install -m 0755 "$from/${name##*/}" "$bin"
    else fail "there is no ${name##*/} in $from: run without --no-build"
    fi
  done
}

# --- The two machines -----------------------------------------------------------------------------------

make_machines() {
  client=lanyard-quickstart-$$-client server=lanyard-quickstart-$$-server
  local namespace
  for namespace in "$client" "$server"; do
    ip netns add "$namespace" || fail "a network namespace cannot be made here: this needs root and CAP_SYS_ADMIN"
    namespaces+=("$namespace")
    ip -n "$namespace" link set lo up
  done
  ip -n "$client" link add eth0 type veth peer name eth0 netns "$server"
  ip -n "$client" address add "$client_address/24" dev eth0
  ip -n "$server" address add "$server_address/24" dev eth0
  ip -n "$client" link set eth0 up
  ip -n "$server" link set eth0 up
}

start_nginx() {
  cat >"$work/nginx.conf" <<NGINX
daemon off; master_process off; worker_processes 1; error_log stderr; pid $work/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off; default_type text/plain; keepalive_timeout 600s;
  client_body_temp_path $work/nginx-body; proxy_temp_path $work/nginx-proxy; fastcgi_temp_path $work/nginx-fastcgi;
  uwsgi_temp_path $work/nginx-uwsgi; scgi_temp_path $work/nginx-scgi;
  server { listen $http_port; location / { return 200 "hello, \$http_x_word\n"; } }
}
NGINX
  start nginx "$server" 0 nginx -e stderr -c "$work/nginx.conf"
}

# --- The mesh -------------------------------------------------------------------------------------------

write_configurations() {
  cat >"$work/authority.yaml" <<YAML
trust_domain: $trust_domain
data_dir: $work/authority
bundle_file: $work/bundle.pem
agents: {address: "0.0.0.0:$authority_port"}
operators: {address: "unix://$work/authority.sock"}
# Short lives, so that keys rotate while you watch.
lifetimes: {x509_svid: 8s, backdate: 3s}
YAML
  local node
  for node in client server; do
    cat >"$work/$node-agent.yaml" <<YAML
trust_domain: $trust_domain
data_dir: $work/$node-agent
authority: {address: "$server_address:$authority_port", bundle_file: "$work/bundle.pem"}
attestation: {join_token_file: "$work/$node.token"}
workload_api: {socket: "$work/$node-agent.sock"}
YAML
  done
  cat >"$work/client-proxy.yaml" <<YAML
identity: {workload_api: "unix://$work/client-agent.sock"}
capture: {outbound_address: ":15001", inbound_address: ":15006"}
admin: {address: "127.0.0.1:$admin_port"}
drain_deadline: 1s
routes:
- {name: server, destinations: ["$server_address/32"], action: mutual_tls, peers: ["$server_id"]}
YAML
  cat >"$work/server-proxy.yaml" <<YAML
identity: {workload_api: "unix://$work/server-agent.sock"}
capture: {outbound_address: ":15001", inbound_address: ":15006"}
admin: {address: "127.0.0.1:$admin_port"}
inbound:
  rules:
  - {name: client, ports: [$http_port], peers: ["$client_id"]}
YAML
}

start_agent() {
  local node=$1 namespace=$2
  (umask 077 && lanyard token create --node "$node" >"$work/$node.token" 2>/dev/null)
  start "$node-agent" "$namespace" 0 "$bin/lanyard-agent" run --config "$work/$node-agent.yaml"
}

create_entry() {
  lanyard entry create --spiffe-id "$1" --parent-id "spiffe://$trust_domain/lanyard/agent/$2" \
    --selector "unix:uid:$3" >/dev/null
}

start_client_proxy() {
  start client-proxy "$client" "$1" "$bin/lanyard-proxy" run --config "$work/client-proxy.yaml"
  client_proxy=$started
  in_client "$bin/lanyard" capture up --proxy-uid "$1" --exclude-outbound-ports $authority_port >/dev/null
}

is_ready() { "in_$1" curl -fsS --max-time 2 "http://127.0.0.1:$admin_port/ready"; }

request() {
  in_client curl -fsS --max-time 5 -H "X-Word: $secret_word" "http://$server_address/"
}

start_mesh() {
  export LANYARD_AUTHORITY_SOCKET=$work/authority.sock
  started_at_ms=$(now_ms)
  start authority "$server" 0 "$bin/lanyard-authority" run --config "$work/authority.yaml"
  wait_until "the authority answering" lanyard bundle show --timeout 1s
  start_agent server "$server"
  start_agent client "$client"
  create_entry "$server_id" server $server_uid
  create_entry "$client_id" client $client_uid
  wait_until "the server's agent serving" test -S "$work/server-agent.sock"
  start server-proxy "$server" $server_uid "$bin/lanyard-proxy" run --config "$work/server-proxy.yaml"
  in_server "$bin/lanyard" capture up --proxy-uid $server_uid --exclude-inbound-ports $authority_port >/dev/null
  wait_until "the client's agent serving" test -S "$work/client-agent.sock"
  start_client_proxy $client_uid
  wait_until "the server's proxy getting its identity" is_ready server
  wait_until "the client's proxy getting its identity" is_ready client
}

# --- The proofs -----------------------------------------------------------------------------------------

prove_request() {
  wait_until "the first request" request
  first_ms=$(($(now_ms) - started_at_ms))
  local answer
  answer=$(request)
  if [[ $answer == "hello, $secret_word" ]]; then
    proved "curl http://$server_address/ is answered by nginx: neither knows of TLS"
  else
    broken "curl got '$answer'"
  fi
  if ((first_ms <= 5000)); then
    proved "the first mutually authenticated request was answered $first_ms ms after the first process started"
  else
    broken "the first mutually authenticated request took $first_ms ms; at most 5000 were promised"
  fi
}

# Every byte that crosses the veth pair, seen from outside both proxies. From the start, as proxies keep their
# connections for the next request.
watch_wire() {
  start tcpdump "$client" 0 tcpdump -i eth0 -U --immediate-mode -Z root -w "$work/wire.pcap" "tcp port $http_port"
  tcpdump=$started
  wait_until "tcpdump listening" grep -q "listening on" "$work/tcpdump.log"
}

prove_wire() {
  local capture=$work/wire.pcap
  # The last packets reach the file a moment after curl has its answer.
  local report deadline=$(($(now_ms) + 30000)) read_it=
  until report=$(/usr/bin/python3 "$root/deploy/wire.py" "$capture" "$http_port" "$secret_word") && read_it=yes; do
    if (($(now_ms) > deadline)); then break; fi
    sleep 0.1
  done
  stop "$tcpdump"
  if [[ -n $read_it ]]; then proved "$report"; else broken "${report:-the packets could not be read}"; fi
}

prove_log() {
  if wait_for_log server-proxy "\"$client_id\"" '"normal"'; then
    proved "the server's proxy logged its caller:"
    say "$(grep -F "\"$client_id\"" "$work/server-proxy.log" | grep -F '"normal"' | tail -n 1 |
      grep -oE '"(destination|peer_id|peer_serial|tls|close_reason)":"[^"]*"' | tr -d '"' | paste -sd' ')"
  else
    broken "the server's proxy did not log $client_id"
  fi
}

# wait_for_log NAME TEXT...: true once one line of the log holds every text.
wait_for_log() {
  local name=$1 deadline=$(($(now_ms) + 30000)) lines text
  shift
  while (($(now_ms) < deadline)); do
    lines=$(cat "$work/$name.log")
    for text in "$@"; do lines=$(grep -F -- "$text" <<<"$lines" || true); done
    if [[ -n $lines ]]; then return 0; fi
    sleep 0.05
  done
  return 1
}

count_requests() {
  local stop_file=$1 result=$2 good=0 bad=0
  while [[ ! -e $stop_file ]]; do
    if request >/dev/null 2>>"$result.errors"; then good=$((good + 1)); else bad=$((bad + 1)); fi
  done
  printf '%d %d\n' "$good" "$bad" >"$result"
}

serials() { grep -F "\"$client_id\"" "$work/server-proxy.log" | grep -oE '"peer_serial":"[0-9a-f]+"' | sort -u | wc -l; }
has_rotated() { (($(serials) >= $1)); }

# One connection: a request at first, and another on it once the file is there. Prints both answers' first lines.
ask_twice() {
  in_client bash -c 'exec 3<>"/dev/tcp/$0/$1"
    ask() {
      local first line
      printf "HEAD / HTTP/1.1\r\nHost: held\r\n\r\n" >&3
      read -r first <&3
      while read -r line <&3 && [[ $line != $'"'\r'"' ]]; do :; done
      printf "%s\n" "$first"
    }
    ask
    until [[ -e $2 ]]; do sleep 0.1; done
    ask' "$server_address" "$http_port" "$1"
}

reauthentications() {
  in_client curl -fsS --max-time 2 "http://127.0.0.1:$admin_port/metrics" |
    awk '/^lanyard_proxy_reauthentications_total/ {sum += $2} END {print sum + 0}'
}

has_reauthenticated() { (($(reauthentications) >= $1)); }

prove_reauthentication() {
  local held=$1
  wait "$held"
  unset "running[$held]"
  if [[ $(grep -c "200 OK" "$work/twice") -eq 2 ]] && (($(reauthentications) >= 3)); then
    proved "a connection that was open all the while answers still: authenticated anew $(reauthentications) times, in place"
  else
    broken "the connection that was open all the while: $(reauthentications) re-authentications, answers: $(<"$work/twice")"
  fi
}

prove_rotation() {
  local before worker held loops=() stop_file=$work/stop
  before=$(serials)
  ask_twice "$stop_file" >"$work/twice" 2>/dev/null &
  held=$!
  running[$held]=held-connection
  for worker in 1 2 3 4; do
    count_requests "$stop_file" "$work/requests.$worker" &
    loops+=($!)
    running[$!]=requests
  done
  wait_until "three rotations" has_rotated $((before + 3))
  # Each is carried over at its own leisure, before the SVID it was opened with expires.
  wait_until "three re-authentications" has_reauthenticated 3
  touch "$stop_file"
  wait "${loops[@]}"
  for worker in "${loops[@]}"; do unset "running[$worker]"; done
  local good bad total=0 failed=0
  for worker in 1 2 3 4; do
    read -r good bad <"$work/requests.$worker"
    total=$((total + good + bad)) failed=$((failed + bad))
  done
  if ((failed == 0 && total > 0)); then
    proved "$total requests across $(($(serials) - before)) new client certificates: 0 failed"
  else
    broken "$failed of $total requests failed while keys rotated: $(tail -n 1 "$work"/requests.1.errors)"
  fi
  prove_reauthentication "$held"
}

prove_no_entry() {
  stop "$client_proxy"
  start_client_proxy $nobody_uid
  wait_until "the agent refusing uid $nobody_uid" \
    grep -qiE 'permission|no identity|no entry' "$work/client-proxy.log"
  if request >/dev/null 2>&1; then
    broken "a caller without an entry was served"
  else
    proved "a caller whose proxy (uid $nobody_uid) has no entry gets no identity, and no answer"
  fi
  stop "$client_proxy"
}

prove_wrong_id() {
  create_entry "spiffe://$trust_domain/stranger" client $nobody_uid
  start_client_proxy $nobody_uid
  wait_until "the stranger getting its identity" is_ready client
  if request >/dev/null 2>&1; then
    broken "a caller with the wrong ID was served"
  elif wait_for_log server-proxy "spiffe://$trust_domain/stranger" denied_by_policy; then
    proved "a caller with the ID spiffe://$trust_domain/stranger is refused: denied_by_policy in the server's log"
  else
    broken "the stranger was refused, but not by policy: $(tail -n 1 "$work/server-proxy.log")"
  fi
}

# An open connection that says when it ended: "open", then the time in ms.
hold_connection() {
  in_client bash -c 'exec 3<>"/dev/tcp/$0/$1"; printf "GET / HTTP/1.1\r\nHost: held\r\n\r\n" >&3
    read -r _ <&3; echo open; cat <&3 >/dev/null; date +%s%3N' "$server_address" "$http_port"
}

held_has_ended() { (($(wc -l <"$work/held") == 2)); }

# Not by one worker of the proxy only.
is_refused() {
  for _ in 1 2 3 4 5; do ! request || return 1; done
}

prove_ban() {
  hold_connection >"$work/held" 2>/dev/null &
  local held=$! banned_at
  running[$held]=held-connection
  wait_until "a connection to hold open" grep -q open "$work/held"
  lanyard ban "$client_id" --reason "shown by the quickstart" >/dev/null
  banned_at=$(now_ms)
  wait_until "the banned caller's connection ending" held_has_ended
  wait "$held"
  unset "running[$held]"
  local after=$(($(tail -n 1 "$work/held") - banned_at))
  if ((after <= 0)); then
    proved "its open connection had ended when \`lanyard ban $client_id\` returned"
  else
    proved "its open connection ended $after ms after \`lanyard ban $client_id\` returned"
  fi
  wait_until "the banned caller being refused" is_refused
  if wait_for_log server-proxy "\"$client_id\"" '"banned"'; then
    proved "a new one is refused: banned, says the server's log"
  else
    broken "the banned caller was refused, but not for its ban: $(tail -n 1 "$work/server-proxy.log")"
  fi
  lanyard unban "$client_id" >/dev/null
  wait_until "the caller being served again after \`lanyard unban\`" request
  proved "after \`lanyard unban\` it is served again; no process was restarted"
}

how_to_look_around() {
  cat <<LOOK

The mesh is running. Have a look (everything is in $work):
    export LANYARD_AUTHORITY_SOCKET=$work/authority.sock
    nsenter --net=/run/netns/$client curl http://$server_address/
    $bin/lanyard entry list
    $bin/lanyard agent list
    nsenter --net=/run/netns/$client $bin/lanyard capture show
    nsenter --net=/run/netns/$server curl http://127.0.0.1:$admin_port/connections
    tail -f $work/server-proxy.log
To end it:
    kill ${!running[*]}; ip netns delete $client; ip netns delete $server; rm -r $work
LOOK
}

main() {
  if [[ -n $build ]]; then build_binaries; fi
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || fail "network namespaces need root, and there is no sudo: run this as root"
    say "network namespaces need root: going on through sudo"
    exec sudo env LANYARD_BIN="${LANYARD_BIN:-$root/bazel-bin}" "${BASH_SOURCE[0]}" --no-build ${keep:+--keep}
  fi
  work=$(mktemp -d "${TMPDIR:-/tmp}/lanyard-quickstart.XXXXXX")
  chmod 0755 "$work"
  stage_binaries
  step "Two machines: $client_address with curl, $server_address with nginx"
  make_machines
  write_configurations
  start_nginx
  watch_wire
  step "Authority, two agents, two proxies, capture"
  start_mesh
  step "1. An ordinary request"
  prove_request
  step "2. What crosses the wire"
  prove_wire
  step "3. Who called"
  prove_log
  step "4. Keys rotate under load (SVIDs live 8 s)"
  prove_rotation
  step "5. A ban"
  prove_ban
  step "6. A caller without an entry"
  prove_no_entry
  step "7. A caller with the wrong ID"
  prove_wrong_id
  if [[ -n $keep ]]; then
    stop "$client_proxy"
    start_client_proxy $client_uid
    wait_until "the client's proxy being back" is_ready client
  fi
  step "Summary: $proofs proved, $failures failed; first request after $first_ms ms"
  if ((failures > 0)); then exit 1; fi
  if [[ -n $keep ]]; then how_to_look_around; fi
}

main
