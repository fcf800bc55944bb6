#!/bin/sh
# Opens an incident in PagerDuty when a state begins, and closes it when it ends (Events API v2). Needs curl and jq.
#   command = [".../pagerduty.sh", "KEY_FILE"]           a third word is another address, for trying out
# The file holds the integration's key, and only you should be able to read it: chmod 600.
set -eu
key_file=$1
address=${2:-https://events.pagerduty.com/v2/enqueue}
# What belongs together has one incident; a critical state and a source that is down are two things.
jq -c --rawfile key "$key_file" '
  { routing_key: ($key | gsub("\\s"; "")),
    dedup_key: "pause-monitor/\(.event)/\(.incident)",
    event_action: (if .status == "resolved" then "resolve" else "trigger" end),
    payload: {
      summary: .summary[:1024],
      source: .host,
      severity: (if .event == "elevated" then "warning" else "critical" end),
      timestamp: .time,
      class: .event,
      custom_details: { stress, culprits, id, duration_s }
    } }' |
  curl --silent --show-error --fail --max-time 20 --retry 2 \
    --header 'content-type: application/json' --data-binary @- "$address"
