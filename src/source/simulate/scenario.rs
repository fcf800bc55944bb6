//! The scenarios: what happens when, and who does it. Every number of the story stands in one table.

use crate::config::Scenario;

const SECOND: u64 = 1_000_000_000;
const MIB: f64 = 1_048_576.0;

impl Scenario {
    /// The length of one cycle, ns: at most 40 s, but for mixed, whose cycle is that of all others together.
    #[must_use]
    pub fn cycle_ns(self) -> u64 {
        self.stories().iter().map(|story| story.cycle_s * SECOND).sum()
    }

    fn stories(self) -> &'static [Story] {
        match self {
            Self::Mixed => &STORIES,
            single => std::slice::from_ref(&STORIES[single as usize]),
        }
    }

    /// The story that runs at `time_ns`, and the time since its cycle began, ns.
    fn scene(self, time_ns: u64) -> (&'static Story, u64) {
        let stories = self.stories();
        let mut left = time_ns % self.cycle_ns();
        for story in stories {
            if left < story.cycle_s * SECOND {
                return (story, left);
            }
            left -= story.cycle_s * SECOND;
        }
        (&stories[0], 0)
    }

    /// What goes on at `time_ns` on top of the calm machine.
    pub(super) fn strain(self, time_ns: u64) -> Strain {
        let (story, at_ns) = self.scene(time_ns);
        let at_s = at_ns as f64 / SECOND as f64;
        let level = story.level(at_s);
        let hot = level >= THROTTLED_FROM;
        Strain {
            culprit: story.culprit,
            cpu_ms_per_s: level * story.cpu_ms_per_s,
            pageins_per_s: level * story.pageins_per_s,
            read_per_s: level * story.read_mib_per_s * MIB,
            write_per_s: level * story.write_mib_per_s * MIB,
            wakeups_per_s: level * story.wakeups_per_s,
            gpu_busy_pct: level * story.gpu_busy_pct,
            thermal_pressure: if hot { story.thermal_pressure } else { CALM_THERMAL },
        }
    }

    /// Whether the machine falls silent between `time_ns` and `interval_ns` later.
    pub(super) fn freezes_within(self, time_ns: u64, interval_ns: u64) -> bool {
        let (story, at_ns) = self.scene(time_ns);
        story.silent_at_s.is_some_and(|silent_at_s| {
            let silent_at_ns = silent_at_s * SECOND;
            at_ns < silent_at_ns && silent_at_ns <= at_ns.saturating_add(interval_ns)
        })
    }
}

/// What one process does to the machine at some moment, on top of what everybody does all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Strain {
    /// Whose doing it is.
    pub(super) culprit: &'static str,
    /// Its CPU time, ms per second.
    pub(super) cpu_ms_per_s: f64,
    /// Its page-ins per second.
    pub(super) pageins_per_s: f64,
    /// Bytes it reads per second.
    pub(super) read_per_s: f64,
    /// Bytes it writes per second.
    pub(super) write_per_s: f64,
    /// Its interrupt wakeups per second.
    pub(super) wakeups_per_s: f64,
    /// What it adds to the GPU's busy share, percent.
    pub(super) gpu_busy_pct: f64,
    /// The thermal level, as powermetrics writes it.
    pub(super) thermal_pressure: &'static str,
}

const CALM_THERMAL: &str = "Nominal";

/// The share of a story's height from which the machine is throttled.
const THROTTLED_FROM: f64 = 0.5;

/// One cycle, in seconds since it began, and what its culprit does at the height of it.
struct Story {
    culprit: &'static str,
    /// Calm until here; then it builds up, slowly at first.
    builds_up_at_s: u64,
    /// From here it stands at its height.
    height_at_s: u64,
    /// The machine is silent from here for [`SILENCE_NS`].
    silent_at_s: Option<u64>,
    /// From here it dies down.
    falls_at_s: u64,
    /// From here it is calm again. Two tiers down take 11 s: 5 s each, and 1 s that the means look back.
    calm_at_s: u64,
    cycle_s: u64,
    cpu_ms_per_s: f64,
    pageins_per_s: f64,
    read_mib_per_s: f64,
    write_mib_per_s: f64,
    wakeups_per_s: f64,
    gpu_busy_pct: f64,
    thermal_pressure: &'static str,
}

impl Story {
    /// How far the story is from calm (0) to its height (1), `at_s` seconds into the cycle.
    fn level(&self, at_s: f64) -> f64 {
        let (builds_up, height) = (self.builds_up_at_s as f64, self.height_at_s as f64);
        let (falls, calm) = (self.falls_at_s as f64, self.calm_at_s as f64);
        if at_s < builds_up || at_s >= calm {
            0.0
        } else if at_s < height {
            let share = (at_s - builds_up) / (height - builds_up);
            share * share
        } else if at_s < falls {
            1.0
        } else {
            (calm - at_s) / (calm - falls)
        }
    }
}

/// How long a freeze is silent, ns: between these, by the seed.
pub(super) const SILENCE_NS: std::ops::Range<u64> = 1_200_000_000..2_800_000_000;

/// The stories, in the order of [`Scenario::ALL`] without mixed.
///
/// CRITICAL takes 50 points, and load, memory, latency and (for the first 30 s, until the machine is known
/// to report no idle wakeups) wakeups give none here. What is left: page-ins 30 (from 400/s), GPU 20 (from
/// 100 %), io 10 (from 100 MiB/s), thermal 10. The GPU's calm share comes on top.
#[rustfmt::skip]
static STORIES: [Story; 6] = [
    Story { // calm: 0 points
        culprit: "kernel_task",
        builds_up_at_s: 0, height_at_s: 0, silent_at_s: None, falls_at_s: 0, calm_at_s: 0, cycle_s: 20,
        cpu_ms_per_s: 0.0, pageins_per_s: 0.0, read_mib_per_s: 0.0, write_mib_per_s: 0.0,
        wakeups_per_s: 0.0, gpu_busy_pct: 0.0, thermal_pressure: CALM_THERMAL,
    },
    Story { // thrash: page-ins 30, io 10, thermal 10, gpu 5 and more
        culprit: "mds_stores",
        builds_up_at_s: 6, height_at_s: 12, silent_at_s: None, falls_at_s: 18, calm_at_s: 20, cycle_s: 34,
        cpu_ms_per_s: 1_400.0, pageins_per_s: 900.0, read_mib_per_s: 160.0, write_mib_per_s: 40.0,
        wakeups_per_s: 1_500.0, gpu_busy_pct: 58.0, thermal_pressure: "Moderate",
    },
    Story { // gpu: gpu 18, thermal 10
        culprit: "com.apple.WebKit.GPU",
        builds_up_at_s: 6, height_at_s: 12, silent_at_s: None, falls_at_s: 18, calm_at_s: 20, cycle_s: 34,
        cpu_ms_per_s: 2_600.0, pageins_per_s: 0.0, read_mib_per_s: 0.0, write_mib_per_s: 1.0,
        wakeups_per_s: 2_500.0, gpu_busy_pct: 86.0, thermal_pressure: "Moderate",
    },
    Story { // io: io 10, page-ins 10
        culprit: "backupd",
        builds_up_at_s: 6, height_at_s: 12, silent_at_s: None, falls_at_s: 18, calm_at_s: 20, cycle_s: 34,
        cpu_ms_per_s: 600.0, pageins_per_s: 75.0, read_mib_per_s: 280.0, write_mib_per_s: 240.0,
        wakeups_per_s: 1_200.0, gpu_busy_pct: 0.0, thermal_pressure: CALM_THERMAL,
    },
    Story { // runaway: page-ins 30, io 10, thermal 10, gpu 3 and more; wakeups 10 once they are scored
        culprit: "mediaanalysisd",
        builds_up_at_s: 6, height_at_s: 12, silent_at_s: None, falls_at_s: 18, calm_at_s: 20, cycle_s: 34,
        cpu_ms_per_s: 7_800.0, pageins_per_s: 520.0, read_mib_per_s: 90.0, write_mib_per_s: 60.0,
        wakeups_per_s: 56_000.0, gpu_busy_pct: 52.0, thermal_pressure: "Heavy",
    },
    Story { // freeze: page-ins 30, io 10, thermal 10, gpu 5 and more; the silence adds latency 20
        culprit: "fileproviderd",
        builds_up_at_s: 6, height_at_s: 12, silent_at_s: Some(15), falls_at_s: 19, calm_at_s: 20, cycle_s: 36,
        cpu_ms_per_s: 2_200.0, pageins_per_s: 1_100.0, read_mib_per_s: 180.0, write_mib_per_s: 40.0,
        wakeups_per_s: 2_000.0, gpu_busy_pct: 58.0, thermal_pressure: "Heavy",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_is_told_within_forty_seconds_and_mixed_tells_them_all() {
        for scenario in Scenario::ALL {
            if scenario != Scenario::Mixed {
                assert!(scenario.cycle_ns() <= 40 * SECOND, "{scenario:?}");
            }
        }
        let mut told: Vec<&str> = Vec::new();
        for at_s in 0..Scenario::Mixed.cycle_ns() / SECOND {
            let (story, _) = Scenario::Mixed.scene(at_s * SECOND);
            if told.last() != Some(&story.culprit) {
                told.push(story.culprit);
            }
        }
        assert_eq!(told, STORIES.each_ref().map(|story| story.culprit));
    }

    #[test]
    fn a_story_repeats_itself() {
        for scenario in Scenario::ALL {
            for at_s in [0, 9, 13, 19, 33] {
                let at_ns = at_s * SECOND;
                assert_eq!(scenario.strain(at_ns), scenario.strain(at_ns + 3 * scenario.cycle_ns()));
            }
        }
    }

    #[test]
    fn the_machine_falls_silent_once_however_the_time_is_cut() {
        for interval_ns in [10_000_000, 100_000_000, 108_300_000, 1_000_000_000, 7_000_000_000] {
            let (mut time_ns, mut silences) = (0, 0);
            while time_ns < Scenario::Freeze.cycle_ns() {
                silences += u32::from(Scenario::Freeze.freezes_within(time_ns, interval_ns));
                time_ns += interval_ns;
            }
            assert_eq!(silences, 1, "every {interval_ns} ns");
        }
    }
}
