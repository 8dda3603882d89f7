//! What this host remembers of runs, and the locks that keep two runs of one job apart.

use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::repo::state::replace_durably;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// What is remembered of the last run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastRun {
    /// When it began, in seconds since 1970.
    pub(crate) started: i64,
    /// When it ended.
    pub(crate) ended: i64,
    /// How it ended; `None` if a signal ended it.
    pub(crate) exit_code: u8,
    /// The snapshot that it made.
    pub(crate) snapshot: Option<String>,
    /// When one last ended with 0.
    pub(crate) succeeded: Option<i64>,
}

/// A job or a task, which one process at a time runs.
#[derive(Debug)]
pub(crate) struct Running {
    place: PathBuf,
    _lock: File,
}

/// Why a run does not begin.
#[derive(Debug)]
pub(crate) enum Busy {
    /// Another process runs it.
    Other,
    /// There is no place to remember it.
    Failed(Box<Failure>),
}

impl Running {
    /// Begins a run of what `folder` holds under `name`.
    pub(crate) fn begin(location: Option<&str>, folder: &str, name: &str) -> Result<Self, Busy> {
        let folder =
            folder_of(location, folder).map_err(|failure| Busy::Failed(Box::new(failure)))?;
        let wrong =
            |path: &PathBuf, source| Busy::Failed(Box::new(Failure::local("write", path, source)));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| wrong(&folder, source))?;
        let path = folder.join(format!("{name}.lock"));
        let opened =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.map_err(|source| wrong(&path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { place: folder.join(format!("{name}.json")), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Busy::Other),
            Err(TryLockError::Error(source)) => Err(wrong(&path, source)),
        }
    }

    /// Remembers how it ended.
    pub(crate) fn end(&self, run: &LastRun) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(run).unwrap_or_default();
        replace_durably(&self.place, &bytes)?;
        Ok(())
    }
}

/// The last run that is remembered; one that cannot be read is forgotten.
pub(crate) fn last(location: Option<&str>, folder: &str, name: &str) -> Option<LastRun> {
    let path = folder_of(location, folder).ok()?.join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Where this host remembers what it does with one repository: jobs of another may have the same names.
pub(crate) fn place(location: Option<&str>) -> Option<PathBuf> {
    let state = environment::state_directory()?;
    Some(location.map_or_else(
        || state.clone(),
        |location| state.join("by-location").join(word_of(location)),
    ))
}

/// A name for a location: readable, and with a sum of what is not.
fn word_of(location: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let readable: String = location.chars().map(plain).take(WORD_LETTERS_MAX).collect();
    // FNV-1a: names that differ rarely meet, and nobody gains anything by it.
    let sum = location.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{readable}-{sum:016x}")
}

/// What was remembered under a name; what cannot be read is forgotten.
pub(crate) fn recall<T: DeserializeOwned>(location: Option<&str>, name: &str) -> Option<T> {
    let path = folder_of(location, RECORDS).ok()?.join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Remembers something under a name.
pub(crate) fn remember<T: Serialize>(
    location: Option<&str>,
    name: &str,
    what: &T,
) -> Result<(), Failure> {
    let folder = folder_of(location, RECORDS)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| Failure::local("write", &folder, source))?;
    let bytes = serde_json::to_vec(what).unwrap_or_default();
    replace_durably(&folder.join(format!("{name}.json")), &bytes)?;
    Ok(())
}

fn folder_of(location: Option<&str>, name: &str) -> Result<PathBuf, Failure> {
    let state = place(location).ok_or_else(|| {
        let source = io::Error::other("neither HOME nor SBF_REPO_STATE_DIR is set");
        Failure::local("find", &PathBuf::from("the state directory"), source)
    })?;
    Ok(state.join(name))
}

/// Of a location in the name of a directory.
const WORD_LETTERS_MAX: usize = 80;
/// Where runs of jobs are remembered.
pub(crate) const JOBS: &str = "jobs";
/// Where those of tasks are.
pub(crate) const TASKS: &str = "tasks";
/// Where it is remembered what was recorded last.
const RECORDS: &str = "recorded";
