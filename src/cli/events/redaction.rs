//! What is taken out of an export, and of what.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::Context;
use crate::output::store::StoredEvent;
use crate::redact::{Redactor, User};
use crate::source::host;
use crate::wire::{CulpritLine, SampleLine};

/// Where homes are.
const HOMES: [&str; 2] = ["/Users", "/home"];

/// A redactor that knows this machine's users and name: whoever runs this first, then all with a home in the usual places.
pub(super) fn of_this_machine(context: &Context) -> Redactor {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes: Vec<User> = HOMES.into_iter().flat_map(|homes| listed(Path::new(homes))).collect();
    let ours = ["USER", "SUDO_USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .map(|name| User { name, home: String::new() })
        .collect();
    let home = std::env::var("HOME").unwrap_or_default();
    let data = context.data_dir.to_string_lossy().into_owned();
    Redactor::new(&users(ours, &home, &data, homes, &passwd), &host::host_name())
}

/// The users, each once: those that run this, those with a directory where homes are, those of the user database.
fn users(ours: Vec<User>, home: &str, data_directory: &str, homes: Vec<User>, passwd: &str) -> Vec<User> {
    let in_homes = |home: &str| HOMES.iter().any(|homes| Path::new(home).starts_with(homes));
    let database = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (&name, &home) = (fields.first()?, fields.get(5)?);
        Some(User { name: name.to_owned(), home: home.to_owned() })
    });
    let known: Vec<User> = database.chain(homes).collect();
    // Whose files these are, whatever this command runs as.
    let owner = known.iter().find(|user| {
        in_homes(&user.home) && Path::new(data_directory).starts_with(&user.home) && user.home.len() > 1
    });
    let mut found: Vec<User> = Vec::new();
    let mut seen = BTreeSet::new();
    let wanted = owner
        .cloned()
        .into_iter()
        .chain(ours)
        .chain(known.iter().filter(|user| in_homes(&user.home)).cloned());
    for mut user in wanted {
        if user.home.is_empty() {
            let named = known.iter().find(|other| other.name == user.name);
            // HOME is that of the first, whom the database may not know.
            user.home = named.map_or_else(
                || if found.is_empty() { home.to_owned() } else { String::new() },
                |other| other.home.clone(),
            );
        }
        if seen.insert((user.name.clone(), user.home.clone())) {
            found.push(user);
        }
    }
    found
}

/// Users by the directories that stand there; a home is called by its user's name.
fn listed(homes: &Path) -> Vec<User> {
    let mut names: Vec<String> = std::fs::read_dir(homes)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && name != "lost+found")
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| User { home: homes.join(&name).to_string_lossy().into_owned(), name })
        .collect()
}

/// The event without names: processes, evidence, notes, paths and details.
pub(super) fn event(redactor: &Redactor, event: &StoredEvent) -> StoredEvent {
    let text = |text: &str| redactor.text(text).into_owned();
    let mut event = event.clone();
    for CulpritLine { name, .. } in &mut event.row.culprits {
        *name = Cow::Owned(text(name));
    }
    event.note = event.note.as_deref().map(text);
    for capture in &mut event.forensics {
        capture.path = capture.path.as_deref().map(text);
        capture.detail = capture.detail.as_deref().map(text);
    }
    event
}

/// A sample without names: its processes.
pub(super) fn sample(redactor: &Redactor, sample: &mut SampleLine<'_>) {
    let top = &mut sample.top;
    for process in [&mut top.cpu, &mut top.pageins, &mut top.wakeups, &mut top.diskio].into_iter().flatten() {
        process.name = Cow::Owned(redactor.text(&process.name).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, home: &str) -> User {
        User { name: name.to_owned(), home: home.to_owned() }
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:501:20:Ann:/home/ann:/bin/sh\nbob:x:502:20::/srv/bob:/bin/sh\nbroken\n";

    #[test]
    fn whose_files_they_are_comes_first_and_everybody_once() {
        let homes = vec![user("ann", "/home/ann"), user("cid", "/Users/cid")];
        let found =
            users(vec![user("root", "")], "/root", "/Users/cid/.local/share/pause-monitor", homes, PASSWD);
        let expected = [user("cid", "/Users/cid"), user("root", "/root"), user("ann", "/home/ann")];
        assert_eq!(found, expected);
    }

    #[test]
    fn somebody_whom_the_database_does_not_know_has_the_home_that_the_environment_names() {
        let found = users(vec![user("eve", ""), user("bob", "")], "/net/eve", "/data", Vec::new(), PASSWD);
        assert_eq!(found, [user("eve", "/net/eve"), user("bob", "/srv/bob"), user("ann", "/home/ann")]);
    }
}
