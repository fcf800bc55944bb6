//! The sampler's command, where root is to run it.

/// The sampler.
pub const POWERMETRICS: &str = "/usr/bin/powermetrics";

/// powermetrics(1): options with a value that say what is measured and how often. Those that name a file are not among
/// them, nor are their abbreviations, nor several letters behind one dash.
const WITH_VALUE: [&str; 16] = [
    "-s",
    "--samplers",
    "-f",
    "--format",
    "-i",
    "--sample-rate",
    "-n",
    "--sample-count",
    "-b",
    "--buffer-size",
    "-a",
    "--poweravg",
    "-r",
    "--order",
    "-t",
    "--wakeup-cost",
];

/// Whether a command is one that root may run for a user: powermetrics itself, and nothing that would have it write a
/// file. What the user wrote is the user's word alone.
///
/// # Errors
/// Why not, with the key of the configuration.
pub fn may_be_roots(command: &[String]) -> Result<(), String> {
    const KEY: &str = "[powermetrics] command";
    let Some((program, arguments)) = command.split_first().filter(|(program, _)| *program == POWERMETRICS)
    else {
        return Err(format!(
            "{KEY}: only {POWERMETRICS} is permitted to run as root: use it, or leave `sudo` out of the command"
        ));
    };
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word.as_str(), None),
        };
        let value = if WITH_VALUE.contains(&name) {
            value.or_else(|| arguments.next().map(String::as_str))
        } else if name.starts_with("--show-") && value.is_none() && plain(name) {
            continue;
        } else {
            return Err(format!(
                "{KEY}: {program} {word:?} is not permitted as root: samplers, format, rate, count, buffer, order and --show-… can be chosen, each a word of its own"
            ));
        };
        if !value.is_some_and(|value| !value.is_empty() && !value.starts_with('-') && plain(value)) {
            return Err(format!(
                "{KEY}: what follows {name} can't be permitted word for word: letters, digits and _ . , + - can"
            ));
        }
    }
    Ok(())
}

fn plain(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powermetrics_is_roots_and_not_to_write_files() {
        let command = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for words in [
            "/usr/bin/powermetrics",
            "/usr/bin/powermetrics --samplers cpu_power,tasks -f plist -i 100 -n 36000",
            "/usr/bin/powermetrics --samplers=tasks --show-process-io -i 1000",
        ] {
            assert_eq!(may_be_roots(&command(words)), Ok(()), "{words}");
        }
        for (words, why) in [
            ("/bin/sh -c id", "only /usr/bin/powermetrics"),
            ("/usr/bin/../bin/powermetrics -i 1", "only /usr/bin/powermetrics"),
            ("/usr/bin/powermetrics -i 100 -u /etc/x", "\"-u\" is not permitted"),
            ("/usr/bin/powermetrics -o /etc/x", "\"-o\" is not permitted"),
            ("/usr/bin/powermetrics -o/etc/x", "is not permitted"),
            ("/usr/bin/powermetrics -Wo/etc/x -f plist", "is not permitted"),
            ("/usr/bin/powermetrics --output-file=/etc/x", "is not permitted"),
            ("/usr/bin/powermetrics --out /etc/x", "is not permitted"),
            ("/usr/bin/powermetrics --show-x=/etc/x", "is not permitted"),
            ("/usr/bin/powermetrics -i *", "word for word"),
            ("/usr/bin/powermetrics -i", "word for word"),
            ("/usr/bin/powermetrics -i -o", "word for word"),
            ("/usr/bin/powermetrics #", "is not permitted"),
            ("/usr/bin/powermetrics /etc/x", "is not permitted"),
            ("", "only /usr/bin/powermetrics"),
        ] {
            let error = may_be_roots(&command(words)).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
        assert!(may_be_roots(&[]).is_err());
        let blank = ["/usr/bin/powermetrics", "-f plist"].map(str::to_owned);
        assert!(may_be_roots(&blank).is_err(), "two words in one");
    }
}
