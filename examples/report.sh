#!/bin/sh
# The reporter's alerts, in a colony: for cron, for a step, or by hand. Silent when there is nothing to say.
#
# `colony metrics check NAME '< 0.95'` compares numbers (the shell's `[ 0.94 -lt 0.95 ]` is an error, not an answer) with
# the metric's newest value: exit 0 when the comparison holds, 1 when it does not or nothing was recorded in the hours.
set -eu

hours=${HOURS:-24}

if colony metrics check pipeline_error_count '> 10' --hours "$hours" >/dev/null; then
  errors=$(colony metrics show pipeline_error_count --hours "$hours" --json | jq .current)
  colony broadcast "🚨 Pipeline errors exceeded threshold: $errors errors"
fi

if colony metrics check data_quality_score '< 0.95' --hours "$hours" >/dev/null; then
  score=$(colony metrics show data_quality_score --hours "$hours" --json | jq .current)
  colony broadcast "⚠️ Data quality below threshold: $score"
fi
