#!/usr/bin/env bash
# A journal of many pages: how long `status` takes beside it, and how long a start takes until it sends.
#
#   benches/large_journal.sh [PAGES]      default: 1000000 pages, which takes some ten minutes and 2 GB on two cores
#
# The pages are bought of the simulator, a process of its own on this machine, until max_credits ends the run. Then `status` is called ten
# times, and the same command goes on three times: from its call to the first page that came. Everything is written below a temporary
# folder and removed.
set -euo pipefail
pages=${1:-1000000}
cd "$(dirname "$0")/.."
cargo build --release --quiet
program=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/keyapi-export
work=$(mktemp -d)
simulator=
trap '[ -z "$simulator" ] || kill "$simulator" 2>/dev/null; rm -rf "$work"' EXIT

"$program" simulate --listen 127.0.0.1:0 --regions US --from 2025-12-01 --to 2026-01-01 --rows "$((pages * 11))" --density daily \
  >"$work/url" 2>"$work/simulator.log" &
simulator=$!
until [ -s "$work/url" ]; do sleep 0.1; done

run() { # CREDITS
  KEYAPI_TOKEN=x "$program" run --base-url "$(cat "$work/url")" --region US --from 2025-12-01 --to 2026-01-01 --qps 10000 \
    --out "$work/out" --max-credits "$1" --log-format json >"$work/stdout" 2>"$work/stderr" || [ $? = 4 ]
}

now() { date +%s%3N; }

run "$pages"
echo "$pages pages, a journal of $(($(stat -c %s "$work/out.state/journal.sqlite") / 1000000)) MB"
for command in "status" "status --json"; do
  took=()
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    began=$(now)
    # Word for word.
    # shellcheck disable=SC2086
    "$program" $command --out "$work/out" >/dev/null
    took+=("$(($(now) - began))")
  done
  echo "$command: ${took[*]} ms"
done
for more in 1 2 3; do
  began=$(date +%s%3N)
  KEYAPI_EXPORT_LOG=debug run "$((pages + more))"
  first=$(grep -m 1 '"page.number"' "$work/stderr" | sed 's/.*"time":"\([^"]*\)".*/\1/')
  echo "a start, to the first page that came: $(($(date -d "$first" +%s%3N) - began)) ms"
done
