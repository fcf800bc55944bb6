//! What a file that is passed on must not tell: user names, home directories, the host's name. Pure.
//!
//! A name is replaced where it stands as a word: what is around it is no letter and no digit. So `ann` goes from
//! `/srv/ann/x`, `ann_backup` and `com.ann.tool`, and `annual` stays. The same name is replaced by the same word
//! everywhere, so that what was one still reads as one.

use std::borrow::Cow;

/// A user whose traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name; empty where only the home directory is known.
    pub name: String,
    /// The home directory; empty where only the name is known.
    pub home: String,
}

/// What is replaced by what.
#[derive(Clone, Debug)]
struct Rule {
    from: String,
    to: String,
    /// Letters' case makes no difference: host names.
    any_case: bool,
}

/// Replaces names in texts.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Longest first: the first that fits is taken.
    rules: Vec<Rule>,
    /// Which bytes a rule begins with: all others are passed over at once.
    begins: Vec<u8>,
}

/// Accounts of the system: their names are no one's, and are everywhere.
const NOBODYS: [&str; 4] = ["root", "daemon", "nobody", "Shared"];

impl Redactor {
    /// Takes the users in order: the first becomes `user1`, its home directory `~`; the second `user2` and
    /// `~user2`. Accounts of the system stay. `host` becomes `host`, with and without its domain.
    #[must_use]
    pub fn new(users: &[User], host: &str) -> Self {
        let mut rules: Vec<Rule> = Vec::new();
        let mut add = |from: &str, to: String, any_case| {
            if !from.is_empty() && !rules.iter().any(|rule: &Rule| rule.from == from) {
                rules.push(Rule { from: from.to_owned(), to, any_case });
            }
        };
        let somebody = users.iter().filter(|user| !NOBODYS.contains(&user.name.as_str()));
        for (index, user) in somebody.enumerate() {
            let number = index + 1;
            let home = user.home.trim_end_matches('/');
            if home.len() > 1 {
                add(home, if number == 1 { "~".to_owned() } else { format!("~user{number}") }, false);
            }
            add(&user.name, format!("user{number}"), false);
        }
        if host != "localhost" {
            add(host, "host".to_owned(), true);
            if let Some((short, _)) = host.split_once('.') {
                add(short, "host".to_owned(), true);
            }
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.from.len()));
        let mut begins: Vec<u8> = rules
            .iter()
            .flat_map(|rule| {
                let first = rule.from.as_bytes()[0];
                if rule.any_case {
                    [first.to_ascii_lowercase(), first.to_ascii_uppercase()]
                } else {
                    [first, first]
                }
            })
            .collect();
        begins.sort_unstable();
        begins.dedup();
        Self { rules, begins }
    }

    /// The text without what must not be told.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let (mut at, mut copied) = (0, 0);
        while at < bytes.len() {
            let Some(rule) = self.rule_at(text, at) else {
                at += 1;
                continue;
            };
            out.push_str(&text[copied..at]);
            out.push_str(&rule.to);
            at += rule.from.len();
            copied = at;
        }
        if copied == 0 && out.is_empty() {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    fn rule_at(&self, text: &str, at: usize) -> Option<&Rule> {
        let bytes = text.as_bytes();
        if self.begins.binary_search(&bytes[at]).is_err() || !text.is_char_boundary(at) {
            return None;
        }
        self.rules.iter().find(|rule| {
            let end = at + rule.from.len();
            let Some(found) = text.get(at..end) else { return false };
            let same =
                if rule.any_case { found.eq_ignore_ascii_case(&rule.from) } else { found == rule.from };
            // A path begins with what is no letter: what stands before it is no part of it.
            let begins = rule.from.starts_with('/') || !ends_with_a_letter(&text[..at]);
            same && begins && !begins_with_a_letter(&text[end..])
        })
    }
}

fn ends_with_a_letter(text: &str) -> bool {
    text.chars().next_back().is_some_and(char::is_alphanumeric)
}

fn begins_with_a_letter(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor() -> Redactor {
        let user = |name: &str, home: &str| User { name: name.to_owned(), home: home.to_owned() };
        let users = [user("ann", "/Users/ann"), user("root", "/root"), user("bob.b", "/home/bob.b/")];
        Redactor::new(&users, "Anns-MacBook.local")
    }

    #[test]
    fn names_homes_and_the_host_are_replaced_and_words_that_only_contain_them_stay() {
        for (text, expected) in [
            ("", ""),
            ("nothing to see", "nothing to see"),
            ("/Users/ann/Library", "~/Library"),
            ("file:///Users/ann", "file://~"),
            ("/home/bob.b: ann@anns-macbook ANNS-MACBOOK.local", "~user2: user1@host host"),
            ("/srv/ann/x com.ann.tool ann_backup-ann", "/srv/user1/x com.user1.tool user1_backup-user1"),
            ("annual joann ann2 /Users/annabel", "annual joann ann2 /Users/annabel"),
            ("root runs /root/x", "root runs /root/x"),
            ("ännann ann", "ännann user1"),
        ] {
            assert_eq!(redactor().text(text), expected, "{text}");
        }
    }

    #[test]
    fn whoever_has_no_name_and_no_home_is_not_looked_for() {
        let users = [User { name: String::new(), home: "/".to_owned() }];
        assert_eq!(Redactor::new(&users, "localhost").text("/ localhost"), "/ localhost");
        assert_eq!(Redactor::default().text("ann"), "ann");
    }

    /// Texts in which names stand close together, and letters beside them.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            proptest::sample::select(vec![
                "ann",
                "/Users/ann",
                "bob.b",
                "/home/bob.b",
                "Anns-MacBook",
                ".local",
                "/",
                " ",
                ".",
                "x",
                "ä",
                "user1",
                "~",
                "_",
                "-",
                "\n",
                "9",
            ])
            .prop_map(str::to_owned),
            ".{0,3}",
        ];
        proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(|c: char| !c.is_alphanumeric())
    }

    proptest! {
        #[test]
        fn no_name_is_left_as_a_word(text in texts()) {
            let redacted = redactor().text(&text).into_owned();
            prop_assert!(!words(&redacted).any(|word| word == "ann"), "{redacted:?} of {text:?}");
        }

        #[test]
        fn what_is_redacted_once_stays_as_it_is(text in texts()) {
            let once = redactor().text(&text).into_owned();
            let twice = redactor().text(&once).into_owned();
            // `/Users/ann` can come about only by a removal, and nothing is removed: words give way to words.
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn text_without_names_is_left_alone(text in "[^abAB/]{0,40}") {
            prop_assert_eq!(redactor().text(&text), text.as_str());
        }

        #[test]
        fn lines_can_be_redacted_one_by_one(text in texts()) {
            let redactor = redactor();
            let lines: String = text.split_inclusive('\n').map(|line| redactor.text(line).into_owned()).collect();
            prop_assert_eq!(redactor.text(&text).into_owned(), lines);
        }
    }
}
