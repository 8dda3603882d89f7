//! What to back up, and how.

use crate::format::dump::STREAMS_COUNT_MAX;
use crate::format::outcome::SOURCE_BYTES_MAX;
use crate::localfs::walk::Matcher;
use crate::localfs::walk::WalkOptions;
use crate::ops::error::OpError;
use crate::ops::words::path_words;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Component;
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
    /// What a dump must be like to be committed.
    pub guards: Guards,
    /// Seconds after which a long run commits a checkpoint of what it has uploaded.
    pub checkpoint_seconds: i64,
    /// Whether what is new is stored as the difference to an older version.
    pub delta: DeltaMode,
    /// Whether a host whose key reads no contents keeps dumps for deltas.
    pub delta_cache: DeltaCache,
    /// Whether streams of gzip are stored as their plain bytes and a recipe.
    pub unwrap: UnwrapMode,
}

/// Whether streams of gzip are stored as their plain bytes and a recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnwrapMode {
    /// They are stored as they are.
    #[default]
    Off,
    /// They are; the snapshot of one that is damaged is incomplete.
    On,
    /// They are, and there is no snapshot of one that is damaged.
    OnIfWhole,
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

/// Whether a host whose key reads no contents keeps the last version of each dump, without which nothing becomes a
/// delta there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaCache {
    /// It does not, and cannot read what it stored.
    #[default]
    Off,
    /// It does, sealed with a key of its own: this host can read the last version then.
    Host,
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
            guards: Guards::default(),
            checkpoint_seconds: CHECKPOINT_SECONDS,
            delta: DeltaMode::default(),
            delta_cache: DeltaCache::Off,
            unwrap: UnwrapMode::Off,
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
        if self.unwrap != UnwrapMode::Off && source.files().is_some() {
            return usage("only streams can be unwrapped, and no paths".to_owned());
        }
        match source {
            Source::Files(files) => files.check(),
            Source::Stream(stream) => check_name(&stream.name),
            Source::Command(command) => command.check(),
            Source::Several(several) => several.check(),
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
    /// Outputs of commands, and maybe paths, as one snapshot.
    Several(SeveralSource),
}

impl Source {
    /// The same source, if it can be read once more.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Files(files) => Some(Self::Files(files.clone())),
            Self::Command(command) => Some(Self::Command(command.clone())),
            Self::Several(several) => Some(Self::Several(several.clone())),
            Self::Stream(_) => None,
        }
    }

    /// The paths of it, if it has some.
    pub(crate) fn files(&self) -> Option<&FilesSource> {
        match self {
            Self::Files(files) => Some(files),
            Self::Several(several) => several.files.as_ref(),
            Self::Stream(_) | Self::Command(_) => None,
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
    /// What it must be like.
    pub expected: Expected,
}

impl StreamSource {
    /// Everything that `input` gives, under this name.
    pub fn new(name: String, input: Box<dyn Read + Send>) -> Self {
        Self { name, input, expected: Expected::Any }
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
    /// Variables that its environment has beside this process's.
    pub variables: Vec<(OsString, OsString)>,
    /// What its output must be like.
    pub expected: Expected,
    /// Where its output is.
    pub output: CommandOutput,
}

/// Where a command's output is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandOutput {
    /// It prints it.
    #[default]
    Printed,
    /// It is `pg_dump --format=directory` and makes a directory, which becomes one of the snapshot.
    Directory {
        /// The `pg_restore` that reads it.
        reader: OsString,
        /// In which directory there is room for it.
        scratch: PathBuf,
    },
}

/// What a stream must be like, beside what it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// A dump that is known by its first lines must be whole.
    #[default]
    Any,
    /// Its last line begins so.
    Trailer(String),
    /// It is a dump of `PostgreSQL` in SQL.
    PostgresDump,
}

impl CommandSource {
    /// The output of `argv`, under this name.
    pub fn new(name: String, argv: Vec<OsString>) -> Self {
        let (variables, expected) = (Vec::new(), Expected::Any);
        Self { name, argv, variables, expected, output: CommandOutput::Printed }
    }

    fn check(&self) -> Result<(), OpError> {
        if self.argv.is_empty() {
            return Err(OpError::Usage { why: "there is no command to run".to_owned() });
        }
        check_name(&self.name)
    }
}

/// Outputs of commands, and maybe paths beside them, which become one snapshot or none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SeveralSource {
    /// The commands, run one after the other before the paths are read.
    pub commands: Vec<CommandSource>,
    /// Paths beside them.
    pub files: Option<FilesSource>,
    /// Whether the commands dump databases of one server of `PostgreSQL`, and nothing is beside.
    pub is_postgres: bool,
}

impl SeveralSource {
    /// The output of each of these commands.
    pub fn new(commands: Vec<CommandSource>) -> Self {
        Self { commands, files: None, is_postgres: false }
    }

    fn check(&self) -> Result<(), OpError> {
        let usage = |why: String| Err(OpError::Usage { why });
        if self.commands.is_empty() || self.commands.len() > STREAMS_COUNT_MAX {
            return usage(format!("a snapshot has 1 to {STREAMS_COUNT_MAX} streams"));
        }
        let mut names = BTreeSet::new();
        for command in &self.commands {
            command.check()?;
            if !names.insert(command.name.as_bytes()) {
                return usage(format!("two streams have the name `{}`", command.name));
            }
        }
        let Some(files) = &self.files else { return Ok(()) };
        for path in &files.paths {
            let top = path.components().find_map(|part| match part {
                Component::Normal(name) => Some(name.as_bytes()),
                Component::Prefix(_)
                | Component::RootDir
                | Component::CurDir
                | Component::ParentDir => None,
            });
            let clash = match top {
                Some(top) => names.contains(top),
                // All of the root: any name may be in it.
                None => std::fs::read_dir(path).is_ok_and(|entries| {
                    entries.flatten().any(|entry| names.contains(entry.file_name().as_bytes()))
                }),
            };
            if clash {
                let path = path.display();
                return usage(format!("a stream has the name that `{path}` begins with"));
            }
        }
        files.check()
    }
}

/// What a dump must be like to be committed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Guards {
    /// Whether dumps must end as whole ones do.
    pub whole: bool,
    /// Whether they are compared with those of the snapshot before.
    pub compared: bool,
    /// How much of a table's rows may be gone since the snapshot before, in percent.
    pub row_drop_percent: u8,
    /// Tables that may be gone, as SQL writes their names, schema first.
    pub dropped_tables: Vec<String>,
}

impl Default for Guards {
    /// Dumps are whole, at most half of a table's rows are gone, and no table.
    fn default() -> Self {
        Self { whole: true, compared: true, row_drop_percent: 50, dropped_tables: Vec::new() }
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
