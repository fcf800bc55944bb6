//! The alert of gathered evidence.

use super::{Alert, Event, Payload, Record, Teller};
use crate::clock;
use crate::human;
use crate::output::forensics::Completed;
use crate::sample::printable;

/// Tells that the evidence of a pause is gathered. `live`: the machine that is watched is this one, and so is its clock.
#[must_use]
pub fn gathered(teller: Teller, live: bool) -> Box<dyn Fn(Completed) + Send> {
    Box::new(move |completed| {
        let record = if completed.stored { Record::Stored } else { Record::Refused };
        teller.tell(completion(&completed, live), record);
    })
}

/// The alert of gathered evidence: that of its pause, with what came of it.
fn completion(completed: &Completed, live: bool) -> Alert {
    let Completed { event, incident, gap, directory, captures, .. } = completed;
    // A recording has a time of day of its own.
    let time_ns = if live { clock::unix_ns() } else { gap.ended_ns };
    let saved = captures.iter().filter(|capture| capture.path.is_some()).count();
    let seconds = gap.duration_ns as f64 / 1e9;
    let place = directory.as_ref().map(|place| format!(", in {}", printable(&place.to_string_lossy())));
    let summary = format!(
        "evidence of the pause of {} is gathered: {saved} of {} captures{}",
        human::duration(seconds),
        captures.len(),
        place.unwrap_or_default()
    );
    let payload = Payload::of_gap(Event::Forensics, gap, *incident, time_ns, summary);
    // The store may have given the event another number than its gap had.
    Alert::on_record(Payload { id: Some(*event), ..payload })
}
