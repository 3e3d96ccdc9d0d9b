#!/bin/sh
# The change to review as JSON: {files: [{path, diff}]}. In a git repository that of the working tree since $BASE
# (default: HEAD); elsewhere, or when nothing is changed, example.diff.
set -eu

if git rev-parse --is-inside-work-tree >/dev/null 2>&1 && ! git diff --quiet "${BASE:-HEAD}" -- .; then
  git diff --no-color --no-ext-diff "${BASE:-HEAD}" -- .
else
  cat example.diff
fi | jq -Rs '{files: [("\n" + .) | split("\ndiff --git ")[1:][] | {path: (split("\n")[0] | split(" b/")[-1]), diff: .}]}'
