//! The daemon: source → engine → outputs, from start to shutdown.

pub mod handover;
mod hub;
pub mod limits;
pub mod lock;
pub mod logging;
mod place;
pub mod player;
mod sampling;
mod signals;
mod supervisor;
mod web;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing_appender::non_blocking::ErrorCounter;

use crate::clock;
use crate::config::{Config, ConfigErrors, Loaded, Overrides, Paths, SourceKind};
use crate::engine::{Engine, FAST_PATH_NS, Origin, Settings, Thresholds};
use crate::output::alert::{self, Alerts, Desktop, Watch};
use crate::output::forensics::{self, Forensics, ForensicsStats, Programs};
use crate::output::http::HttpError;
use crate::output::metrics::{self, Peers};
use crate::output::otlp::{Exporter, Machine, OtlpError, Running};
use crate::output::socket::{Socket, SocketError};
use crate::output::store::{Options, Outbox, Recorder, Store, random_incident};
use crate::runtime::Runtime;
use crate::source::host;
use crate::source::replay::Speed;
use crate::wire;

use hub::{Hub, Identity, Parts};
use lock::LockError;
use place::Place;
use sampling::{CantStart, Command, Plan, Sampling};
use supervisor::Supervisor;
use web::WebServer;

/// How long each stage of the shutdown may take.
const SAMPLING_ENDS: Duration = Duration::from_millis(1_500);
const CLIENTS_END: Duration = Duration::from_millis(200);
const STORE_ENDS: Duration = Duration::from_millis(1_200);
/// Spans and alerts have what the stages before them left of this, but at least the second.
const OUTSIDE_ENDS: (Duration, Duration) = (Duration::from_millis(2_400), Duration::from_millis(900));
/// With the second that the log may take at the end it is less than 5 s.
const _: () = {
    let (sampling, (outside, least)) =
        (SAMPLING_ENDS.as_millis(), (OUTSIDE_ENDS.0.as_millis(), OUTSIDE_ENDS.1.as_millis()));
    let outside = if sampling + least > outside { sampling + least } else { outside };
    assert!(outside + STORE_ENDS.as_millis() + 1_000 < 5_000);
};
/// How long what hooks have started takes to be killed.
const KILLED: Duration = Duration::from_millis(250);
/// Signals within this time of the first are the same request: `timeout`, for one, signals its child and then the whole
/// process group.
const ONE_REQUEST: Duration = Duration::from_millis(300);
/// How long reading the configuration again may take: the outputs wait for it.
const RELOAD: Duration = Duration::from_millis(500);
/// A source that takes longer than this to start is told of.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the daemon ended other than well.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon runs on the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The source can't start.
    #[error(transparent)]
    Source(#[from] CantStart),
    /// Spans can't be exported as it is configured.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// The socket can't be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// HTTP can't be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The source failed under way, or the sampling thread did.
    #[error("{0}")]
    Failed(String),
    /// The system refuses something that is needed.
    #[error("{0}: {1}")]
    System(&'static str, #[source] std::io::Error),
}

/// How the daemon is run, besides the configuration.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where things are.
    pub paths: Paths,
    /// What the command line said; it still counts when the configuration is read again.
    pub overrides: Overrides,
    /// Go on without the source where it can't start.
    pub allow_degraded: bool,
    /// The pace of a recording or simulation.
    pub speed: Speed,
    /// End when standard input does.
    pub until_eof: bool,
    /// Counts the log's dropped lines.
    pub log_dropped: ErrorCounter,
}

/// The engine's settings of a configuration.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let ns = clock::ns;
    let (origin, nominal_ns) = match config.source {
        SourceKind::Powermetrics => (Origin::Child, ns(config.powermetrics.interval)),
        SourceKind::Linux => (Origin::Own, FAST_PATH_NS),
        SourceKind::Replay(_) | SourceKind::Simulate(_) => (Origin::Recording, FAST_PATH_NS),
    };
    Settings {
        origin,
        nominal_ns,
        min_duration_ns: ns(config.pause.min_duration),
        threshold_ratio: config.pause.threshold_ratio,
        tiers: Thresholds {
            elevated: config.tiers.elevated,
            critical: config.tiers.critical,
            deescalation_ns: ns(config.tiers.deescalation),
        },
        peak_tracking_ns: ns(config.tiers.peak_tracking),
        max_episode_ns: ns(config.tiers.max_episode),
        ring_ns: u64::from(config.ring.seconds) * 1_000_000_000,
    }
}

/// Runs the daemon until it is told to stop or its recording ends.
///
/// # Errors
/// Where it can't start.
pub fn run(loaded: &Loaded, run: &Run) -> Result<(), DaemonError> {
    let runtime =
        Runtime::new().map_err(|error| DaemonError::System("the outputs' runtime can't start", error))?;
    // Tasks that wait for a client or a commit are not waited for.
    runtime.block_on(serve(loaded, run))
}

/// What ends the daemon, or interrupts it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Told when standard input ends, where that counts.
    input: oneshot::Receiver<()>,
}

impl Signals {
    fn listen(until_eof: bool) -> std::io::Result<Self> {
        let (told, input) = oneshot::channel();
        if until_eof {
            std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                // One that fails has ended, too.
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                let _ = told.send(());
            })?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            input,
        })
    }

    /// Waits for what stops the daemon; its name.
    async fn stop(&mut self) -> &'static str {
        Self::stopping(&mut self.terminate, &mut self.interrupt, &mut self.input).await
    }

    async fn stopping(
        terminate: &mut Signal,
        interrupt: &mut Signal,
        input: &mut oneshot::Receiver<()>,
    ) -> &'static str {
        let ended = async {
            // Dropped unsaid where it does not count, and told only once.
            if input.is_terminated() || input.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = ended => "standard input ended",
        }
    }
}

async fn serve(loaded: &Loaded, run: &Run) -> Result<(), DaemonError> {
    let system = |what| move |error| DaemonError::System(what, error);
    let signals = Signals::listen(run.until_eof).map_err(system("signals can't be listened for"))?;
    let directory = &run.paths.data_dir;
    crate::config::create_dir(directory).map_err(system("the data directory"))?;
    warn_of_others(directory);
    let mut place = Place::take(&run.paths)?;
    let result = serve_in(&mut place, loaded, run, signals).await;
    place.leave().await;
    result
}

/// Serves in the data directory, which is ours.
async fn serve_in(
    place: &mut Place,
    loaded: &Loaded,
    run: &Run,
    mut signals: Signals,
) -> Result<(), DaemonError> {
    let config = &loaded.config;
    let system = |what| move |error| DaemonError::System(what, error);
    let directory = &run.paths.data_dir;
    // What may be refused comes before the first thing that is told.
    let machine = Machine { name: host::host_name(), os_version: host::os_version() };
    let exporter = Exporter::new(&config.otlp, &run.paths, &machine)?;
    let outbox = Outbox { wanted: exporter.is_some(), ..Outbox::default() };
    let listeners = web::bind(&config.http, run.allow_degraded)?;
    // SAFETY: it takes nothing and always succeeds.
    let mut socket = Socket::bind(directory, unsafe { libc::geteuid() })?;
    place.has(socket.file());
    let info = host::info();
    let options = Options {
        started_ns: clock::unix_ns(),
        boot_id: host::boot_id(),
        boot_time_ns: info.boot_time_s.map(|seconds| seconds.saturating_mul(1_000_000_000)),
        retention: config.retention,
        random: random_incident,
        outbox: outbox.clone(),
        claim: place.claim(),
    };
    let (store, opened) = Store::open(directory, options).map_err(system("the store can't start"))?;
    let spans = exporter.map(|exporter| exporter.start(store.marker(), &outbox));

    let alerts = Alerts::start(alert::Options {
        host: machine.name.clone(),
        source: config.source.as_str(),
        alerts: config.alerts.clone(),
        desktop: Desktop::new(run.paths.owner).map_err(system("this program's own path"))?,
        hooks: config.hooks.clone(),
        paths: run.paths.clone(),
    })
    .map_err(system("the alerts can't start"))?;

    let settings = settings(config);
    let engine = Engine::new(settings, opened.next_event_id);
    let (outlet, inlet) = handover::channel();
    let (commands, obeyed) = sync_channel(16);
    let forensics = Arc::new(ForensicsStats::default());
    let peers = Peers {
        source: config.source.as_str(),
        socket: socket.clients().stats(),
        store: store.stats(),
        alerts: alerts.stats(),
        otlp: Arc::clone(&outbox.stats),
        forensics: Arc::clone(&forensics),
        handover_dropped: inlet.dropped_counter(),
        log: Some(run.log_dropped.clone()),
        culprit_info: config.http.culprit_info,
    };
    let (feed, metrics) = metrics::channel(&settings.tiers, peers);
    let mut sampling = Sampling::start(plan(config, run), engine, outlet, feed, obeyed)
        .map_err(system("the sampling thread can't start"))?;
    // It is there to the end, and says so while all else stops.
    let mut web =
        WebServer::start(listeners, &config.http, metrics.clone()).map_err(system("HTTP can't be served"))?;
    let identity = Identity {
        source: config.source.as_str(),
        host: machine.name,
        interval_ms: wire::ms(settings.nominal_ns),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        thresholds: thresholds(&settings),
    };
    let gathering = config.forensics.enabled.then(|| {
        let options = forensics::Options {
            paths: run.paths.clone(),
            live: settings.origin != Origin::Recording,
            spindump: config.forensics.spindump,
            programs: Programs::system(run.paths.root),
            evidence: store.evidence(),
            on_complete: alert::gathered(alerts.teller(), settings.origin != Origin::Recording),
        };
        Forensics::start(options, forensics).map_err(system("evidence can't be gathered"))
    });
    let gathering = gathering.transpose()?;
    let recorder = Recorder::new(Duration::from_secs(u64::from(config.ring.seconds)), random_incident);
    let parts = Parts {
        inlet,
        socket,
        store,
        recorder,
        watch: Watch::new(identity.source, config.alerts.critical_min_duration, random_incident),
        alerts,
        identity,
        metrics,
    };
    let mut hub = Hub::new(parts, commands.clone(), opened.recovered);
    if let Some(gathering) = gathering {
        hub.gather_by(gathering, config.alerts.pause_min_duration);
    }

    let supervisor = Supervisor::of_process();
    let outcome = match start(&mut sampling, &mut signals, &mut hub).await {
        Started::Stopped(why) => Ok(why),
        Started::Failed(why) => Err(DaemonError::from(why)),
        Started::Delivers => {
            tracing::info!(
                "watching with the source {}; events and socket are in {}",
                config.source.as_str(),
                directory.display()
            );
            supervisor.ready(config.source.as_str());
            watch(&mut sampling, &mut signals, &mut hub, run, &commands, &mut web, &supervisor, place).await
        }
    };
    supervisor.stopping();
    place.stopping();
    let reason = match &outcome {
        Ok(why) => why,
        Err(DaemonError::Lock(_)) => "another daemon took the data directory",
        Err(_) => "the source can't start",
    };
    let fault = stop(sampling, hub, spans, signals, reason).await;
    outcome?;
    fault.map_or(Ok(()), |fault| Err(DaemonError::Failed(fault)))
}

/// What is in the data directory is its owner's alone: names of processes, and evidence.
fn warn_of_others(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(directory).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            "others can enter the data directory {} (mode {mode:o}): chmod 700 it; its files are yours alone all the same",
            directory.display()
        );
    }
}

fn plan(config: &Config, run: &Run) -> Plan {
    match &config.source {
        SourceKind::Powermetrics => Plan::Powermetrics {
            command: config.powermetrics.command.clone(),
            allow_degraded: run.allow_degraded,
        },
        SourceKind::Linux => Plan::Linux,
        SourceKind::Replay(path) => Plan::Replay(path.clone(), run.speed),
        SourceKind::Simulate(scenario) => Plan::Simulate(*scenario, run.speed),
    }
}

fn thresholds(settings: &Settings) -> wire::Thresholds {
    wire::Thresholds { elevated: settings.tiers.elevated, critical: settings.tiers.critical }
}

/// How the start went.
enum Started {
    Delivers,
    Stopped(&'static str),
    Failed(CantStart),
}

/// Waits for the source to deliver.
async fn start(sampling: &mut Sampling, signals: &mut Signals, hub: &mut Hub) -> Started {
    let Some(started) = sampling.started.take() else { return Started::Delivers };
    tokio::pin!(started);
    let mut told = false;
    loop {
        tokio::select! {
            answer = &mut started => return match answer {
                Ok(Ok(())) => Started::Delivers,
                Ok(Err(why)) => Started::Failed(why),
                Err(_) => Started::Failed(CantStart("the sampling thread ended; the log says why".to_owned())),
            },
            why = signals.stop() => return Started::Stopped(why),
            () = hub.serve() => {}
            () = sleep(PATIENCE), if !told => {
                told = true;
                tracing::info!("waiting for the source's first sample; it is given 10 s");
            }
        }
    }
}

/// Serves until it is to end; why.
///
/// # Errors
/// Where another daemon has taken the data directory.
#[expect(clippy::too_many_arguments, reason = "it is the one place where all parts meet")]
async fn watch(
    sampling: &mut Sampling,
    signals: &mut Signals,
    hub: &mut Hub,
    run: &Run,
    commands: &std::sync::mpsc::SyncSender<Command>,
    web: &mut WebServer,
    supervisor: &Supervisor,
    place: &mut Place,
) -> Result<&'static str, DaemonError> {
    let metrics = hub.metrics().clone();
    let watchdog = supervisor.watchdog(&metrics);
    tokio::pin!(watchdog);
    let mut attempt = None;
    loop {
        tokio::select! {
            why = Signals::stopping(&mut signals.terminate, &mut signals.interrupt, &mut signals.input) => return Ok(why),
            () = sampling.ended() => return Ok("the recording ended"),
            _ = signals.hangup.recv() => {
                supervisor.reloading();
                reload(run, hub, commands).await;
                web.reload();
                supervisor.ready(metrics.source());
            }
            () = place.lost() => place.take_again(hub).await?,
            () = &mut watchdog => {}
            () = web.come(&mut attempt) => {}
            () = hub.serve() => {}
        }
    }
}

/// Reads the configuration again; a bad one is reported, and the old one stays.
async fn reload(run: &Run, hub: &mut Hub, commands: &std::sync::mpsc::SyncSender<Command>) {
    let (paths, overrides) = (run.paths.clone(), run.overrides.clone());
    let load = tokio::task::spawn_blocking(move || crate::config::load(&paths, &overrides));
    let Ok(Ok(loaded)) = timeout(RELOAD, load).await else {
        tracing::error!(
            "the configuration file can't be read: the disk does not answer; the old one stays in force"
        );
        hub.metrics().reloaded(false);
        return;
    };
    match loaded {
        Ok(loaded) => {
            let settings = settings(&loaded.config);
            if commands.try_send(Command::Configure(settings)).is_err() {
                tracing::error!("the configuration was read again, but the sampling thread does not take it");
                hub.metrics().reloaded(false);
                return;
            }
            let taken = hub.configure(thresholds(&settings), &loaded.config);
            hub.metrics().reloaded(taken);
            if !taken {
                tracing::error!(
                    "the configuration was read again, but the alerts' thread, which has much to do, does not take it: thresholds hold, alerts and hooks do not; send SIGHUP once more"
                );
                return;
            }
            tracing::info!(
                "the configuration was read again: thresholds, alerts and hooks hold from now on, all else from the next start"
            );
        }
        Err(errors) => {
            hub.metrics().reloaded(false);
            complain(&errors);
        }
    }
}

fn complain(errors: &ConfigErrors) {
    for line in errors.to_string().lines() {
        tracing::error!("{line}");
    }
    tracing::error!("the configuration was not taken; the old one stays in force");
}

/// Ends everything within 5 s, whatever hangs; a second request ends it at once. What had gone wrong in sampling.
async fn stop(
    mut sampling: Sampling,
    mut hub: Hub,
    spans: Option<Running>,
    mut signals: Signals,
    reason: &'static str,
) -> Option<String> {
    tracing::info!("stopping: {reason}");
    let began = Instant::now();
    let alerts = hub.alerts_ending();
    let ending = async {
        sampling.stop();
        let ended = async {
            tokio::select! {
                () = sampling.ended() => {}
                () = hub.serve() => {}
            }
        };
        let ended = timeout(SAMPLING_ENDS, ended).await.is_ok();
        if !ended {
            tracing::warn!("the sampling thread hangs in its source and is left behind");
        }
        hub.finish();
        let (mut socket, store, alerts, forensics) = hub.into_parts();
        let clients = std::mem::take(socket.clients());
        let left = OUTSIDE_ENDS.0.saturating_sub(began.elapsed()).max(OUTSIDE_ENDS.1);
        let spans = async {
            if let Some(spans) = spans {
                spans.finish(left).await;
            }
        };
        let evidence = async {
            if let Some(forensics) = forensics {
                forensics.finish(left).await;
            }
        };
        tokio::join!(clients.close(CLIENTS_END), spans, alerts.finish(left), evidence);
        drop(socket);
        let written = tokio::task::spawn_blocking(move || store.shutdown(reason, STORE_ENDS)).await;
        if !written.unwrap_or(false) {
            tracing::error!("the disk did not take all that was to be written; what is missing is lost");
        }
        if ended { sampling.fault() } else { None }
    };
    let impatience = async {
        let all_told = async {
            loop {
                signals.stop().await;
            }
        };
        // It does not return: what is told twice is one request.
        let _: Result<(), _> = timeout(ONE_REQUEST, all_told).await;
        signals.stop().await
    };
    tokio::select! {
        fault = ending => {
            tracing::info!("stopped");
            fault
        }
        _ = impatience => {
            alerts.at_once(KILLED).await;
            tracing::warn!("stopped at once");
            None
        }
    }
}
