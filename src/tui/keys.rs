//! Which key does what: one table, for the keyboard, the help screen and the line at the bottom.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::output::store::Status;

use super::state::View;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Quit,
    Help,
    Show(View),
    NextView,
    PreviousView,
    Up,
    Down,
    PageUp,
    PageDown,
    Enter,
    Leave,
    /// Live: hold the picture, or let it go. In a recording: play, or pause.
    Hold,
    Back,
    Forward,
    StepBack,
    StepForward,
    First,
    Last,
    Wider,
    Narrower,
    Faster,
    Slower,
    Measure,
    Reverse,
    Filter,
    Mark(Status),
    Note,
    GoTo,
    Redraw,
    Suspend,
}

/// Where a key is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    All,
    /// In time: live or in a recording.
    Time,
    /// In a recording.
    Recording,
    /// In the lists of processes.
    Processes,
    /// In the list of events, and at one event.
    Events,
}

impl Scope {
    /// All, in the order of the help screen.
    pub const ALL: [Self; 5] = [Self::All, Self::Time, Self::Recording, Self::Processes, Self::Events];

    /// Its heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::All => "Everywhere",
            Self::Time => "Time",
            Self::Recording => "Recordings",
            Self::Processes => "Processes",
            Self::Events => "Events",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys, each with its action.
    pub keys: &'static [(KeyCode, Action)],
    /// How they are written.
    pub shown: &'static str,
    /// What they do.
    pub help: &'static str,
    /// Where they are of use.
    pub scope: Scope,
}

const fn binding(
    scope: Scope,
    shown: &'static str,
    help: &'static str,
    keys: &'static [(KeyCode, Action)],
) -> Binding {
    Binding { keys, shown, help, scope }
}

use KeyCode::{BackTab, Char, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab};
use Scope::{All, Events, Processes, Recording, Time};

/// The table.
pub const BINDINGS: &[Binding] = &[
    binding(
        All,
        "1 2 3 4",
        "overview, processes, events, one factor",
        &[
            (Char('1'), Action::Show(View::Overview)),
            (Char('2'), Action::Show(View::Processes)),
            (Char('3'), Action::Show(View::Events)),
            (Char('4'), Action::Show(View::Factor)),
        ],
    ),
    binding(All, "Tab", "the next of these", &[(Tab, Action::NextView), (BackTab, Action::PreviousView)]),
    binding(
        All,
        "Up Down",
        "select: a factor, a process, an event",
        &[
            (KeyCode::Up, Action::Up),
            (Char('k'), Action::Up),
            (KeyCode::Down, Action::Down),
            (Char('j'), Action::Down),
        ],
    ),
    binding(All, "PgUp PgDn", "ten at a time", &[(PageUp, Action::PageUp), (PageDown, Action::PageDown)]),
    binding(All, "Enter", "open the factor or event selected", &[(Enter, Action::Enter)]),
    binding(All, "Esc", "back; close", &[(Esc, Action::Leave)]),
    binding(All, "?", "this help", &[(Char('?'), Action::Help), (Char('h'), Action::Help)]),
    binding(All, "q", "quit (Ctrl-C too; Ctrl-Z suspends, Ctrl-L draws anew)", &[(Char('q'), Action::Quit)]),
    binding(
        Time,
        "Space",
        "hold the picture, or let it go; of a recording play, pause",
        &[(Char(' '), Action::Hold)],
    ),
    binding(
        Time,
        "Left Right",
        "a second back or on in what was received (Shift: ten)",
        &[(Left, Action::Back), (Right, Action::Forward)],
    ),
    binding(
        Time,
        ", .",
        "one sample back or on",
        &[(Char(','), Action::StepBack), (Char('.'), Action::StepForward)],
    ),
    binding(
        Time,
        "Home End",
        "to the beginning; to the end, or live",
        &[(Home, Action::First), (End, Action::Last)],
    ),
    binding(
        Time,
        "- +",
        "see a longer or a shorter time",
        &[(Char('-'), Action::Wider), (Char('+'), Action::Narrower), (Char('='), Action::Narrower)],
    ),
    binding(Recording, "< >", "slower, faster", &[(Char('<'), Action::Slower), (Char('>'), Action::Faster)]),
    binding(
        Processes,
        "m",
        "the measure: CPU, page-ins, wakeups, disk",
        &[(Char('m'), Action::Measure), (Char('s'), Action::Measure)],
    ),
    binding(Processes, "r", "smallest first, largest first", &[(Char('r'), Action::Reverse)]),
    binding(Events, "f", "only pauses, stalls, episodes, outages; all", &[(Char('f'), Action::Filter)]),
    binding(
        Events,
        "v p x u",
        "mark as reviewed, pinned, dismissed, unreviewed",
        &[
            (Char('v'), Action::Mark(Status::Reviewed)),
            (Char('p'), Action::Mark(Status::Pinned)),
            (Char('x'), Action::Mark(Status::Dismissed)),
            (Char('u'), Action::Mark(Status::Unreviewed)),
        ],
    ),
    binding(Events, "n", "write a note", &[(Char('n'), Action::Note)]),
    binding(Events, "g", "go to its time, where that was received", &[(Char('g'), Action::GoTo)]),
];

/// What a key asks for; `None` for one that does nothing.
#[must_use]
pub fn action(key: &KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            Char('c') => Some(Action::Quit),
            Char('l') => Some(Action::Redraw),
            Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    BINDINGS
        .iter()
        .flat_map(|binding| binding.keys)
        .find(|(code, _)| *code == key.code)
        .map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_in_the_table_twice() {
        let keys: Vec<KeyCode> =
            BINDINGS.iter().flat_map(|binding| binding.keys).map(|(code, _)| *code).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{key:?}");
        }
    }

    #[test]
    fn control_c_quits_and_other_chords_do_not_act_as_the_letter() {
        let chord = |code, modifiers| action(&KeyEvent::new(code, modifiers));
        assert_eq!(chord(Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(chord(Char('p'), KeyModifiers::CONTROL), None);
        assert_eq!(chord(Char('q'), KeyModifiers::ALT), None);
        assert_eq!(chord(Char('q'), KeyModifiers::NONE), Some(Action::Quit));
    }
}
