//! The web configuration in force, read again when its files change. A bad one is reported, and the old one stays.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Settings, Stat, load};
use crate::config::ConfigErrors;
use crate::output::metrics::Metrics;

/// The files are looked at so often at most.
const LOOK: Duration = Duration::from_millis(500);
/// How long the disk may take; then what is in force stays, and the next connection looks again.
const DISK: Duration = Duration::from_secs(1);

/// The web configuration in force, owned by the server's one thread.
pub(in super::super) struct Web {
    /// `None` where there is no such file: then nothing is ever read.
    file: Option<PathBuf>,
    settings: RefCell<Settings>,
    /// What is wrong with the files as they are now, where something is.
    wrong: RefCell<Option<ConfigErrors>>,
    looked: Cell<Option<Instant>>,
    /// An address that others can reach is listened on.
    exposed: Cell<bool>,
}

impl Web {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Everything found wrong with it.
    pub(in super::super) fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let settings = file.map(load).transpose()?.unwrap_or_default();
        Ok(Self { file: file.map(Path::to_owned), ..Self::of(settings) })
    }

    /// Settings that never change.
    pub(in super::super) fn of(settings: Settings) -> Self {
        Self {
            file: None,
            settings: RefCell::new(settings),
            wrong: RefCell::new(None),
            looked: Cell::new(None),
            exposed: Cell::new(false),
        }
    }

    /// What is in force.
    pub(in super::super) fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Whether TLS is spoken.
    pub(in super::super) fn has_tls(&self) -> bool {
        self.settings.borrow().has_tls()
    }

    /// Others can reach an address that is listened on: warns where nobody has to log in.
    pub(in super::super) fn expose(&self) {
        self.exposed.set(true);
        self.warn_of_strangers();
    }

    fn warn_of_strangers(&self) {
        if self.exposed.get() && !self.settings.borrow().has_users() {
            tracing::warn!(
                "the metrics are served beyond this machine to whoever asks: set users with --web.config.file, \
                 or listen on 127.0.0.1"
            );
        }
    }

    /// Looks whether the files changed, now and then.
    pub(in super::super) async fn refresh(&self, metrics: &Metrics) {
        if self.looked.get().is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked.set(Some(Instant::now()));
        self.read_again(metrics, false).await;
    }

    /// Reads the files again: all the same, or only where they changed.
    pub(in super::super) async fn read_again(&self, metrics: &Metrics, all_the_same: bool) {
        let Some(file) = self.file.clone() else { return };
        let files = self.settings.borrow().files.clone();
        // What is wrong may be put right by a file that is not among those in force.
        let all_the_same = all_the_same || self.wrong.borrow().is_some();
        let read = tokio::task::spawn_blocking(move || {
            let changed = || files.iter().any(|(path, before)| Stat::of(path) != *before);
            (all_the_same || changed()).then(|| load(&file))
        });
        let Ok(Ok(read)) = timeout(DISK, read).await else {
            tracing::warn!(
                "the web configuration can't be looked at: the disk does not answer; the old one stays"
            );
            return;
        };
        match read {
            None => {}
            Some(Ok(settings)) => {
                self.settings.replace(settings);
                self.wrong.replace(None);
                metrics.web_reloaded(true);
                tracing::info!("the web configuration was read again");
                self.warn_of_strangers();
            }
            Some(Err(errors)) => {
                metrics.web_reloaded(false);
                // Told once, not at every connection.
                if self.wrong.borrow().as_ref() != Some(&errors) {
                    for line in errors.to_string().lines() {
                        tracing::error!("{line}");
                    }
                    tracing::error!("the web configuration was not taken; the old one stays in force");
                }
                self.wrong.replace(Some(errors));
            }
        }
    }
}
