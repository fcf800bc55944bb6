//! A hook that is a program.

mod find;
mod process;
mod tail;
mod trust;

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::payload::Payload;
use super::{Done, HookContext, Outcome};
use crate::config::Hook;
use process::{NotStarted, Process};
use tail::Tail;
pub use trust::Trust;

/// What a program may print, bytes; then its output is closed.
const PRINTED: u64 = 64 << 20;
/// The longest value of a variable, characters.
const VARIABLE: usize = 4_096;
/// How long the end of a process that was killed is waited for.
const KILLED: Duration = Duration::from_secs(2);

/// What is known of a hook's runs from one to the next.
#[derive(Debug, Default)]
pub(super) struct Exec {
    /// A start that took too long: the disk has it wait. Another one would only wait as well.
    hanging: Option<JoinHandle<()>>,
}

impl Exec {
    /// Runs the program with the payload to its end, or to the hook's time limit.
    pub(super) async fn run(&mut self, hook: &Hook, context: &Arc<HookContext>, payload: &Payload) -> Done {
        if self.hanging.as_ref().is_some_and(|start| !start.is_finished()) {
            return Done::new(Outcome::Timeout, "an earlier start of it still waits for the disk");
        }
        let deadline = Instant::now() + hook.timeout;
        let (children, body) = match (signal(SignalKind::child()), serde_json::to_vec(payload)) {
            (Ok(children), Ok(body)) => (children, body),
            (Err(error), _) => {
                return Done::new(Outcome::Failed, &format!("signals can't be listened for: {error}"));
            }
            (_, Err(error)) => {
                return Done::new(Outcome::Failed, &format!("the payload can't be written: {error}"));
            }
        };
        let (send, started) = oneshot::channel();
        let start = tokio::task::spawn_blocking({
            let (command, variables, context) =
                (hook.command.clone(), variables(payload), Arc::clone(context));
            // Where nobody waits for it any more it is killed.
            move || drop(send.send(process::start(&command, &variables, &context)))
        });
        match timeout_at(deadline, started).await {
            Ok(Ok(Ok(process))) => run(process, children, &body, deadline, hook.timeout).await,
            Ok(Ok(Err(NotStarted::Refused(why)))) => Done::new(Outcome::Refused, &why),
            Ok(Ok(Err(NotStarted::Failed(why)))) => Done::new(Outcome::Failed, &why),
            Ok(Err(_)) => Done::new(Outcome::Failed, "it could not be started"),
            Err(_) => {
                self.hanging = Some(start);
                Done::new(Outcome::Timeout, "the disk did not answer when it was to be started")
            }
        }
    }
}

async fn run(
    mut process: Process,
    mut children: Signal,
    body: &[u8],
    deadline: Instant,
    limit: Duration,
) -> Done {
    let mut tail = Tail::default();
    let (input, output) = (process.input.take(), process.output.take());
    let in_time = timeout_at(deadline, async {
        let feed = feed(input, body);
        let end = async { tokio::join!(drain(output, &mut tail), ended(&process, &mut children)) };
        tokio::pin!(feed, end);
        tokio::select! {
            // What it does not read it does not want.
            _ = &mut end => {}
            () = &mut feed => { end.await; }
        }
    })
    .await
    .is_ok();
    let ended_itself = process.has_ended();
    if !in_time {
        process.kill_group();
        let _ = timeout(KILLED, ended(&process, &mut children)).await;
    }
    let mut done = match process.status() {
        Some(status) if ended_itself => of_status(status),
        Some(_) => {
            Done::new(Outcome::Timeout, &format!("killed after {}", crate::config::duration_text(limit)))
        }
        None => Done::new(Outcome::Timeout, "it took too long, and could not be killed yet"),
    };
    if ended_itself && !in_time {
        done.why.push_str("; what it left running with its output open was killed");
    }
    if tail.total() >= PRINTED {
        done.why.push_str("; it printed so much that its output was closed");
    }
    done.output = tail.lines();
    done
}

fn of_status(status: ExitStatus) -> Done {
    match (status.code(), status.signal()) {
        (Some(0), _) => Done::new(Outcome::Ok, "exit code 0"),
        (Some(code), _) => Done::new(Outcome::Failed, &format!("exit code {code}")),
        (None, Some(signal)) => Done::new(Outcome::Failed, &format!("ended by signal {signal}")),
        (None, None) => Done::new(Outcome::Failed, "it ended in a way that is not known"),
    }
}

/// Waits for its end.
async fn ended(process: &Process, children: &mut Signal) {
    // SIGCHLD has been listened for since before it was started.
    while !process.has_ended() && children.recv().await.is_some() {}
}

/// Gives it the payload. A program need not read.
async fn feed(input: Option<OwnedFd>, body: &[u8]) {
    if let Some(Ok(mut input)) = input.map(pipe::Sender::from_owned_fd) {
        let _ = input.write_all(body).await;
    }
}

/// Reads what it prints, until all who could print have closed their end, or it is too much.
async fn drain(output: Option<OwnedFd>, tail: &mut Tail) {
    let Some(Ok(mut output)) = output.map(pipe::Receiver::from_owned_fd) else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        tail.push(&buffer[..read]);
        if tail.total() >= PRINTED {
            return;
        }
    }
}

/// The payload for programs that read no JSON. What is not known is empty.
fn variables(payload: &Payload) -> Vec<(&'static str, String)> {
    let text = |value: Option<String>| value.unwrap_or_default();
    let variables = [
        ("PAUSE_MONITOR_EVENT", payload.event.as_str().to_owned()),
        ("PAUSE_MONITOR_ID", text(payload.id.map(|id| id.to_string()))),
        ("PAUSE_MONITOR_STATUS", payload.status.as_str().to_owned()),
        ("PAUSE_MONITOR_DURATION_S", text(payload.duration_s.map(|seconds| seconds.to_string()))),
        ("PAUSE_MONITOR_VERDICT", text(payload.verdict.map(str::to_owned))),
        ("PAUSE_MONITOR_TIER", text(payload.tier.map(|tier| tier.as_str().to_owned()))),
        ("PAUSE_MONITOR_STRESS", text(payload.stress.map(|stress| stress.total.to_string()))),
        ("PAUSE_MONITOR_CULPRIT", payload.culprit()),
        ("PAUSE_MONITOR_SUMMARY", payload.summary.clone()),
        ("PAUSE_MONITOR_INCIDENT", payload.incident.clone()),
        ("PAUSE_MONITOR_HOST", payload.host.clone()),
    ];
    // A variable can't hold a NUL, nor be of any length.
    let held = |value: String| crate::sample::printable(&value.chars().take(VARIABLE).collect::<String>());
    variables.map(|(name, value)| (name, held(value))).into()
}
