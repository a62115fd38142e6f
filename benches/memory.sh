#!/usr/bin/env bash
# Memory, cost and speed of an export at two sizes, in one run, as ratios: the larger over the smaller.
#
#   benches/memory.sh [ROWS] [FACTOR]      defaults: 1000000 rows and 4 times as many; some minutes on 2 cores
#
# The smaller export asks for a week, the larger one for as many weeks as the factor says: the same density, so that a day's
# part is alike in both and only the length of the run differs. (What a part takes is bounded by a row group.)
#
# Needs a Linux /proc. Traffic goes to this machine alone; everything is written below a temporary folder and removed.
set -euo pipefail
rows=${1:-1000000}
factor=${2:-4}
cd "$(dirname "$0")/.."
cargo build --release --quiet
program=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/keyapi-export
work=$(mktemp -d)
simulator=
trap '[ -z "$simulator" ] || kill "$simulator" 2>/dev/null; rm -rf "$work"' EXIT

# The peak of a process's resident memory in kB, read until it ends.
watch_peak() {
  local peak=0 now
  while now=$(awk '/^VmHWM:/ {print $2}' "/proc/$1/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.1
  done
  echo "$peak"
}

measure() { # NAME ROWS WEEKS: prints peak kB, milliseconds and requests
  local folder=$work/$1 url to
  to=$(date -u -d "2025-12-01 + $(($3 * 7)) days" +%Y-%m-%d)
  mkdir -p "$folder"
  "$program" simulate --listen 127.0.0.1:0 --regions US --from 2025-12-01 --to "$to" --rows "$2" --density daily \
    >"$folder/url" 2>"$folder/simulator.log" &
  simulator=$!
  until [ -s "$folder/url" ]; do sleep 0.1; done
  url=$(cat "$folder/url")
  KEYAPI_TOKEN=x "$program" run --base-url "$url" --region US --from 2025-12-01 --to "$to" --qps 10000 \
    --out "$folder/out" --state "$folder/state" --summary "$folder/summary.json" >"$folder/stdout" 2>"$folder/stderr" &
  local export=$!
  local peak
  peak=$(watch_peak "$export")
  wait "$export"
  kill "$simulator"; wait "$simulator" || true
  simulator=
  local milliseconds attempts
  milliseconds=$(grep -o '"duration_ms": *[0-9]*' "$folder/summary.json" | grep -o '[0-9]*$')
  attempts=$(grep -o '"attempts": *[0-9]*' "$folder/summary.json" | grep -o '[0-9]*$')
  echo "$peak $milliseconds $attempts"
}

read -r small_peak small_time small_cost < <(measure small "$rows" 1)
read -r large_peak large_time large_cost < <(measure large "$((rows * factor))" "$factor")
awk -v r="$rows" -v f="$factor" -v sp="$small_peak" -v lp="$large_peak" -v st="$small_time" -v lt="$large_time" \
  -v sc="$small_cost" -v lc="$large_cost" 'BEGIN {
  printf "%-28s %14d %14d %8s\n", "rows", r, r * f, "ratio"
  printf "%-28s %14.1f %14.1f %8.3f\n", "peak memory, MB", sp / 1000, lp / 1000, lp / sp
  printf "%-28s %14.1f %14.1f %8.3f\n", "time, s", st / 1000, lt / 1000, lt / st
  printf "%-28s %14.5f %14.5f %8.5f\n", "requests over the floor", sc / (r / 10), lc / (r * f / 10), (lc / (r * f / 10)) / (sc / (r / 10))
}'
