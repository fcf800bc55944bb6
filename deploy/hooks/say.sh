#!/bin/sh
# Says what happened aloud: `say` on macOS, `spd-say` (speech-dispatcher) on Linux.
set -eu
if command -v say >/dev/null; then
  # The text comes from the environment and goes in by a file: it can't be taken for an option.
  printf '%s\n' "$PAUSE_MONITOR_SUMMARY" | exec say -f -
else
  printf '%s\n' "$PAUSE_MONITOR_SUMMARY" | exec spd-say --wait --pipe-mode
fi
