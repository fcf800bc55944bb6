//! The command line: one file per command.

use std::path::PathBuf;

pub mod events;
pub mod history;
pub mod prune;
pub mod simulate;
pub mod table;
pub mod when;

/// What every command starts from: where things are. Opens nothing.
#[derive(Clone, Debug)]
pub struct Context {
    /// The configuration file, whether it exists or not.
    pub config_file: PathBuf,
    /// The data directory, whether it exists or not.
    pub data_dir: PathBuf,
}
