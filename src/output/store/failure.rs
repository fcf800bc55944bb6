//! What the writer could not do, whether its connection is any good after it, and what to do about it.

use rusqlite::ErrorCode;

use super::schema::OpenError;

/// What a step could not do now.
#[derive(Debug)]
pub(super) enum Failure {
    /// The data directory is not this daemon's any more.
    Lost,
    Open(OpenError),
    Sqlite(rusqlite::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost => f.write_str("the data directory was deleted or replaced"),
            Self::Open(error) => error.fmt(f),
            Self::Sqlite(error) => error.fmt(f),
        }
    }
}

impl Failure {
    pub(super) fn sqlite(&self) -> Option<&rusqlite::Error> {
        match self {
            Self::Open(OpenError::Sqlite(error)) | Self::Sqlite(error) => Some(error),
            Self::Lost | Self::Open(OpenError::Io { .. }) => None,
        }
    }

    /// Whether the connection may be used again. After an I/O error, or once the file can't be written, only
    /// a new one sees that the disk is well again.
    pub(super) fn spares_the_connection(&self) -> bool {
        matches!(
            self.sqlite().and_then(rusqlite::Error::sqlite_error_code),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        )
    }

    /// What to do about it, for the log.
    pub(super) fn hint(&self) -> &'static str {
        if let Self::Lost = self {
            return "it is made anew, unless another daemon has taken it";
        }
        match self.sqlite().and_then(rusqlite::Error::sqlite_error_code) {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another program holds it: close that"
            }
            Some(ErrorCode::DiskFull) => "free space on its disk",
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                "make the data directory writable for this user"
            }
            _ => "check the disk",
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
