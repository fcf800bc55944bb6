//! What a hook is told of. Pure: time is an argument.
//!
//! The beginning of a state and its end belong together: whoever was told of the one is told of the other, whatever
//! the cooldown says, and whoever was not told of the beginning is not told of the end. Of a beginning that this
//! program has not seen (it was restarted, or the hook is new) the end is told: better one too many than an alarm
//! that stays on for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::super::payload::{Event, Payload, Status};
use crate::config::Hook;

/// Whether a hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is.
    Yes,
    /// It would be, but for the cooldown.
    HeldBack,
    /// It is none of its business.
    No,
}

/// What one hook was told, as far as that matters for what it is told next.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// When it was last told something, the ends of states aside.
    told: Option<Instant>,
    /// The states whose beginning it was not told of: one an event at most, with its incident.
    untold: Vec<(Event, String)>,
}

impl Gate {
    /// Whether the hook is told of it now.
    pub(super) fn decide(&mut self, hook: &Hook, payload: &Payload, now: Instant) -> Pass {
        if !hook.on.contains(&payload.event) {
            return Pass::No;
        }
        if payload.status == Status::Resolved {
            let of_it = |(event, incident): &(Event, String)| {
                *event == payload.event && *incident == payload.incident
            };
            return match self.untold.iter().position(of_it) {
                Some(index) => {
                    self.untold.swap_remove(index);
                    Pass::HeldBack
                }
                None => Pass::Yes,
            };
        }
        if payload.duration_s.is_some_and(|seconds| seconds < hook.min_duration.as_secs_f64()) {
            return Pass::No;
        }
        let waited = self.told.map_or(Duration::MAX, |told| now.saturating_duration_since(told));
        if waited < hook.cooldown {
            self.not_told(payload);
            return Pass::HeldBack;
        }
        Pass::Yes
    }

    /// The hook will be told of it.
    pub(super) fn taken(&mut self, payload: &Payload, now: Instant) {
        if payload.status != Status::Resolved {
            self.told = Some(now);
            self.untold.retain(|(event, _)| *event != payload.event);
        }
    }

    /// The hook will not be told of it.
    pub(super) fn not_told(&mut self, payload: &Payload) {
        if payload.status == Status::Firing {
            self.untold.retain(|(event, _)| *event != payload.event);
            self.untold.push((payload.event, payload.incident.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: Event, status: Status, incident: &str, duration_s: Option<f64>) -> Payload {
        Payload { status, incident: incident.to_owned(), duration_s, ..Payload::sample(event, "desk") }
    }

    /// Tells a hook at these seconds; what it makes of it.
    fn play(hook: &Hook, story: &[(u64, Payload)]) -> Vec<Pass> {
        let (mut gate, began) = (Gate::default(), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let step = |(seconds, payload): &(u64, Payload)| {
            let pass = gate.decide(hook, payload, at(*seconds));
            if pass == Pass::Yes {
                gate.taken(payload, at(*seconds));
            }
            pass
        };
        story.iter().map(step).collect()
    }

    fn hook(on: &[Event], min_duration: u64, cooldown: u64) -> Hook {
        Hook {
            on: on.to_vec(),
            min_duration: Duration::from_secs(min_duration),
            cooldown: Duration::from_secs(cooldown),
            ..Hook::default()
        }
    }

    #[test]
    fn a_hook_is_told_of_what_it_asked_for_from_its_shortest_duration_on() {
        let hook = hook(&[Event::Pause, Event::Critical], 2, 0);
        let story = [
            (0, told(Event::Stall, Status::Event, "a", Some(9.0))),
            (1, told(Event::Pause, Status::Event, "a", Some(1.9))),
            (2, told(Event::Pause, Status::Event, "a", Some(2.0))),
            (3, told(Event::Critical, Status::Firing, "b", None)),
            (4, told(Event::Critical, Status::Resolved, "b", Some(1.0))),
        ];
        assert_eq!(play(&hook, &story), [Pass::No, Pass::No, Pass::Yes, Pass::Yes, Pass::Yes]);
    }

    #[test]
    fn the_cooldown_counts_from_what_was_told_and_not_from_what_was_held_back() {
        let pause = || told(Event::Pause, Status::Event, "a", Some(1.0));
        let story = [0, 59, 60, 119, 121].map(|seconds| (seconds, pause()));
        assert_eq!(
            play(&hook(&[Event::Pause], 0, 60), &story),
            [Pass::Yes, Pass::HeldBack, Pass::Yes, Pass::HeldBack, Pass::Yes]
        );
    }

    #[test]
    fn the_end_of_a_state_follows_its_beginning() {
        let hook = hook(&[Event::Critical, Event::SourceDown], 0, 60);
        let story = [
            (0, told(Event::Critical, Status::Firing, "a", None)),
            // Within the cooldown, and told all the same; it does not begin one.
            (10, told(Event::Critical, Status::Resolved, "a", Some(10.0))),
            (20, told(Event::SourceDown, Status::Firing, "b", None)),
            (30, told(Event::Critical, Status::Firing, "c", None)),
            (70, told(Event::SourceDown, Status::Resolved, "b", Some(50.0))),
            (71, told(Event::Critical, Status::Resolved, "c", Some(41.0))),
            // Nobody here has seen this one begin.
            (72, told(Event::SourceDown, Status::Resolved, "z", None)),
            (73, told(Event::Critical, Status::Firing, "d", None)),
        ];
        assert_eq!(
            play(&hook, &story),
            [
                Pass::Yes,
                Pass::Yes,
                Pass::HeldBack,
                Pass::HeldBack,
                Pass::HeldBack,
                Pass::HeldBack,
                Pass::Yes,
                Pass::Yes,
            ]
        );
    }
}
