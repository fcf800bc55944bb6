//! An event in words, as every list, story and screen has it.

use super::query::StoredEvent;
use super::row::{Interruption, Kind};
use crate::event::Verdict;
use crate::human;
use crate::sample::printable;

impl StoredEvent {
    /// The kind; where the verdict says more, the verdict; with a question mark where it is not certain.
    #[must_use]
    pub fn kind_text(&self) -> String {
        let name = self.row.verdict.map_or(self.row.kind.as_str(), |verdict| verdict.as_str());
        let doubt = if self.row.certain == Some(false) { "?" } else { "" };
        format!("{name}{doubt}")
    }

    /// How long, as far as it is known: `open` while it goes on, `<=` where only the ends are known.
    #[must_use]
    pub fn length_text(&self) -> String {
        let row = &self.row;
        match (row.duration_ns, row.ended_ns) {
            (Some(ns), _) => human::duration(ns as f64 / 1e9),
            (None, Some(end)) => {
                format!("<= {}", human::duration(end.saturating_sub(row.started_ns) as f64 / 1e9))
            }
            (None, None) => "open".to_owned(),
        }
    }

    /// The culprits in a few words: `mds_stores 61 %, kernel_task 12 %`.
    #[must_use]
    pub fn culprits_text(&self) -> String {
        let named: Vec<String> = self
            .row
            .culprits
            .iter()
            .take(3)
            .map(|culprit| format!("{} {:.0} %", printable(&culprit.name), culprit.share * 100.0))
            .collect();
        named.join(", ")
    }

    /// Why the verdict is what it is.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match (self.row.verdict, self.row.kind) {
            (Some(Verdict::Pause), _) => "the machine stood still: nothing shows that anything else went on",
            (Some(Verdict::Stall), _) => "the sampler stood still while this program's heartbeat ran on time",
            (Some(Verdict::Starved), _) => "this program was not run while the rest of the machine went on",
            (Some(Verdict::Sleep), _) => "the machine slept",
            (None, Kind::Outage) => {
                "the machine went down while it was watched: it froze, lost power or was switched off; how much of \
                 this time it was frozen is not known"
            }
            (None, _) => "the stress score left SENTINEL",
        }
    }

    /// What is to be known of its end; empty where there is nothing.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match (self.row.interrupted, self.row.continued) {
            (Some(Interruption::Restart), _) => {
                " (interrupted: the daemon was killed; this is when it was last seen)"
            }
            (Some(Interruption::Reboot), _) => {
                " (interrupted: the machine restarted; this is when it was last seen)"
            }
            (None, true) => " (continued in the next episode)",
            (None, false) => "",
        }
    }
}
