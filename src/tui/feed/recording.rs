//! A recording through the engine, as fast as there is room for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::clock;
use crate::daemon::player::{Player, Step};
use crate::engine::{Engine, Settings};
use crate::event::Notice;
use crate::output::store::{EventRow, Incident, Status, StoredEvent, TierSteps, TierTimes};
use crate::sample::{Sample, SourceInfo};
use crate::source::replay::Replay;
use crate::wire::CulpritLine;

use super::{Fed, Sink};
use crate::tui::state::history::RECORDED;
use crate::tui::state::playback::Loading;
use crate::tui::state::{Gap, Source};

/// Samples handed over together.
const BATCH: usize = 64;
/// An event of a recording is in no trace.
const NO_INCIDENT: Incident = [0; 16];

/// Opens the recording; `-` is standard input. Where the input makes us wait, setting `stop` ends it.
///
/// # Errors
/// It can't be opened; the message names it.
pub fn open(path: &Path, stop: Arc<AtomicBool>) -> std::io::Result<Player> {
    Ok(Player::new(Replay::open(path, stop)?, clock::unix_ns(), true))
}

/// Reads the recording to its end, or as far as there is room.
pub fn run(mut player: Player, settings: Settings, sink: Sink<'_>) {
    let mut engine = Engine::new(settings, 1);
    let mut notices = Vec::new();
    let mut batch: Vec<(Sample, u64)> = Vec::with_capacity(BATCH);
    let mut samples = 0;
    let loading = loop {
        let step = match player.step(&mut engine, &mut notices) {
            Ok(step) => step,
            Err(error) => break Loading::Failed(error.to_string()),
        };
        let fed = match step {
            Some(Step::Sample(sample, arrival_ns)) => {
                samples += 1;
                batch.push((sample, arrival_ns));
                None
            }
            Some(Step::Info(info)) => Some(Fed::Source(source(&info))),
            Some(Step::Rejected(_)) => Some(Fed::Rejected(1)),
            Some(Step::Restarted | Step::Told) => None,
            None => {
                engine.finish(&player.now(), &mut notices);
                break Loading::Done;
            }
        };
        // What a sample leads to comes after it; a recording that is still being written is shown as it comes.
        let first = samples < BATCH;
        let flush = first || batch.len() == BATCH || fed.is_some() || !notices.is_empty();
        if flush && !hand_over(&mut batch, fed, &mut notices, sink) {
            return;
        }
        if samples == RECORDED {
            break Loading::Full;
        }
    };
    let _ = hand_over(&mut batch, Some(Fed::Loaded(loading)), &mut notices, sink);
}

fn hand_over(
    batch: &mut Vec<(Sample, u64)>,
    fed: Option<Fed>,
    notices: &mut Vec<Notice>,
    sink: Sink<'_>,
) -> bool {
    let samples =
        (!batch.is_empty()).then(|| Fed::Recorded(std::mem::replace(batch, Vec::with_capacity(BATCH))));
    let happened: Vec<Fed> = notices.drain(..).flat_map(happened).collect();
    samples.into_iter().chain(happened).chain(fed).all(sink)
}

fn happened(notice: Notice) -> Vec<Fed> {
    match notice {
        Notice::Tier(_) => Vec::new(),
        Notice::Gap(gap) => {
            let told = Gap {
                ended_ns: gap.ended_ns,
                verdict: gap.verdict,
                certain: gap.certain,
                duration_ms: gap.duration_ns as f64 / 1e6,
                event: gap.id,
                culprits: gap
                    .culprits
                    .iter()
                    .map(|culprit| CulpritLine::from(culprit).into_owned())
                    .collect(),
            };
            let row = EventRow::from_gap(&gap, NO_INCIDENT).map(event);
            [Some(Fed::Gap(told)), row].into_iter().flatten().collect()
        }
        Notice::EpisodeOpened(episode) | Notice::EpisodeChanged(episode) | Notice::EpisodeClosed(episode) => {
            let seen_ns = episode.ended_ns.unwrap_or(episode.peak.time_ns);
            let (times, steps) = (TierTimes::default(), TierSteps::default());
            let mut row = EventRow::from_episode(&episode, NO_INCIDENT, seen_ns, times, steps);
            // Nobody has added them up.
            row.tiers = None;
            vec![event(row)]
        }
    }
}

fn event(row: EventRow) -> Fed {
    Fed::Event(Box::new(StoredEvent {
        row,
        samples: 0,
        status: Status::Unreviewed,
        note: None,
        forensics: Vec::new(),
    }))
}

fn source(info: &SourceInfo) -> Source {
    Source {
        state: "up".to_owned(),
        hw_model: info.hw_model.map(|name| name.as_str().to_owned()),
        os_build: info.os_build.map(|name| name.as_str().to_owned()),
        detail: None,
    }
}
