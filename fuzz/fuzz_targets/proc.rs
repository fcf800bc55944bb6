//! What it demands is said in `src/proc.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pause_monitor_fuzz::proc::check(input));
