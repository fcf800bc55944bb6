//! A pause's directory: made under a name of its own, given its event's number once the store has taken the row.
//!
//! ```text
//! events/.8-STARTED-INCIDENT.part ──the row is stored under 8──> events/8
//! ```
//!
//! A file is written beside its name and renamed when it is whole, so what stands under a capture's name is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Name, Outcome, Pause};
use crate::config::{self, Paths};
use crate::event::{EventId, Gap};
use crate::output::store::{Capture, EVENTS_DIRECTORY, Incident, QueryError, Reader, hex};

/// What a file is called while it is being written, after its name.
const UNFINISHED: &str = ".part";

/// What came of one capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) name: Name,
    pub(super) outcome: Outcome,
    /// Its file is in the directory.
    pub(super) kept: bool,
    pub(super) detail: Option<String>,
}

impl Done {
    /// Nothing came of it.
    pub(super) fn nothing(name: Name, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { name, outcome, kept: false, detail: Some(detail.into()) }
    }
}

/// The evidence of one pause.
#[derive(Debug)]
pub(super) struct Set {
    /// The number that the event was given; the one it is stored under, once `placed`.
    pub(super) event: EventId,
    pub(super) incident: Incident,
    /// The pause itself; `None` of what an earlier run left.
    pub(super) gap: Option<Gap>,
    pub(super) started_ns: i64,
    /// Where it is now; `None` where it could not be made.
    pub(super) directory: Option<PathBuf>,
    placed: bool,
    pub(super) done: Vec<Done>,
}

/// Where all sets are.
pub(super) fn events_directory(paths: &Paths) -> PathBuf {
    let directory = paths.data_dir.join(EVENTS_DIRECTORY);
    // What is told of it is to lead there from everywhere.
    std::path::absolute(&directory).unwrap_or(directory)
}

impl Set {
    /// One without a directory.
    pub(super) fn new(pause: &Pause) -> Self {
        let Pause { event, incident, ref gap, .. } = *pause;
        let (started_ns, gap) = (gap.started_ns, Some(gap.clone()));
        Self { event, incident, gap, started_ns, directory: None, placed: false, done: Vec::new() }
    }

    /// One that an earlier run left there.
    fn found(event: EventId, incident: Incident, started_ns: i64, directory: PathBuf) -> Self {
        Self {
            event,
            incident,
            gap: None,
            started_ns,
            directory: Some(directory),
            placed: false,
            done: Vec::new(),
        }
    }

    /// Makes its directory, for its owner alone.
    pub(super) fn make(&mut self, paths: &Paths) -> io::Result<()> {
        let events = events_directory(paths);
        let incident = hex(self.incident);
        let directory = events.join(format!(".{}-{}-{incident}{UNFINISHED}", self.event, self.started_ns));
        config::create_dir(&events)?;
        config::create_dir(&directory)?;
        self.directory = Some(directory);
        Ok(())
    }

    /// Gives the directory its number, where the store has the row by now. True once it has it.
    pub(super) fn place(&mut self, reader: Option<&Reader>, paths: &Paths) -> bool {
        if self.placed {
            return true;
        }
        if let Some(Ok(Some(event))) = reader.map(|reader| reader.pause(self.incident, self.started_ns)) {
            self.place_as(event, paths);
        }
        self.placed
    }

    /// Gives the directory that number.
    pub(super) fn place_as(&mut self, event: EventId, paths: &Paths) {
        self.placed = true;
        self.event = event;
        let Some(directory) = &self.directory else { return };
        let to = events_directory(paths).join(event.to_string());
        // A rename would take the place of an empty directory, and fail for one that is not.
        match fs::rename(directory, &to) {
            Ok(()) => self.directory = Some(to),
            Err(error) => {
                let why = format!("{} can't be made: {error}", to.display());
                tracing::warn!(event, "no evidence of this pause is kept: {why}");
                // What is not to be found by its number is nobody's.
                let _ = fs::remove_dir_all(directory);
                self.directory = None;
                for done in self.done.iter_mut().filter(|done| done.kept) {
                    *done = Done::nothing(done.name, Outcome::Failed, why.clone());
                }
            }
        }
    }

    /// A new file of the directory.
    pub(super) fn file(&self, name: Name) -> io::Result<Unfinished> {
        let directory = self.directory.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Unfinished::new(directory, name.file())
    }

    /// Sees to it that the names of its files are on the disk as their contents are. Best effort: they are there.
    pub(super) fn sync(&self, paths: &Paths) {
        for directory in self.directory.iter().cloned().chain([events_directory(paths)]) {
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
        }
    }

    /// The outcomes, as the event has them.
    pub(super) fn captures(&self) -> Vec<Capture> {
        let path = |done: &Done| {
            let directory = self.directory.as_ref().filter(|_| done.kept)?;
            Some(directory.join(done.name.file()).to_string_lossy().into_owned())
        };
        self.done
            .iter()
            .map(|done| Capture {
                name: done.name.as_str().to_owned(),
                outcome: done.outcome.as_str().to_owned(),
                path: path(done),
                detail: done.detail.clone(),
            })
            .collect()
    }
}

/// A file that is being written; dropped before it is finished, it goes.
pub(super) struct Unfinished {
    to: PathBuf,
    path: PathBuf,
    out: Option<Out>,
}

enum Out {
    Plain(BufWriter<File>),
    Packed(Box<GzEncoder<BufWriter<File>>>),
}

impl Unfinished {
    /// A file of that name in `directory`, for its owner alone; packed where the name ends so.
    fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(format!("{name}{UNFINISHED}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let file = BufWriter::with_capacity(64 << 10, file);
        let out = if name.ends_with(".gz") {
            Out::Packed(Box::new(GzEncoder::new(file, Compression::fast())))
        } else {
            Out::Plain(file)
        };
        Ok(Self { to: directory.join(name), path, out: Some(out) })
    }

    /// All of it is written: it goes to the disk, and under its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let file = match self.out.take() {
            Some(Out::Plain(file)) => file,
            Some(Out::Packed(packed)) => packed.finish()?,
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.path, &self.to)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(Out::Plain(file)) => file.write(bytes),
            Some(Out::Packed(packed)) => packed.write(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Some(Out::Plain(file)) => file.flush(),
            Some(Out::Packed(packed)) => packed.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `finish` there is nothing under that name.
        let _ = fs::remove_file(&self.path);
    }
}

/// The names of what stands in `events/`.
pub(super) fn there(paths: &Paths) -> Vec<String> {
    let entries = fs::read_dir(events_directory(paths)).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// What a run that was killed left: directories that never got their number, and events whose outcomes were never
/// recorded. What is whole in them is kept; what is not there failed. Directories that belong to no event go.
///
/// `names`: what stood in `events/` at the start.
pub(super) fn leftovers(paths: &Paths, names: &[String], expected: &[Name]) -> Result<Vec<Set>, QueryError> {
    let events = events_directory(paths);
    let mut found = Vec::new();
    let Some(reader) = Reader::open(&paths.data_dir)? else { return Ok(found) };
    // All is asked before anything is touched: after a look that failed it is done again, and finds all as it was.
    let mut unplaced = Vec::new();
    for name in names.iter().filter(|name| name.starts_with('.') && name.ends_with(UNFINISHED)) {
        let event = match parse(name) {
            Some((started_ns, incident)) => {
                reader.pause(incident, started_ns)?.map(|event| (event, incident, started_ns))
            }
            None => None,
        };
        unplaced.push((events.join(name), event));
    }
    let without = reader.pauses_without_evidence()?;
    for (directory, event) in unplaced {
        match event {
            Some((event, incident, started_ns)) => {
                let mut set = Set::found(event, incident, started_ns, directory);
                set.place_as(event, paths);
                found.push(set);
            }
            None => {
                let _ = fs::remove_dir_all(&directory);
            }
        }
    }
    for (event, incident, started_ns) in without {
        let name = event.to_string();
        let directory = events.join(&name);
        if names.contains(&name) && directory.is_dir() && !found.iter().any(|set: &Set| set.event == event) {
            found.push(Set { placed: true, ..Set::found(event, incident, started_ns, directory) });
        }
    }
    for set in &mut found {
        let Some(directory) = &set.directory else { continue };
        for file in fs::read_dir(directory).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().ends_with(UNFINISHED) {
                let _ = fs::remove_file(file.path());
            }
        }
        // The other run may have gathered more than this one does.
        let others = Name::here().iter().filter(|name| !expected.contains(name));
        for &name in expected.iter().chain(others) {
            if directory.join(name.file()).is_file() {
                set.done.push(Done { name, outcome: Outcome::Saved, kept: true, detail: None });
            } else if expected.contains(&name) {
                let why = "the daemon was killed before it was gathered";
                set.done.push(Done::nothing(name, Outcome::Failed, why));
            }
        }
    }
    Ok(found)
}

/// When the pause began and its incident, of an unplaced directory's name.
fn parse(name: &str) -> Option<(i64, Incident)> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(UNFINISHED)?.split('-');
    let (_, started, digits) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    let mut incident = Incident::default();
    if digits.len() != 2 * incident.len() || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in incident.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some((started, incident))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_has_no_number_yet_says_whose_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths { data_dir: directory.path().to_owned(), ..Paths::default() };
        let gap = Gap { started_ns: 1_700, ..super::super::tests::gap(8) };
        let pause = Pause { event: 8, incident: [0xab; 16], gap, ring: Box::default() };
        let mut set = Set::new(&pause);
        set.make(&paths).unwrap();
        let name = set.directory.unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(parse(&name), Some((1_700, [0xab; 16])));
        for wrong in ["8", ".part", ".8-x-00.part", ".8-1-zz.part", ".8-1-é.part"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = Unfinished::new(directory.path(), "x.txt").unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut file = Unfinished::new(directory.path(), "x.txt").unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(directory.path().join("x.txt")).unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
