//! HTTP of the daemon: a service watches without it where its address is taken, and asks again.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use crate::config;
use crate::output::http::{Http, HttpError, Listeners};
use crate::output::metrics::Metrics;

/// How often a service asks again for an address that is taken.
const AGAIN: Duration = Duration::from_secs(30);

/// HTTP, or the wish for it: a service watches without it where its address is taken.
pub(super) enum WebServer {
    /// It is served, unless no address is configured.
    Served(Option<Http>),
    /// The address could not be had so far.
    Awaited(config::Http, Metrics),
}

/// An attempt that is under way: the disk may have it wait.
pub(super) type Attempt = Option<JoinHandle<Result<Result<Listeners, HttpError>, JoinError>>>;

/// Listens. `None` where an address can't be had, and it is gone on without (`patient`).
pub(super) fn bind(config: &config::Http, patient: bool) -> Result<Option<Listeners>, HttpError> {
    match Http::bind(config) {
        Err(error @ (HttpError::InUse(_) | HttpError::Listen(..))) if patient => {
            tracing::error!("{error}; it is tried again every {} s", AGAIN.as_secs());
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

impl WebServer {
    /// Serves on what is listened on.
    pub(super) fn start(
        listeners: Option<Listeners>,
        config: &config::Http,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        match listeners {
            Some(listeners) => listeners.serve(metrics).map(Self::Served),
            None => Ok(Self::Awaited(config.clone(), metrics)),
        }
    }

    /// Has the web configuration read again.
    pub(super) fn reload(&self) {
        if let Self::Served(Some(http)) = self {
            http.reload();
        }
    }

    /// Tries for the address, now and then, and returns when it is served; where it is, waits for ever. It may be dropped
    /// at any point: what is under way stays in `attempt`.
    pub(super) async fn come(&mut self, attempt: &mut Attempt) {
        let Self::Awaited(config, metrics) = self else { return std::future::pending().await };
        loop {
            let trying = match attempt {
                Some(trying) => trying,
                None => {
                    let config = config.clone();
                    attempt.insert(tokio::spawn(async move {
                        sleep(AGAIN).await;
                        tokio::task::spawn_blocking(move || Http::bind(&config)).await
                    }))
                }
            };
            let bound = trying.await;
            *attempt = None;
            let served = match bound {
                Ok(Ok(Ok(listeners))) => listeners.serve(metrics.clone()),
                Ok(Ok(Err(error))) => Err(std::io::Error::other(error)),
                Ok(Err(error)) | Err(error) => Err(std::io::Error::other(error)),
            };
            match served {
                Ok(http) => {
                    *self = Self::Served(http);
                    return;
                }
                Err(error) => tracing::debug!("HTTP is not served yet: {error}"),
            }
        }
    }
}
