#!/bin/sh
# The reporter's alerts, in a colony: for cron, for a step, or by hand. Silent while all is well; when nothing was
# recorded in the hours, `metrics check` says so on standard error, which cron mails: no figure is no good news.
#
# `colony metrics check NAME '< 0.95'` compares numbers, where the shell's `[ 0.94 -lt 0.95 ]` is an error and no answer.
# Its exit status: 0 when it holds for the newest value, 1 when it does not or there is none.
set -eu

hours=${HOURS:-24}

holds() {
  status=0
  colony metrics check "$1" "$2" --hours "$hours" --quiet || status=$?
  [ "$status" -le 1 ] || exit "$status"
  return "$status"
}

current() {
  colony metrics show "$1" --hours "$hours" --json | jq .current
}

if holds pipeline_error_count '> 10'; then
  colony broadcast "🚨 Pipeline errors exceeded threshold: $(current pipeline_error_count) errors"
fi

if holds data_quality_score '< 0.95'; then
  colony broadcast "⚠️ Data quality below threshold: $(current data_quality_score)"
fi
