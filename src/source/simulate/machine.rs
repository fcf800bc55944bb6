//! The rest of the simulated machine: disk, processor and GPU, made to fit what the tasks did.

use super::plist::Plist;
use super::random::Random;
use super::tasks::{BLOCK, Counts, per_second};

/// The clock rates of the efficiency cores, MHz (M4 Max).
const E_MHZ: [i64; 7] = [1020, 1404, 1788, 2112, 2352, 2532, 2592];
/// The clock rates of the performance cores, MHz (M4 Max).
const P_MHZ: [i64; 20] = [
    1260, 1512, 1800, 2088, 2352, 2616, 2868, 3096, 3300, 3468, 3624, 3756, 3828, 3888, 3948, 3996, 4044,
    4104, 4416, 4512,
];
/// The clock rates of the GPU, MHz (M4 Max); powermetrics lists them in this order.
const GPU_MHZ: [i64; 15] =
    [338, 618, 796, 924, 952, 1056, 1062, 1182, 1182, 1312, 1242, 1380, 1326, 1470, 1578];

struct Cluster {
    name: &'static str,
    cpus: u32,
    mhz: &'static [i64],
    /// The most of the load that still finds room here that goes here.
    share: f64,
    /// Off while nothing is left for it.
    may_be_down: bool,
    /// What one busy core draws at the highest clock rate, mW.
    core_mw: f64,
}

const CLUSTERS: [Cluster; 3] = [
    Cluster { name: "E-Cluster", cpus: 4, mhz: &E_MHZ, share: 0.4, may_be_down: false, core_mw: 400.0 },
    Cluster { name: "P0-Cluster", cpus: 6, mhz: &P_MHZ, share: 1.0, may_be_down: false, core_mw: 3_200.0 },
    Cluster { name: "P1-Cluster", cpus: 6, mhz: &P_MHZ, share: 1.0, may_be_down: true, core_mw: 3_200.0 },
];

/// A core is never busy all the time.
const BUSY_MAX: f64 = 0.97;

/// Writes `disk`: what the tasks read and wrote, and a little that is nobody's.
pub(super) fn disk(plist: &mut Plist<'_>, elapsed_ns: u64, all: &Counts, random: &mut Random) {
    let seconds = elapsed_ns as f64 / 1e9;
    let read = all.read_bytes + BLOCK * random.whole(8.0 * seconds);
    let written = all.written_bytes + BLOCK * random.whole(16.0 * seconds);
    // Large transfers go in large pieces.
    let operations = |bytes: u64| bytes.div_ceil(if bytes > 1 << 20 { 131_072 } else { 8_192 });
    plist.dict("disk", |plist| {
        for (diff_key, rate_key, count) in [
            ("rops_diff", "rops_per_s", operations(read)),
            ("wops_diff", "wops_per_s", operations(written)),
            ("rbytes_diff", "rbytes_per_s", read),
            ("wbytes_diff", "wbytes_per_s", written),
        ] {
            plist.integer(diff_key, count as i64);
            plist.real(rate_key, per_second(count as f64, elapsed_ns));
        }
    });
}

/// Writes `processor`: clusters, cores, and power.
pub(super) fn processor(
    plist: &mut Plist<'_>,
    elapsed_ns: u64,
    all: &Counts,
    gpu_busy: f64,
    random: &mut Random,
) {
    let mut cpu_mw = 400.0;
    plist.dict("processor", |plist| {
        let mut left = all.cpu_ns as f64 / elapsed_ns as f64;
        let mut first_cpu = 0;
        plist.array("clusters", |plist| {
            for cluster in &CLUSTERS {
                let room = f64::from(cluster.cpus) * BUSY_MAX;
                let cores = (left * cluster.share).min(room);
                left -= cores;
                let busy = cores / f64::from(cluster.cpus);
                cpu_mw += cores * cluster.core_mw * (0.5 + 0.5 * busy);
                plist.item(|plist| cluster.write(plist, first_cpu, busy, elapsed_ns, random));
                first_cpu += cluster.cpus;
            }
        });
        let gpu_mw = gpu_mw(gpu_busy);
        plist.integer_below("cpu_energy", energy_mj(cpu_mw, elapsed_ns));
        plist.real_below("cpu_power", cpu_mw);
        plist.integer_below("gpu_energy", energy_mj(gpu_mw, elapsed_ns));
        plist.real_below("gpu_power", gpu_mw);
        plist.integer_below("ane_energy", 0);
        plist.real_below("ane_power", 0.0);
        plist.real_below("combined_power", cpu_mw + gpu_mw);
    });
}

impl Cluster {
    fn write(&self, plist: &mut Plist<'_>, first_cpu: u32, busy: f64, elapsed_ns: u64, random: &mut Random) {
        let down = self.may_be_down && busy < 0.001;
        plist.string("name", self.name);
        plist.yes("hw_resid_counters");
        // A cluster is idle only while all its cores are.
        residency(plist, self.mhz, (busy * 1.8).min(1.0), busy, down, elapsed_ns);
        if !down {
            plist.real("online_ratio", 1.0);
        }
        plist.array("cpus", |plist| {
            for cpu in first_cpu..first_cpu + self.cpus {
                let own = (busy * random.between(0.75, 1.25)).min(1.0);
                plist.item(|plist| {
                    plist.integer("cpu", i64::from(cpu));
                    residency(plist, self.mhz, own, busy, down, elapsed_ns);
                });
            }
        });
    }
}

/// Writes how long a cluster or core was idle, off, and at each clock rate: together the whole interval.
/// `pace`, 0–1, says how high the clock rates are.
fn residency(plist: &mut Plist<'_>, mhz: &[i64], busy: f64, pace: f64, down: bool, elapsed_ns: u64) {
    let busy_ns = if down { 0 } else { (busy * elapsed_ns as f64) as u64 };
    let mut used_ns = vec![0_u64; mhz.len()];
    spread(busy_ns, pace, &mut used_ns);
    let idle_ns = if down { elapsed_ns / 400 } else { elapsed_ns - busy_ns };
    let down_ns = elapsed_ns - idle_ns - used_ns.iter().sum::<u64>();
    let ratio = |ns: u64| ns as f64 / elapsed_ns as f64;
    let cycles: f64 = mhz.iter().zip(&used_ns).map(|(&mhz, &ns)| mhz as f64 * ns as f64).sum();
    plist.real("freq_hz", if busy_ns == 0 { 0.0 } else { 1e6 * cycles / busy_ns as f64 });
    plist.integer("idle_ns", idle_ns as i64);
    plist.real("idle_ratio", ratio(idle_ns));
    plist.integer("down_ns", down_ns as i64);
    plist.real("down_ratio", ratio(down_ns));
    states(plist, mhz, &used_ns, elapsed_ns);
}

/// Writes the time at each clock rate.
fn states(plist: &mut Plist<'_>, mhz: &[i64], used_ns: &[u64], elapsed_ns: u64) {
    plist.array("dvfm_states", |plist| {
        for (&mhz, &ns) in mhz.iter().zip(used_ns) {
            plist.item(|plist| {
                plist.integer("freq", mhz);
                plist.integer("used_ns", ns as i64);
                plist.real("used_ratio", ns as f64 / elapsed_ns as f64);
            });
        }
    });
}

/// Spreads busy time over clock rates: most of it at the rate that `pace` asks for, half as much at each
/// further one above it, and what is left at the lowest.
fn spread(busy_ns: u64, pace: f64, used_ns: &mut [u64]) {
    let from = (pace.clamp(0.0, 1.0) * (used_ns.len() - 1) as f64) as usize;
    let mut left = busy_ns;
    for used in &mut used_ns[from..] {
        *used = left.div_ceil(2);
        left -= *used;
    }
    used_ns[0] += left;
}

/// What the GPU draws, mW.
fn gpu_mw(busy: f64) -> f64 {
    25.0 + 1_700.0 * busy + 12_000.0 * busy * busy
}

fn energy_mj(mw: f64, elapsed_ns: u64) -> i64 {
    (mw * elapsed_ns as f64 / 1e9).round() as i64
}

/// Writes `gpu`; `busy` is its busy share, 0–1.
pub(super) fn gpu(plist: &mut Plist<'_>, elapsed_ns: u64, busy: f64) {
    let busy_ns = (busy * elapsed_ns as f64) as u64;
    let mut used_ns = [0; GPU_MHZ.len()];
    // A little load stays at the lowest rate.
    spread(busy_ns, if busy < 0.3 { 0.0 } else { busy * 0.8 }, &mut used_ns);
    let cycles: f64 = GPU_MHZ.iter().zip(used_ns).map(|(&mhz, ns)| mhz as f64 * ns as f64).sum();
    plist.dict("gpu", |plist| {
        // In MHz, whatever the key says; so does the real one.
        plist.real("freq_hz", cycles / busy_ns.max(1) as f64);
        plist.integer("idle_ns", (elapsed_ns - busy_ns) as i64);
        plist.real("idle_ratio", (elapsed_ns - busy_ns) as f64 / elapsed_ns as f64);
        states(plist, &GPU_MHZ, &used_ns, elapsed_ns);
        for (array, key, prefix, of_ns) in [
            ("sw_requested_state", "sw_req_state", "P", busy_ns),
            ("sw_state", "sw_state", "SW_P", elapsed_ns),
        ] {
            plist.array(array, |plist| {
                for (number, &ns) in (1..).zip(&used_ns) {
                    plist.item(|plist| {
                        plist.numbered(key, prefix, number);
                        plist.integer("used_ns", ns as i64);
                        plist.real("used_ratio", ns as f64 / of_ns.max(1) as f64);
                    });
                }
            });
        }
        plist.integer("gpu_energy", energy_mj(gpu_mw(busy), elapsed_ns));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_is_spread_without_loss() {
        for pace in [0.0, 0.3, 1.0] {
            for busy_ns in [0, 1, 12_345_678] {
                let mut used_ns = [0; 7];
                spread(busy_ns, pace, &mut used_ns);
                assert_eq!(used_ns.iter().sum::<u64>(), busy_ns);
            }
        }
    }
}
