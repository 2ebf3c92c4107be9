#!/usr/bin/env bash
# Put a bounded load on a running Coherd server with ghz, by reflection: no proto files, as any stranger would call it.
#   tests/benchmarks/ghz.sh [--server HOST:PORT] [-n CALLS] [-z TIME] [-c CALLERS]
set -euo pipefail

server=localhost:50051
calls=20000   # of each kind at most
time=10s      # of each kind at most
callers=32

while (($#)); do
  case $1 in
    --server) server=${2:?--server needs HOST:PORT} ;;
    -n) calls=${2:?-n needs a number} ;;
    -z) time=${2:?-z needs a time like 10s} ;;
    -c) callers=${2:?-c needs a number} ;;
    *) echo "usage: $0 [--server HOST:PORT] [-n CALLS] [-z TIME] [-c CALLERS]" >&2; exit 2 ;;
  esac
  shift 2
done

# Load is put on this machine only: a mistyped address must not hit a service in use.
if [[ ! $server =~ ^(localhost|127(\.[0-9]{1,3}){3}|\[::1\]):[0-9]{1,5}$ ]]; then
  echo "$server is not a loopback address with a port; this test puts load on local servers only" >&2
  exit 2
fi
if ! command -v ghz >/dev/null; then
  echo "ghz is not on PATH; install it with: go install github.com/bojand/ghz/cmd/ghz@latest" >&2
  exit 2
fi

# 100 keys with a value of 512 bytes of JSON each; coherd.v1.Json is field 1, its length (512) and the text.
payload=$(printf '\x0a\x80\x04{"words":812,"note":"%s"}' "$(printf 'n%.0s' {1..489})" | base64 -w0)
keys=() items=() gets=() days=()
for number in {0..99}; do
  key="{\"text\":\"analytics:daily:user:load$number:date:20250806\"}"
  keys+=("$key")
  items+=("{\"key\":$key,\"value\":\"$payload\"}")
  gets+=("{\"key\":$key}")
  days+=("{\"user\":\"load$number\",\"date\":\"20250806\"}")
done
joined() { local IFS=,; echo "$*"; }

run() { # TITLE METHOD CALLS DATA; of a list of messages each call sends the next
  printf '\n== %s ==\n' "$1"
  # ghz ignores -n where it is given a time, so the time is kept from outside; at SIGINT it reports what it has.
  timeout --signal=INT "$time" ghz --insecure --name "$1" --call "$2" -n "$3" -c "$(($3 < callers ? $3 : callers))" \
    --timeout 5s --data-file=/dev/stdin "$server" <<<"$4" || (($? == 124))
}

run "store 100 values (BatchSet)" coherd.v1.CacheService/BatchSet 1 "{\"items\":[$(joined "${items[@]}")]}"
run "Get" coherd.v1.CacheService/Get "$calls" "[$(joined "${gets[@]}")]"
run "BatchGet of 100" coherd.v1.CacheService/BatchGet "$((calls / 10))" "{\"keys\":[$(joined "${keys[@]}")]}"
run "typed method" coherd.domains.analytics.v1.AnalyticsCache/Daily "$calls" "[$(joined "${days[@]}")]"
