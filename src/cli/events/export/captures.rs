//! An event's captures as lines.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde::Serialize;

use crate::cli::events::evidence;
use crate::output::forensics::RING_FILE;
use crate::output::store::{Capture, StoredEvent};
use crate::redact::Redactor;
use crate::wire;

/// A part of a capture, bytes: with every character escaped it is still shorter than the longest line that is read.
const PART: usize = 128 << 10;
/// The largest binary capture that is put in, bytes; a larger one stays where it is, and the line says where.
const BINARY: u64 = 64 << 20;

/// A line about a capture, or a part of it.
#[derive(Serialize)]
struct CaptureLine<'a> {
    r#type: &'static str,
    name: &'a str,
    outcome: &'a str,
    detail: Option<&'a str>,
    /// The file's name; `None` where there is none.
    file: Option<&'a str>,
    /// From 1, where its content follows in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    /// No part follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    /// Text, which `encoding` calls utf-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Bytes, which `encoding` calls base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    /// Why the content is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<String>,
}

/// Writes the captures of an event. The ring is left out: it is the samples.
pub(super) fn write(
    event: &StoredEvent,
    redactor: Option<&Redactor>,
    data_directory: &Path,
    out: &mut dyn Write,
) -> io::Result<()> {
    for capture in &event.forensics {
        let place = evidence::file(capture, event.row.id, data_directory);
        let one = One {
            capture,
            redactor,
            detail: capture.detail.as_deref().map(|detail| redact(redactor, detail)),
        };
        match place {
            None => one.line(None, None, out)?,
            Some(file) if file.ends_with(RING_FILE) => {
                one.line(Some(&file), Some("these are the samples".to_owned()), out)?;
            }
            Some(file) => one.content(&file, out)?,
        }
    }
    Ok(())
}

fn redact(redactor: Option<&Redactor>, text: &str) -> String {
    redactor.map_or_else(|| text.to_owned(), |redactor| redactor.text(text).into_owned())
}

/// A capture, and what is told of it on each line.
struct One<'a> {
    capture: &'a Capture,
    redactor: Option<&'a Redactor>,
    detail: Option<String>,
}

impl One<'_> {
    /// What stands on each line, of a file of that name.
    fn about<'b>(&'b self, file: Option<&'b str>) -> CaptureLine<'b> {
        CaptureLine {
            r#type: "capture",
            name: &self.capture.name,
            outcome: &self.capture.outcome,
            detail: self.detail.as_deref(),
            file,
            part: None,
            last: None,
            encoding: None,
            text: None,
            data: None,
            omitted: None,
        }
    }

    /// The line of a part, without its content.
    fn part<'b>(
        &'b self,
        name: &'b str,
        part: u32,
        ended: bool,
        broken: Option<io::Error>,
    ) -> CaptureLine<'b> {
        let omitted = broken.map(|error| format!("the rest can't be read: {error}"));
        CaptureLine { part: Some(part), last: Some(ended), omitted, ..self.about(Some(name)) }
    }

    /// A line without content.
    fn line(&self, file: Option<&Path>, omitted: Option<String>, out: &mut dyn Write) -> io::Result<()> {
        let file = file.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        write_line(&CaptureLine { omitted, ..self.about(file.as_deref()) }, out)
    }

    /// The lines with a file's content. A file that can't be read says so on its line.
    fn content(&self, path: &Path, out: &mut dyn Write) -> io::Result<()> {
        let (file, length) = match evidence::open(path) {
            Ok(opened) => opened,
            Err(error) => return self.line(Some(path), Some(format!("it can't be read: {error}")), out),
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".gz") {
            return self.text(name, &mut GzDecoder::new(BufReader::new(file)), out);
        }
        if name.ends_with(".txt") {
            return self.text(&name, &mut BufReader::new(file), out);
        }
        let omitted = if self.redactor.is_some() {
            Some("it is binary, and names can't be taken out of it".to_owned())
        } else if length > BINARY {
            Some(format!("it is larger than {} MB: copy {}", BINARY >> 20, path.display()))
        } else {
            None
        };
        if omitted.is_some() {
            return self.line(Some(path), omitted, out);
        }
        self.binary(&name, &mut BufReader::new(file), out)
    }

    fn text(&self, name: &str, file: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
        let mut rest = Vec::new();
        let mut part = 0;
        loop {
            let (ended, broken) = fill(file, &mut rest, PART);
            part += 1;
            let end = if ended { rest.len() } else { whole_lines(&rest) };
            let text = redact(self.redactor, &String::from_utf8_lossy(&rest[..end]));
            let line = self.part(name, part, ended, broken);
            write_line(&CaptureLine { encoding: Some("utf-8"), text: Some(&text), ..line }, out)?;
            rest.drain(..end);
            if ended {
                return Ok(());
            }
        }
    }

    fn binary(&self, name: &str, file: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut part = 0;
        loop {
            bytes.clear();
            // A multiple of three: the parts can be put together as they are.
            let (ended, broken) = fill(file, &mut bytes, PART / 3 * 3);
            part += 1;
            let data = STANDARD.encode(&bytes);
            let line = self.part(name, part, ended, broken);
            write_line(&CaptureLine { encoding: Some("base64"), data: Some(&data), ..line }, out)?;
            if ended {
                return Ok(());
            }
        }
    }
}

fn write_line(line: &CaptureLine<'_>, out: &mut dyn Write) -> io::Result<()> {
    wire::write_json(&mut *out, line)?;
    writeln!(out)
}

/// Reads until there are `most` bytes: whether that was all, and what went wrong, which ends it too.
fn fill(file: &mut dyn Read, bytes: &mut Vec<u8>, most: usize) -> (bool, Option<io::Error>) {
    let room = most.saturating_sub(bytes.len()) as u64;
    match file.take(room).read_to_end(bytes) {
        Ok(_) => (bytes.len() < most, None),
        Err(error) => (true, Some(error)),
    }
}

/// Where the last whole line ends, so that no name is cut in two; where there is none, the last whole word or, of one
/// endless word, the last whole character.
fn whole_lines(bytes: &[u8]) -> usize {
    let after = |found: Option<usize>| found.map(|at| at + 1);
    after(memchr::memrchr(b'\n', bytes))
        .or_else(|| after(memchr::memrchr(b' ', bytes)))
        .or_else(|| bytes.iter().rposition(|byte| byte & 0xc0 != 0x80))
        .filter(|&end| end > 0)
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one<'a>(capture: &'a Capture, redactor: Option<&'a Redactor>) -> One<'a> {
        One { capture, redactor, detail: None }
    }

    fn capture() -> Capture {
        Capture { name: "log".to_owned(), outcome: "saved".to_owned(), path: None, detail: None }
    }

    fn lines(out: &[u8]) -> Vec<serde_json::Value> {
        std::str::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_large_text_is_told_in_parts_that_a_replay_can_read_and_no_line_of_it_is_cut_in_two() {
        let capture = capture();
        let text: String = (0..40_000).map(|number| format!("{number}\u{1}\u{1}é ann\n")).collect();
        let mut out = Vec::new();
        one(&capture, None).text("log.txt", &mut text.as_bytes(), &mut out).unwrap();
        assert!(out.split(|&byte| byte == b'\n').all(|line| line.len() < 1 << 20));
        let lines = lines(&out);
        assert!(lines.len() > 3);
        let told: String = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
        assert_eq!(told, text);
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(
                (line["part"].as_u64(), line["encoding"].as_str()),
                (Some(index as u64 + 1), Some("utf-8"))
            );
            assert_eq!(line["last"], index + 1 == lines.len());
        }
        let user = crate::redact::User { name: "ann".to_owned(), home: String::new() };
        let redactor = Redactor::new(&[user], "");
        out.clear();
        one(&capture, Some(&redactor)).text("log.txt", &mut text.as_bytes(), &mut out).unwrap();
        let redacted: String =
            super::tests::lines(&out).iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(redacted, text.replace("ann", "user1"));
    }

    #[test]
    fn bytes_can_be_put_together_from_their_parts() {
        let capture = capture();
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let mut out = Vec::new();
        one(&capture, None).binary("x.bin", &mut &bytes[..], &mut out).unwrap();
        let data: String = lines(&out).iter().map(|line| line["data"].as_str().unwrap().to_owned()).collect();
        assert_eq!(STANDARD.decode(data).unwrap(), bytes);
    }

    #[test]
    fn what_is_binary_is_left_out_where_names_are_taken_out_and_what_is_gone_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tailspin.tailspin");
        std::fs::write(&path, b"\x00\xff").unwrap();
        let (capture, redactor) = (capture(), Redactor::default());
        let told = |redactor, path: &Path| {
            let mut out = Vec::new();
            one(&capture, redactor).content(path, &mut out).unwrap();
            lines(&out).remove(0)
        };
        let whole = told(None, &path);
        assert_eq!(
            (&whole["data"], &whole["last"], &whole["omitted"]),
            (&"AP8=".into(), &true.into(), &None::<()>.into())
        );
        let redacted = told(Some(&redactor), &path);
        assert_eq!(redacted["omitted"], "it is binary, and names can't be taken out of it");
        assert!(redacted["data"].is_null());
        let gone = told(None, &directory.path().join("log.txt.gz"));
        assert!(gone["omitted"].as_str().unwrap().starts_with("it can't be read: "), "{gone}");
        // A packed text that is cut off says so behind what there is.
        let packed = directory.path().join("log.txt.gz");
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        file.write_all(b"a line\n").unwrap();
        let mut bytes = file.finish().unwrap();
        bytes.truncate(bytes.len() - 4);
        std::fs::write(&packed, bytes).unwrap();
        let cut = told(None, &packed);
        assert_eq!((&cut["text"], &cut["file"]), (&"a line\n".into(), &"log.txt".into()));
        assert!(cut["omitted"].as_str().unwrap().starts_with("the rest can't be read: "), "{cut}");
    }

    #[test]
    fn a_text_without_an_end_of_line_ends_at_a_word_or_a_character() {
        assert_eq!(whole_lines(b"a\nbc d"), 2);
        assert_eq!(whole_lines(b"abc de"), 4);
        assert_eq!(whole_lines("abé".as_bytes()), 2);
        assert_eq!(whole_lines("é".as_bytes()), 2);
    }
}
