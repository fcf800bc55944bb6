//! What it demands is said in `src/web.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pause_monitor_fuzz::web::check(input));
