#!/bin/sh
# Times frame + decode beside the plist crate and CPython's plistlib, all in one run, and prints the ratios.
cd "$(dirname "$0")/.." && exec cargo bench --locked --bench decode -- --compare
