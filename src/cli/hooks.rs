//! `hooks`: shows them, and tries one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::table::Table;
use super::{Exit, Failure, output};
use crate::config::{self, Hook, Overrides, duration_text};
use crate::output::alert::hook::{HookContext, Outcome, check, run_once};
use crate::output::alert::{Event, Payload, Status};
use crate::source::host;

/// Show the hooks of the configuration, or try one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pause-monitor hooks                          what is configured
  pause-monitor hooks test notes               run the hook \"notes\" with a made-up pause
  pause-monitor hooks test notes --event outage

What hooks are told, and how to check a signature: docs/hooks.md")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the hooks that are configured (this is also what `hooks` alone does)
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a hook with a made-up event, exactly as the daemon would run it, and say what came of it
    ///
    /// It is run whatever it listens to and without its cooldown. Exit code 1 where it failed. Where the daemon is
    /// another user's, run this as that user.
    Test {
        /// The hook's name
        name: String,
        /// What to tell it of [default: the first event that it listens to]
        #[arg(long, value_parser = event)]
        event: Option<Event>,
        /// Tell it of the end of a state (critical, elevated, source_down) instead of the beginning
        #[arg(long)]
        resolved: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn event(text: &str) -> Result<Event, String> {
    Event::parse(text).ok_or_else(|| format!("write one of {}", Event::ALL.map(Event::as_str).join(", ")))
}

/// Runs `hooks`.
///
/// # Errors
/// What is wrong with the configuration, a hook that there is not, one that failed.
pub fn run(args: &Args, context: &super::Context) -> anyhow::Result<ExitCode> {
    let hooks = config::load(context, &Overrides::default())?.config.hooks;
    match &args.command {
        None => list(&hooks, false),
        Some(Command::List { json }) => list(&hooks, *json),
        Some(Command::Test { name, event, resolved, json }) => {
            let hook = find(&hooks, name)?;
            let payload = payload(hook, *event, *resolved)?;
            warn(&check(std::slice::from_ref(hook)).unwrap_or_default());
            test(hook, &payload, HookContext::new(context), *json)
        }
    }
}

/// Tells of what is not as it should be.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        super::tell(warning);
    }
}

fn list(hooks: &[Hook], json: bool) -> anyhow::Result<ExitCode> {
    if json {
        output::print_json(&hooks.iter().map(described).collect::<Vec<_>>())?;
    } else if hooks.is_empty() {
        output::print(|out| {
            writeln!(
                out,
                "There are no hooks. `pause-monitor config init` writes an example, docs/hooks.md has more."
            )
        })?;
    } else {
        let mut table = Table::new(&["NAME", "ON", "FROM", "COOLDOWN", "TIMEOUT", "DOES"]);
        for hook in hooks {
            let time =
                |time: std::time::Duration| if time.is_zero() { "-".to_owned() } else { duration_text(time) };
            let on: Vec<_> = hook.on.iter().map(|event| event.as_str()).collect();
            table.row(vec![
                hook.name.clone(),
                on.join(","),
                time(hook.min_duration),
                time(hook.cooldown),
                time(hook.timeout),
                hook.to_string(),
            ]);
        }
        output::print(|out| table.write(out))?;
    }
    Ok(Exit::Done.into())
}

/// A hook as JSON; no secret is in it.
fn described(hook: &Hook) -> Value {
    let on: Vec<_> = hook.on.iter().map(|event| event.as_str()).collect();
    let mut value = json!({
        "name": hook.name,
        "on": on,
        "min_duration_s": hook.min_duration.as_secs_f64(),
        "cooldown_s": hook.cooldown.as_secs_f64(),
        "timeout_s": hook.timeout.as_secs_f64(),
        "command": null,
        "webhook": null,
    });
    match &hook.webhook {
        None => value["command"] = json!(hook.command),
        Some(url) => {
            let headers: Vec<_> = hook.headers.iter().map(|(name, _)| name.as_str()).collect();
            value["webhook"] = json!({
                "url": url.to_string(),
                "format": hook.format.as_str(),
                "headers": headers,
                "signed": hook.secret_file.is_some(),
                "retries": hook.retries,
            });
        }
    }
    value
}

fn find<'a>(hooks: &'a [Hook], name: &str) -> anyhow::Result<&'a Hook> {
    hooks.iter().find(|hook| hook.name == name).ok_or_else(|| {
        let known: Vec<_> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        let known = if known.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        Failure::new(Exit::Usage, format!("no hook is called {name:?}: {known}")).into()
    })
}

fn payload(hook: &Hook, event: Option<Event>, resolved: bool) -> anyhow::Result<Payload> {
    let event = event.or(hook.on.first().copied()).unwrap_or(Event::Pause);
    let mut payload = Payload::sample(event, &host::host_name());
    if resolved {
        if payload.status != Status::Firing {
            let message = format!(
                "--resolved is for critical, elevated and source_down: {} has no end",
                event.as_str()
            );
            return Err(Failure::new(Exit::Usage, message).into());
        }
        payload.status = Status::Resolved;
        payload.duration_s = Some(12.5);
    }
    Ok(payload)
}

/// A hook that takes longer than this is told of.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for a signal that ends the command.
async fn ended_by_hand() -> std::io::Result<()> {
    let [mut interrupt, mut terminate, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

fn test(hook: &Hook, payload: &Payload, context: HookContext, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime can't start")?;
    let began = Instant::now();
    let done = runtime.block_on(async {
        let run = run_once(hook, context, payload);
        tokio::pin!(run);
        tokio::select! {
            done = &mut run => return Ok(Some(done)),
            () = tokio::time::sleep(PATIENCE) => {
                super::tell(&format!("hook {}: under way, one try is given {}; Ctrl-C ends it", hook.name, duration_text(hook.timeout)));
            }
            ended = ended_by_hand() => return ended.map(|()| None),
        }
        tokio::select! {
            done = &mut run => Ok(Some(done)),
            // What it started is killed as it is dropped: it has a session of its own.
            ended = ended_by_hand() => ended.map(|()| None),
        }
    });
    let Some(done) = done.context("signals can't be listened for")? else {
        drop(runtime);
        return Err(
            Failure::new(Exit::Failed, format!("hook {}: ended by hand, and killed", hook.name)).into()
        );
    };
    let took_s = began.elapsed().as_secs_f64();
    // A thread that waits for the disk is not waited for.
    runtime.shutdown_background();
    if json {
        output::print_json(&json!({
            "hook": hook.name,
            "event": payload.event.as_str(),
            "status": payload.status.as_str(),
            "outcome": done.outcome.as_str(),
            "detail": done.why,
            "duration_s": took_s,
            "output": done.output,
        }))?;
    } else {
        let why = crate::sample::printable(&done.why);
        output::print(|out| {
            writeln!(out, "{}: {} after {took_s:.2} s: {why}", hook.name, done.outcome.as_str())?;
            done.output.iter().try_for_each(|line| writeln!(out, "  {line}"))
        })?;
    }
    Ok(if done.outcome == Outcome::Ok { Exit::Done } else { Exit::Failed }.into())
}
