//! A web configuration as libyaml reads it, and so the exporters do: their YAML is libyaml's, ported.

use libyaml_safer::{EventData, Parser, ScalarStyle};
use pause_monitor::output::http::web::yaml::{Entry, Node};

/// The entries of a text; `None` where libyaml does not read it, or it is no mapping of texts: anchors and tags have
/// no place in it, and no key stands twice.
pub(crate) fn read(text: &str) -> Option<Vec<Entry>> {
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut events = Vec::new();
    for event in parser {
        let event = event.ok()?;
        events.push((event.start_mark.line as usize + 1, event.data));
    }
    let mut events = events.into_iter();
    let mut documents = Vec::new();
    while let Some((line, event)) = events.next() {
        match event {
            EventData::StreamStart { .. }
            | EventData::StreamEnd
            | EventData::DocumentStart { .. }
            | EventData::DocumentEnd { .. } => {}
            event => documents.push(node(line, event, &mut events)?.1),
        }
    }
    match documents.pop() {
        None => Some(Vec::new()),
        Some(Node::Mapping(entries)) if documents.is_empty() => Some(entries),
        Some(_) => None,
    }
}

fn node(
    line: usize,
    event: EventData,
    events: &mut impl Iterator<Item = (usize, EventData)>,
) -> Option<(usize, Node)> {
    let node = match event {
        EventData::Scalar { anchor: None, tag: None, value, style, .. } => {
            let plain = style == ScalarStyle::Plain;
            let null = plain && ["", "~", "null", "Null", "NULL"].contains(&value.as_str());
            if null { Node::Null } else { Node::Text(value) }
        }
        EventData::SequenceStart { anchor: None, tag: None, .. } => loop {
            match events.next()? {
                (_, EventData::SequenceEnd) => break Node::List,
                (line, event) => node(line, event, events)?,
            };
        },
        EventData::MappingStart { anchor: None, tag: None, .. } => {
            let mut entries: Vec<Entry> = Vec::new();
            loop {
                let (line, key) = match events.next()? {
                    (_, EventData::MappingEnd) => break Node::Mapping(entries),
                    (line, EventData::Scalar { anchor: None, tag: None, value, .. }) => (line, value),
                    _ => return None,
                };
                if entries.iter().any(|entry| entry.key == key) {
                    return None;
                }
                let (at, event) = events.next()?;
                let (_, value) = node(at, event, events)?;
                entries.push(Entry { key, line, value });
            }
        }
        _ => return None,
    };
    Some((line, node))
}
