//! `[[hooks]]`: the user's own programs and webhooks, and what they are told of.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Uri};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::headers::Secret;
use super::keys::{Key, Kind};
use super::raw::{nearest, unknown};
use super::values::{Event, WebhookFormat, clipped, names, quoted};
use super::{Origin, Problem};

/// The section, an array of tables.
pub(super) const SECTION: &str = "hooks";
/// The most hooks: each has a queue and series of its own.
const MOST: usize = 32;
/// The longest name, bytes. It is a label of metrics and stands in every line of the log.
const NAME: usize = 40;
/// The longest URL, bytes.
const URL: usize = 2_048;

/// One hook. It has either a command or a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name, unique: 1 to 40 of the letters a–z, A–Z, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it is told of; at least one.
    pub on: Vec<Event>,
    /// What was shorter is not told, 0 to 24 h. Default 0.
    pub min_duration: Duration,
    /// After it was told something, it is told nothing for this long, 0 to 24 h. Default 0.
    pub cooldown: Duration,
    /// How long a program may run, or one request take, connecting included, 100 ms to 5 min. Default 10 s.
    pub timeout: Duration,
    /// The program and its arguments, run without a shell; empty where it is a webhook.
    pub command: Vec<String>,
    /// Where requests go.
    pub webhook: Option<WebhookUrl>,
    /// What a webhook is sent. Default json.
    pub format: WebhookFormat,
    /// Sent along with each request. Default: none.
    pub headers: Vec<(HeaderName, Secret)>,
    /// The file that holds the key with which requests are signed. Relative to the configuration file. Default: none.
    pub secret_file: Option<PathBuf>,
    /// How often a request that failed is sent again, 0 to 10. Default 3.
    pub retries: u32,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            name: String::new(),
            on: Vec::new(),
            min_duration: Duration::ZERO,
            cooldown: Duration::ZERO,
            timeout: Duration::from_secs(10),
            command: Vec::new(),
            webhook: None,
            format: WebhookFormat::Json,
            headers: Vec::new(),
            secret_file: None,
            retries: 3,
        }
    }
}

/// A webhook's address. Path and query are often its password: no way of printing shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// The whole of it, for whoever sends there.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is spoken to through TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    fn parse(text: &str) -> Result<Self, String> {
        const HOW: &str = "write https://HOST/PATH or http://HOST/PATH";
        // What is wrong with it is told without the text, which may be a secret.
        let no_url = || format!("this is no URL of at most {URL} bytes: {HOW}");
        if text.len() > URL || text.contains('#') {
            return Err(no_url());
        }
        let uri: Uri = text.parse().map_err(|_| no_url())?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(scheme) => return Err(format!("{} is neither http nor https: {HOW}", quoted(scheme))),
            None => return Err(no_url()),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("credentials do not belong into the URL: put them into headers, like \
                        headers = { authorization = \"Bearer …\" }"
                .to_owned());
        }
        if uri.host().is_none_or(str::is_empty) || uri.port().is_some_and(|port| port.as_u16() == 0) {
            return Err(no_url());
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for WebhookUrl {
    /// Scheme and host; for a path `(secret)`, which is a path as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str().unwrap_or_default(), self.0.authority());
        write!(f, "{scheme}://{}/", authority.map_or("", |authority| authority.as_str()))?;
        if self.0.path_and_query().is_none_or(|path| path.as_str() == "/") {
            Ok(())
        } else {
            f.write_str("(secret)")
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A key of a hook.
macro_rules! key {
    ($name:literal, $meaning:literal, $kind:expr $(,)?) => {
        Key { section: SECTION, name: $name, path: concat!("hooks.", $name), meaning: $meaning, kind: $kind }
    };
}

/// What a hook's keys are, in the order in which they are shown. Those after `retries` included belong to webhooks.
pub(super) static KEYS: &[Key<Hook>] = &[
    key!(
        "name",
        "A name of its own.",
        Kind::Text {
            what: "Letters, digits, _, - and ., at most 40",
            get: |hook| hook.name.clone(),
            set: set_name
        },
    ),
    key!(
        "on",
        "What it is told of.",
        Kind::Words {
            choices: event_names,
            get: |hook| hook.on.iter().map(|event| event.as_str().to_owned()).collect(),
            set: set_on,
        },
    ),
    key!(
        "min_duration",
        "What was shorter is not told. The beginning of a state has no duration, and is told.",
        Kind::Time {
            range: Duration::ZERO..=secs(86_400),
            get: |hook| hook.min_duration,
            set: |hook, time| hook.min_duration = time,
        },
    ),
    key!(
        "cooldown",
        "After it was told something, it is told nothing more for this long. The end of a state that it was told of is told.",
        Kind::Time {
            range: Duration::ZERO..=secs(86_400),
            get: |hook| hook.cooldown,
            set: |hook, time| hook.cooldown = time,
        },
    ),
    key!(
        "timeout",
        "How long the program may run, or one request take.",
        Kind::Time {
            range: Duration::from_millis(100)..=secs(300),
            get: |hook| hook.timeout,
            set: |hook, time| hook.timeout = time,
        },
    ),
    key!(
        "command",
        "The program to run, with JSON on its standard input: a name to look for, or an absolute path.",
        Kind::Command { get: |hook| &hook.command, set: |hook, words| hook.command = words },
    ),
    key!(
        "webhook",
        "Where to send a request instead.",
        Kind::Text {
            what: "An http or https URL",
            get: |hook| hook.webhook.as_ref().map(WebhookUrl::to_string).unwrap_or_default(),
            set: |hook, text| {
                hook.webhook = Some(WebhookUrl::parse(text)?);
                Ok(())
            },
        },
    ),
    key!(
        "format",
        "What the request holds: everything (json), or the summary for Slack and the like, or for ntfy.",
        Kind::Word {
            choices: names::<WebhookFormat>,
            get: |hook| hook.format.as_str().to_owned(),
            set: |hook, text| {
                hook.format = text.parse().map_err(|error| format!("{error}"))?;
                Ok(())
            },
        },
    ),
    key!(
        "headers",
        "Sent along with each request; the values are shown nowhere.",
        Kind::Headers { get: |hook| &hook.headers, set: |hook, headers| hook.headers = headers },
    ),
    key!(
        "secret_file",
        "The file with the key (whsec_…, or any text) that signs requests as Standard Webhooks has it.",
        Kind::File { get: |hook| hook.secret_file.as_deref(), set: |hook, file| hook.secret_file = file },
    ),
    key!(
        "retries",
        "How often a request that failed is sent again.",
        Kind::Whole {
            unit: "times",
            range: 0..=10,
            get: |hook| hook.retries,
            set: |hook, retries| hook.retries = retries,
        },
    ),
];

/// Keys that mean something for webhooks alone.
const OF_WEBHOOKS: [&str; 4] = ["format", "headers", "secret_file", "retries"];

fn event_names() -> String {
    Event::ALL.map(Event::as_str).join(", ")
}

fn set_name(hook: &mut Hook, text: &str) -> Result<(), String> {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if text.is_empty() || text.len() > NAME || !text.bytes().all(may) {
        return Err(format!(
            "{} is no name: write letters, digits, _, - and ., at most {NAME}",
            quoted(text)
        ));
    }
    text.clone_into(&mut hook.name);
    Ok(())
}

fn set_on(hook: &mut Hook, words: Vec<String>) -> Result<(), String> {
    if words.is_empty() {
        return Err(format!("the list is empty: write any of {}", event_names()));
    }
    for word in words {
        let event = Event::parse(&word).ok_or_else(|| {
            let hint = nearest(&word, Event::ALL.into_iter().map(Event::as_str));
            let hint = hint.map(|hint| format!("; did you mean \"{hint}\"?"));
            format!("{} is none of {}{}", quoted(&word), event_names(), hint.unwrap_or_default())
        })?;
        if hook.on.contains(&event) {
            return Err(format!("{} is there twice: keep one", quoted(&word)));
        }
        hook.on.push(event);
    }
    Ok(())
}

/// A hook as it is written, with the place of each of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    pub(super) hook: Hook,
    /// The line of its `[[hooks]]`.
    pub(super) line: usize,
    /// One for each of [`KEYS`].
    pub(super) origins: Vec<Origin>,
}

impl Written {
    /// The keys that mean something for it, each with where its value comes from.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static Key<Hook>, Origin)> + '_ {
        let is_webhook = self.hook.webhook.is_some();
        let counts = move |name: &str| match name {
            "command" => !is_webhook,
            "webhook" => is_webhook,
            _ => is_webhook || !OF_WEBHOOKS.contains(&name),
        };
        KEYS.iter().zip(self.origins.iter().copied()).filter(move |(key, _)| counts(key.name))
    }
}

/// Reads the value of `hooks`; what is wrong with it goes to `problems`.
pub(super) fn read(
    value: Spanned<DeValue<'_>>,
    line_of: &dyn Fn(usize) -> usize,
    problems: &mut Vec<Problem>,
) -> Vec<Written> {
    const HOW: &str = "write each hook as [[hooks]] on a line of its own, and its keys below";
    let line = line_of(value.span().start);
    let mut fail = |line, message: String| problems.push(Problem { line: Some(line), message });
    let DeValue::Array(list) = value.into_inner() else {
        fail(line, format!("`{SECTION}` is a list of sections: {HOW}"));
        return Vec::new();
    };
    let mut hooks: Vec<Written> = Vec::new();
    for (index, item) in list.into_iter().enumerate() {
        let line = line_of(item.span().start);
        if index == MOST {
            fail(line, format!("there are more than {MOST} hooks: leave some out"));
            break;
        }
        let DeValue::Table(table) = item.into_inner() else {
            fail(line, format!("`{SECTION}` is a list of sections: {HOW}"));
            continue;
        };
        let hook = one(table, line, line_of, &mut fail);
        let same = |other: &&Written| !hook.hook.name.is_empty() && other.hook.name == hook.hook.name;
        if let Some(other) = hooks.iter().find(same) {
            let name = quoted(&hook.hook.name);
            fail(
                hook.line_of("name"),
                format!("hooks.name: {name} is the hook of line {} as well", other.line),
            );
        }
        hooks.push(hook);
    }
    hooks
}

impl Written {
    /// The line of a key, or of the hook where it is not written.
    fn line_of(&self, name: &str) -> usize {
        let origin = KEYS.iter().zip(&self.origins).find(|(key, _)| key.name == name);
        match origin {
            Some((_, Origin::File { line })) => *line,
            _ => self.line,
        }
    }

    fn is_written(&self, name: &str) -> bool {
        KEYS.iter().zip(&self.origins).any(|(key, origin)| key.name == name && *origin != Origin::Default)
    }
}

fn one(
    table: DeTable<'_>,
    line: usize,
    line_of: &dyn Fn(usize) -> usize,
    fail: &mut dyn FnMut(usize, String),
) -> Written {
    let mut written = Written { hook: Hook::default(), line, origins: vec![Origin::Default; KEYS.len()] };
    for (name, value) in table {
        let Some(index) = KEYS.iter().position(|key| key.name == name.get_ref().as_ref()) else {
            let known = || KEYS.iter().map(|key| key.name);
            fail(line_of(name.span().start), unknown(SECTION, name.get_ref(), known, "a hook"));
            continue;
        };
        let line = line_of(value.span().start);
        // What is written but wrong is not told of as missing.
        written.origins[index] = Origin::File { line };
        if let Err(why) = KEYS[index].set(&mut written.hook, value.get_ref()) {
            fail(line, format!("{}: {why}", KEYS[index].path));
        }
    }
    for (name, how) in [("name", "name = \"notes\""), ("on", "on = [\"pause\"]")] {
        if !written.is_written(name) {
            fail(line, format!("hooks.{name} is missing: write one, like {how}"));
        }
    }
    let has = |name: &str| written.is_written(name);
    match (has("command"), has("webhook")) {
        (true, true) => fail(
            written.line_of("webhook"),
            "hooks.webhook: this hook has a command as well: make two hooks of it".to_owned(),
        ),
        (false, false) => fail(
            line,
            "this hook does nothing: give it a command, like command = [\"/usr/local/bin/note\"], or a webhook".to_owned(),
        ),
        (true, false) => {
            for name in OF_WEBHOOKS.into_iter().filter(|name| has(name)) {
                fail(written.line_of(name), format!("hooks.{name}: only a webhook has it, and this is a command"));
            }
        }
        (false, true) => {
            let taken = |(name, _): &&(HeaderName, Secret)| name.as_str().starts_with("webhook-");
            if let Some((name, _)) = written.hook.headers.iter().find(taken) {
                let line = written.line_of("headers");
                fail(line, format!("hooks.headers: the header {} is not yours to set: leave it out", quoted(name.as_str())));
            }
        }
    }
    if let Some(program) = written.hook.command.first()
        && program.contains('/')
        && !program.starts_with('/')
    {
        fail(
            written.line_of("command"),
            format!(
                "hooks.command: {} is no absolute path: write it in full, or the name alone to look for it in PATH (no \
                 shell reads it: ~ and $HOME are not replaced)",
                quoted(program)
            ),
        );
    }
    written
}

/// Makes the paths of files relative to the configuration file's directory.
pub(super) fn relative_to(hook: &mut Hook, directory: &Path) {
    if let Some(file) = &mut hook.secret_file {
        // An absolute path stays as it is.
        *file = directory.join(&file);
    }
}

/// What `config init` writes: each key with its default, or with an example where there is none.
pub(super) fn example() -> Hook {
    Hook {
        name: "notes".to_owned(),
        on: vec![Event::Pause, Event::Outage],
        command: vec!["/usr/local/bin/note".to_owned()],
        webhook: WebhookUrl::parse("https://hooks.example/").ok(),
        ..Hook::default()
    }
}

/// A hook in one line, for people: what it does.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.webhook {
            Some(url) => write!(f, "{} to {url}", self.format.as_str()),
            None => f.write_str(&clipped(&self.command.join(" "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn hooks(text: &str) -> Vec<Hook> {
        parse(text, false).unwrap().config.hooks
    }

    #[test]
    fn a_hook_has_its_defaults() {
        let hooks = hooks("[[hooks]]\nname = \"a\"\non = [\"pause\", \"outage\"]\ncommand = [\"true\"]\n");
        let expected = Hook {
            name: "a".to_owned(),
            on: vec![Event::Pause, Event::Outage],
            command: vec!["true".to_owned()],
            ..Hook::default()
        };
        assert_eq!(hooks, [expected]);
    }

    #[test]
    fn neither_the_path_of_a_webhook_nor_the_value_of_a_header_is_ever_shown() {
        let text = "[[hooks]]\nname = \"a\"\non = [\"pause\"]\nwebhook = \"https://chat.example:8443/services/hush?t=hush\"\n\
                    headers = { authorization = \"Bearer hush\" }\n";
        let hook = &hooks(text)[0];
        let url = hook.webhook.as_ref().unwrap();
        assert_eq!(url.to_string(), "https://chat.example:8443/(secret)");
        assert_eq!(url.uri().path_and_query().unwrap(), "/services/hush?t=hush");
        assert!(!format!("{hook:?} {hook}").contains("hush"));
        for (text, shown) in
            [("http://h", "http://h/"), ("http://h/", "http://h/"), ("http://h?x", "http://h/(secret)")]
        {
            assert_eq!(WebhookUrl::parse(text).unwrap().to_string(), shown);
        }
        for bad in
            ["hush", "ftp://h/hush", "http://u:hush@h/", "http://h:0/hush", "http:///hush", "http://h/hush#x"]
        {
            let why = WebhookUrl::parse(bad).unwrap_err();
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn a_list_in_line_is_a_list_of_hooks_as_well() {
        let text = "hooks = [{ name = \"a\", on = [\"stall\"], command = [\"true\"] }]\n";
        assert_eq!(hooks(text)[0].on, [Event::Stall]);
    }

    #[test]
    fn there_are_32_hooks_at_most() {
        let one = |n: usize| format!("[[hooks]]\nname = \"n{n}\"\non = [\"pause\"]\ncommand = [\"true\"]\n");
        let text = |count: usize| (0..count).map(one).collect::<String>();
        assert_eq!(hooks(&text(32)).len(), 32);
        assert_eq!(parse(&text(40), false).unwrap_err().len(), 1);
    }
}
