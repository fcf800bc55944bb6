//! A document like those of an M4 under macOS 26: the same keys in the same order, values of a seed.
//! Shared by `tests/decode_oracle.rs`, `tests/decode_allocates_nothing.rs` and `benches/decode.rs`.

use std::fmt::Write;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const HEAD: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" ",
    "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n",
);

/// A document of so many tasks: 105 make 260 KB.
pub(crate) fn document(tasks: usize, seed: u64) -> String {
    let random = &mut Random(seed | 1);
    let mut out = String::from(HEAD);
    out.push_str("<key>is_delta</key><true/>\n<key>elapsed_ns</key><integer>107923416</integer>\n");
    out.push_str(
        "<key>hw_model</key><string>Mac16,5</string>\n<key>kern_osversion</key><string>25C56</string>\n",
    );
    out.push_str(
        "<key>kern_bootargs</key><string></string>\n<key>kern_boottime</key><integer>1768975932</integer>\n",
    );
    out.push_str("<key>timestamp</key><date>2026-01-22T21:07:07Z</date>\n<key>tasks</key>\n<array>\n");
    for index in 0..tasks {
        // powermetrics sorts by CPU time.
        let busy = 400_000 / (index as u64 + 1);
        task(&mut out, random, 300 + 7 * index as i64, &format!("process.{index}"), busy);
    }
    out.push_str("</array>\n<key>all_tasks</key>\n");
    task(&mut out, random, -2, "ALL_TASKS", 4_000_000);
    out.push_str("<key>disk</key>\n<dict>\n");
    for key in ["rops", "wops", "rbytes", "wbytes"] {
        integer(&mut out, &format!("{key}_diff"), random.below(100_000));
        real(&mut out, &format!("{key}_per_s"), random.below(1_000_000));
    }
    out.push_str("</dict>\n<key>processor</key>\n<dict>\n<key>clusters</key>\n<array>\n");
    for name in ["E-Cluster", "P0-Cluster", "P1-Cluster"] {
        cluster(&mut out, random, name);
    }
    out.push_str("</array>\n");
    for key in ["cpu", "gpu", "ane"] {
        integer(&mut out, &format!("{key}_energy"), random.below(5_000));
        real(&mut out, &format!("{key}_power"), random.below(5_000_000));
    }
    real(&mut out, "combined_power", random.below(9_000_000));
    out.push_str("</dict>\n<key>thermal_pressure</key><string>Nominal</string>\n<key>gpu</key>\n<dict>\n");
    real(&mut out, "freq_hz", 338_000);
    integer(&mut out, "idle_ns", random.below(100_000_000));
    real(&mut out, "idle_ratio", random.below(1000));
    for list in ["dvfm_states", "sw_requested_state", "sw_state"] {
        states(&mut out, random, list, 15);
    }
    out.push_str("</dict>\n</dict>\n</plist>\n");
    out
}

fn integer(out: &mut String, key: &str, value: u64) {
    let _ = writeln!(out, "<key>{key}</key><integer>{value}</integer>");
}

/// Writes thousandths as C's `%g` would.
fn real(out: &mut String, key: &str, thousandths: u64) {
    let _ = writeln!(out, "<key>{key}</key><real>{}</real>", thousandths as f64 / 1000.0);
}

fn task(out: &mut String, random: &mut Random, pid: i64, name: &str, busy: u64) {
    let cpu = busy + random.below(busy + 1000);
    let _ = write!(
        out,
        "<dict>\n<key>pid</key><integer>{pid}</integer>\n<key>name</key><string>{name}</string>\n"
    );
    integer(out, "started_abstime_ns", random.below(3_255_466_108_566));
    integer(out, "interval_ns", 107_928_125);
    integer(out, "cputime_ns", cpu * 108);
    real(out, "cputime_ms_per_s", cpu);
    real(out, "cputime_sample_ms_per_s", cpu);
    real(out, "cputime_userland_ratio", random.below(1000));
    integer(out, "intr_wakeups", random.below(100));
    real(out, "intr_wakeups_per_s", random.below(400_000));
    integer(out, "idle_wakeups", 0);
    real(out, "idle_wakeups_per_s", 0);
    out.push_str("<key>timer_wakeups</key>\n<array>\n");
    for interval in [2_000_000, 5_000_000] {
        let _ = writeln!(
            out,
            "<dict>\n  <key>interval_ns</key><integer>{interval}</integer>\n  \
             <key>wakeups</key><integer>{}</integer>\n  <key>wakeups_per_s</key><real>{}</real>\n</dict>",
            random.below(50),
            random.below(100_000) as f64 / 1000.0,
        );
    }
    out.push_str("</array>\n");
    for key in ["diskio_bytesread", "diskio_byteswritten"] {
        let bytes = random.below(3) * random.below(100_000);
        integer(out, key, bytes);
        real(out, &format!("{key}_per_s"), bytes * 9_266);
    }
    let pageins = random.below(4);
    integer(out, "pageins", pageins);
    real(out, "pageins_per_s", pageins * 9_266);
    for class in
        ["disabled", "maintenance", "background", "utility", "default", "user_initiated", "user_interactive"]
    {
        let time = random.below(cpu + 1);
        integer(out, &format!("qos_{class}_ns"), time * 108);
        real(out, &format!("qos_{class}_ms_per_s"), time);
    }
    out.push_str("</dict>\n");
}

fn cluster(out: &mut String, random: &mut Random, name: &str) {
    let _ = write!(out, "<dict>\n<key>name</key><string>{name}</string>\n");
    real(out, "freq_hz", 1_020_020_000_000);
    real(out, "idle_ratio", random.below(1000));
    real(out, "down_ratio", 0);
    states(out, random, "dvfm_states", 18);
    out.push_str("<key>cpus</key>\n<array>\n");
    for cpu in 0..5 {
        out.push_str("<dict>\n");
        integer(out, "cpu", cpu);
        real(out, "freq_hz", 1_337_000_000_000);
        integer(out, "idle_ns", random.below(107_923_416));
        real(out, "idle_ratio", random.below(1000));
        states(out, random, "dvfm_states", 18);
        out.push_str("</dict>\n");
    }
    out.push_str("</array>\n</dict>\n");
}

fn states(out: &mut String, random: &mut Random, key: &str, count: u64) {
    let _ = write!(out, "<key>{key}</key>\n<array>\n");
    for state in 0..count {
        let _ = writeln!(
            out,
            "<dict>\n<key>freq</key><integer>{}</integer>\n<key>used_ns</key><integer>{}</integer>\n\
             <key>used_ratio</key><real>{}</real>\n</dict>",
            338 + 100 * state,
            random.below(20_000_000),
            random.below(1000) as f64 / 1000.0,
        );
    }
    out.push_str("</array>\n");
}
