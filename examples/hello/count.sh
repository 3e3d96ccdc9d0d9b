#!/bin/sh
# The words of a sentence, as JSON.
jq -n --arg said "$1" '{said: $said, words: ($said | split(" ") | length)}'
