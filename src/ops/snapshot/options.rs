//! What to back up, and how.

use crate::format::outcome::SOURCE_BYTES_MAX;
use crate::localfs::walk::Matcher;
use crate::localfs::walk::WalkOptions;
use crate::ops::error::OpError;
use crate::ops::words::path_words;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// What a snapshot says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// The name that retention groups by.
    pub source: String,
    /// The host's name.
    pub host: String,
    /// Words for finding it again.
    pub tags: Vec<String>,
    /// The time of the data in RFC 3339, if it is not the start.
    pub time: Option<String>,
    /// The user who called `sudo`.
    pub sudo_user: Option<String>,
    /// Threads that read and compress.
    pub threads: usize,
    /// Seconds after which a long run commits a checkpoint of what it has uploaded.
    pub checkpoint_seconds: i64,
    /// Whether what is new is stored as the difference to an older version.
    pub delta: DeltaMode,
}

/// Whether new chunks are compressed after those that stood in their place in the snapshot before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaMode {
    /// Where the older version can be read without a request over a network.
    #[default]
    Auto,
    /// Wherever there is an older version.
    On,
    /// Nowhere.
    Off,
}

impl SnapshotOptions {
    /// A snapshot of this source, with as many threads as the machine has processors.
    pub fn new(source: String, host: String) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            source,
            host,
            tags: Vec::new(),
            time: None,
            sudo_user: None,
            threads,
            checkpoint_seconds: CHECKPOINT_SECONDS,
            delta: DeltaMode::default(),
        }
    }

    pub(crate) fn check(&self, source: &Source) -> Result<(), OpError> {
        let usage = |why: String| Err(OpError::Usage { why });
        if !is_source_name(&self.source) {
            let name = path_words(self.source.as_bytes());
            return usage(format!(
                "`{name}` cannot be the name of a source: 1 to {SOURCE_BYTES_MAX} bytes, without \
                 `@` and control characters"
            ));
        }
        if let Some(time) = &self.time
            && crate::ops::words::parse_time(time).is_none()
        {
            return usage(format!("`{time}` is no time like 2026-10-14T02:00:00Z"));
        }
        match source {
            Source::Files(files) => files.check(),
            Source::Stream(stream) => check_name(&stream.name),
            Source::Command(command) => {
                if command.argv.is_empty() {
                    return usage("there is no command to run".to_owned());
                }
                check_name(&command.name)
            }
        }
    }
}

/// Whether a source may have this name.
pub(crate) fn is_source_name(name: &str) -> bool {
    (1..=SOURCE_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|letter| letter == '@' || letter.is_control())
}

/// What is backed up.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// Paths of the file system.
    Files(FilesSource),
    /// A stream.
    Stream(StreamSource),
    /// A command's output.
    Command(CommandSource),
}

impl Source {
    /// The same source, if it can be read once more.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Files(files) => Some(Self::Files(files.clone())),
            Self::Command(command) => Some(Self::Command(command.clone())),
            Self::Stream(_) => None,
        }
    }

    /// The chunker profile that fits.
    pub(crate) fn profile(&self) -> &'static str {
        match self {
            Self::Files(_) => "default",
            Self::Stream(_) | Self::Command(_) => "stream",
        }
    }
}

/// Says of an absolute path, and whether it is a directory, that it is not wanted.
pub type Exclude = Arc<dyn Fn(&Path, bool) -> bool + Send + Sync>;

/// Paths of the file system.
#[derive(Clone)]
#[non_exhaustive]
pub struct FilesSource {
    /// Absolute paths.
    pub paths: Vec<PathBuf>,
    /// What to leave out.
    pub exclude: Option<Exclude>,
    /// Directories that hold a file of one of these names are stored empty but for that file.
    pub exclude_if_present: Vec<OsString>,
    /// The same for `CACHEDIR.TAG` with its signature.
    pub exclude_caches: bool,
    /// Whether to stay on the file systems of the paths.
    pub one_file_system: bool,
}

impl FilesSource {
    /// Everything below these paths.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            exclude: None,
            exclude_if_present: Vec::new(),
            exclude_caches: false,
            one_file_system: false,
        }
    }

    fn check(&self) -> Result<(), OpError> {
        if self.paths.is_empty() {
            return Err(OpError::Usage { why: "there is nothing to back up".to_owned() });
        }
        for path in &self.paths {
            if !path.is_absolute() {
                return Err(OpError::Usage {
                    why: format!("`{}` is no absolute path", path.display()),
                });
            }
            // A source that is not there is an error, never a snapshot without it.
            std::fs::symlink_metadata(path).map_err(|source| OpError::Local {
                call: "find",
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    pub(crate) fn path_words(&self) -> Vec<String> {
        self.paths.iter().map(|path| path_words(path.as_os_str().as_bytes())).collect()
    }

    pub(crate) fn into_walk(self, threads: usize) -> WalkOptions {
        let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        let mut walk = WalkOptions::new(self.paths.iter().map(bytes).collect());
        walk.one_file_system = self.one_file_system;
        walk.exclude = self.exclude.map(|exclude| -> Matcher { exclude });
        let names = self.exclude_if_present.iter();
        walk.exclude_if_present = names.map(|name| name.as_bytes().to_vec()).collect();
        walk.exclude_caches = self.exclude_caches;
        walk.threads = threads;
        walk
    }
}

impl fmt::Debug for FilesSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FilesSource").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// A stream that becomes one file.
#[non_exhaustive]
pub struct StreamSource {
    /// The file's name in the snapshot.
    pub name: String,
    /// Where it comes from.
    pub input: Box<dyn Read + Send>,
}

impl StreamSource {
    /// Everything that `input` gives, under this name.
    pub fn new(name: String, input: Box<dyn Read + Send>) -> Self {
        Self { name, input }
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StreamSource({})", self.name)
    }
}

/// A command whose output becomes one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CommandSource {
    /// The file's name in the snapshot.
    pub name: String,
    /// The program and its arguments; no shell.
    pub argv: Vec<OsString>,
}

impl CommandSource {
    /// The output of `argv`, under this name.
    pub fn new(name: String, argv: Vec<OsString>) -> Self {
        Self { name, argv }
    }
}

fn check_name(name: &str) -> Result<(), OpError> {
    if crate::format::tree::is_valid_name(name.as_bytes()) {
        return Ok(());
    }
    Err(OpError::Usage { why: format!("`{name}` cannot be the name of a file") })
}

/// A crash loses at most this much of an upload, and a session is seldom open for longer.
pub(crate) const CHECKPOINT_SECONDS: i64 = 25 * 60;
