//! What the sampling thread does in the steady state, that is while nothing happens: samples come, no tier is left, no gap is
//! found, no process file is new. It takes no memory from the heap, and calls the system for nothing but to wait, to read and
//! to wake the outputs.
#![cfg(target_os = "linux")]
// clippy.toml allows these in tests only, and takes this for none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../benches/support/counting.rs"]
mod counting;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/program.rs"]
mod program;

mod allocations;
mod calls;
mod clients;

/// Nothing happens: neither a machine that is busy with other things nor one that is late makes an event. What an event
/// costs, a notice with its culprits, is taken from the heap and is none of the steady state.
const CALM: &str =
    "[tiers]\nelevated = 98\ncritical = 99\n[pause]\nmin_duration = \"60s\"\nthreshold_ratio = 10.0\n";

/// The simulation in the place of powermetrics: documents of 260 KB at 10 Hz.
fn stand_in() -> String {
    let program = env!("CARGO_BIN_EXE_pause-monitor");
    format!(
        "{CALM}[source]\nkind = \"powermetrics\"\n[powermetrics]\ncommand = [\"{program}\", \"simulate\", \"--scenario\", \"calm\"]\n"
    )
}

/// This machine's kernel.
fn linux() -> String {
    format!("{CALM}[source]\nkind = \"linux\"\n")
}

/// The number of a thread of a process, by its name.
fn thread_of(pid: i32, name: &str) -> i32 {
    daemon::until(&format!("the thread {name}"), || {
        std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().find_map(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim_end() == name).then(|| task.file_name().to_str()?.parse().ok())?
        })
    })
}
