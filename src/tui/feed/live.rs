//! A daemon's socket: connects, reads, and connects again when it is gone.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::client::{ClientError, Connection};
use crate::event::Verdict;
use crate::wire::{self, CulpritLine, GapLine, Hello, Message, SampleLine, SourceLine};

use super::{Fed, Sink};
use crate::tui::state::{Gap, Peer, Source};

/// The first wait before it connects again; each is twice the last, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait before it connects again.
const LONGEST: Duration = Duration::from_secs(5);

/// Reads until nobody listens any more.
pub fn run(directory: &Path, sink: Sink<'_>) {
    let mut wait = FIRST;
    loop {
        match Connection::open(directory).and_then(|connection| read(connection, sink)) {
            Ok(Ended::Unheard) => return,
            Ok(Ended::Gone) => {
                wait = FIRST;
                if !sink(Fed::Lost) {
                    return;
                }
            }
            Err(error) => {
                if !sink(Fed::Refused(error.to_string())) {
                    return;
                }
            }
        }
        thread::sleep(wait);
        wait = (wait * 2).min(LONGEST);
    }
}

/// How a connection ended.
enum Ended {
    /// Nobody listens to us any more.
    Unheard,
    /// The daemon is gone, or has cut us off.
    Gone,
}

fn read(mut connection: Connection, sink: Sink<'_>) -> Result<Ended, ClientError> {
    let mut line = Vec::new();
    let mut greeted = false;
    while connection.line(&mut line)? {
        // A line of a later version's that we can't read is passed over.
        let Some(fed) = serde_json::from_slice(&line).ok().and_then(understand) else { continue };
        if !greeted {
            greeted = true;
            connection.wait_for_ever()?;
        }
        if !sink(fed) {
            return Ok(Ended::Unheard);
        }
    }
    Ok(Ended::Gone)
}

fn understand(message: Message<'_>) -> Option<Fed> {
    match message {
        Message::Hello(hello) => Some(greeting(hello)),
        Message::Sample(line) => line.to_sample().map(Box::new).map(Fed::Sample),
        Message::Tier(_) => Some(Fed::Tier),
        Message::Gap(line) => gap(line).map(Fed::Gap),
        Message::Source(line) => Some(Fed::Source(source(line))),
        Message::Lagged { dropped } => Some(Fed::Lagged(dropped)),
        Message::Summary(_) => None,
    }
}

fn greeting(hello: Hello<'_>) -> Fed {
    let peer = Peer {
        source: hello.source.to_string(),
        host: hello.host.to_string(),
        version: hello.version.to_string(),
        thresholds: hello.thresholds,
    };
    let samples = hello.ring.iter().filter_map(SampleLine::to_sample).collect();
    Fed::Hello(peer, samples, hello.gaps.into_iter().filter_map(gap).collect())
}

fn gap(line: GapLine<'_>) -> Option<Gap> {
    Some(Gap {
        ended_ns: wire::parse_rfc3339(&line.time)?,
        verdict: Verdict::parse(&line.verdict)?,
        certain: line.certain,
        duration_ms: line.duration_ms,
        event: line.event,
        culprits: line.culprits.into_iter().map(CulpritLine::into_owned).collect(),
    })
}

fn source(line: SourceLine<'_>) -> Source {
    Source {
        state: line.state.into_owned(),
        hw_model: line.hw_model.map(Into::into),
        os_build: line.os_build.map(Into::into),
        detail: line.detail.map(Into::into),
    }
}
