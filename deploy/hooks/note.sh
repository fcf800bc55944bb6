#!/bin/sh
# Adds a line to a file in the home directory: when, how long, who built it up. Needs jq.
#   command = ["/usr/local/share/pause-monitor/note.sh", "pauses.md"]
set -eu
# @text: no name of a process can end the line.
line=$(jq -r '
  [ .time,
    .host,
    .event,
    (if .duration_s then "\(.duration_s * 100 | round / 100) s" else "?" end),
    (if .culprits == [] then "nobody stands out"
     else [.culprits[] | "\(.name) \(.share * 100 | round) %"] | join(", ") end),
    "event \(.id // "-")"
  ] | map(gsub("[\\n\\r|]"; " ")) | "| " + join(" | ") + " |"')
printf '%s\n' "$line" >>"$HOME/$1"
