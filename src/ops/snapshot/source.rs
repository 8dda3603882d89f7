//! Streams and commands: files at the top of the tree.

use crate::chunk::Chunker;
use crate::command::CommandEnd;
use crate::command::CommandError;
use crate::command::CommandReader;
use crate::command::ErrorOutput;
use crate::format::dump::StatedStream;
use crate::format::dump::TABLES_COUNT_MAX;
use crate::format::manifest::SourceCommand;
use crate::format::manifest::SourceKind;
use crate::format::pack::PackKind;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::format::tree::InodeNumber;
use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::format::tree::Timestamp;
use crate::format::tree::TreeEntry;
use crate::localfs::LocalError;
use crate::ops::commit::StoredTree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::beside::Beside;
use crate::ops::snapshot::delta::Before;
use crate::ops::snapshot::delta::kept::KeptStreams;
use crate::ops::snapshot::directory::DirectoryDump;
use crate::ops::snapshot::guard::Watch;
use crate::ops::snapshot::guard::compare;
use crate::ops::snapshot::guard::stated;
use crate::ops::snapshot::options::CommandOutput;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::Expected;
use crate::ops::snapshot::options::FilesSource;
use crate::ops::snapshot::options::Guards;
use crate::ops::snapshot::options::SeveralSource;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::options::StreamSource;
use crate::ops::snapshot::options::UnwrapMode;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::read::ReadError;
use crate::ops::snapshot::recipe::RecipeContent;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::stream::LongContent;
use crate::ops::snapshot::unwrap;
use crate::ops::snapshot::unwrap::Unwrapping;
use crate::ops::snapshot::workers::Workers;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::tree::builder::totals_of;
use crate::repo::write::ChunkStore;
use std::ffi::OsString;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;

/// What a source was, for the manifest.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) kind: SourceKind,
    pub(crate) profile: &'static str,
    pub(crate) paths: Vec<String>,
    pub(crate) command: Option<SourceCommand>,
    pub(crate) streams: Vec<StatedStream>,
}

impl Produced {
    /// Paths alone.
    pub(crate) fn files(paths: Vec<String>) -> Self {
        let (kind, profile) = (SourceKind::Files, FILES_PROFILE);
        Self { kind, profile, paths, command: None, streams: Vec::new() }
    }

    /// Streams, and maybe paths beside them.
    fn streams(kind: SourceKind, taken: &[Taken], paths: Vec<String>) -> Self {
        let profile = if paths.is_empty() { STREAM_PROFILE } else { FILES_PROFILE };
        let names = taken.iter().map(|taken| taken.stated.name.clone());
        let paths = names.chain(paths).collect();
        let is_one = matches!(kind, SourceKind::Stream | SourceKind::Command);
        let command = taken.first().filter(|_| is_one).and_then(|one| one.stated.command.clone());
        let streams: Vec<_> = taken.iter().map(|taken| taken.stated.clone()).collect();
        let says_more = !is_one || streams.iter().any(|stream| stream.dump.is_some());
        let streams = if says_more { streams } else { Vec::new() };
        Self { kind, profile, paths, command, streams }
    }
}

/// A stream that is stored.
#[derive(Debug)]
pub(crate) struct Taken {
    /// A file, or a directory of files.
    pub(crate) node: EntryKind,
    pub(crate) stated: StatedStream,
    /// What is wrong with the compressed stream that it was.
    pub(crate) damage: Option<&'static str>,
}

/// Stores streams and outputs of commands.
pub(crate) struct StreamRun<'a, 'scope> {
    pub(crate) store: &'a ChunkStore,
    pub(crate) workers: &'a Workers<'scope>,
    pub(crate) chunker: &'a Chunker,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) guards: &'a Guards,
    /// Whether compressed streams are stored plain.
    pub(crate) unwrap: UnwrapMode,
    /// What the snapshot before stated of its streams.
    pub(crate) before: &'a [StatedStream],
    /// That snapshot and a reader of it, if what its streams held may stand before deltas.
    pub(crate) older: Option<(&'a Parent, &'a ChunkReader)>,
    /// What this host keeps of streams, where its key cannot read that snapshot.
    pub(crate) kept: &'a KeptStreams,
}

impl<'a, 'scope> StreamRun<'a, 'scope> {
    /// Stores every stream of a source; returns the paths beside them, too.
    ///
    /// Errors: [`OpError::SourceCommand`] if a command failed, [`OpError::Guard`] if too little came;
    /// nothing may be committed then.
    pub(crate) fn run(
        &self,
        source: Source,
    ) -> Result<(Vec<Taken>, Produced, Option<FilesSource>), OpError> {
        let (taken, kind, files) = match source {
            Source::Stream(stream) => (self.stream(stream)?, SourceKind::Stream, None),
            Source::Command(command) => {
                (self.command(command, TABLES_COUNT_MAX)?, SourceKind::Command, None)
            }
            Source::Several(SeveralSource { commands, files, is_postgres }) => {
                let share = TABLES_COUNT_MAX / commands.len().max(1);
                let taken = commands.into_iter().map(|command| self.command(command, share));
                let taken = taken.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
                let kind = if is_postgres { SourceKind::Postgres } else { SourceKind::Several };
                (taken, kind, files)
            }
            Source::Files(files) => {
                return Ok((Vec::new(), Produced::files(files.path_words()), Some(files)));
            }
        };
        let paths = files.as_ref().map(FilesSource::path_words).unwrap_or_default();
        let produced = Produced::streams(kind, &taken, paths);
        unwrap::check_names(taken.iter().map(|taken| taken.stated.name.as_str()))?;
        compare(self.before, &produced.streams, self.guards)?;
        Ok((taken, produced, files))
    }

    fn stream(&self, stream: StreamSource) -> Result<Vec<Taken>, OpError> {
        let StreamSource { name, mut input, expected } = stream;
        let stored = self.store_input(name, &mut *input, TABLES_COUNT_MAX)?;
        self.taken(stored, &expected, None)
    }

    fn command(&self, source: CommandSource, tables_max: usize) -> Result<Vec<Taken>, OpError> {
        if let CommandOutput::Directory { reader, scratch } = &source.output {
            let dump = DirectoryDump { run: self, reader, scratch };
            return Ok(vec![dump.take(&source, tables_max)?]);
        }
        let CommandSource { name, argv, variables, expected, output: _ } = source;
        let program = argv.first().cloned().unwrap_or_default();
        let failed = |how: String| {
            let program = path_words(program.as_bytes());
            OpError::SourceCommand { how: format!("{program}, for {name}: {how}") }
        };
        let mut child = CommandReader::spawn_with(&argv, ErrorOutput::Inherit, &variables)
            .map_err(|error| failed(format!("{error}: {}", error.source)))?;
        let stored = self.store_input(name.clone(), &mut Output(&mut child), tables_max)?;
        let outcome =
            child.finish().map_err(|error| failed(format!("{error}: {}", error.source)))?;
        match outcome.end {
            CommandEnd::Exited(0) => {}
            CommandEnd::Exited(code) => return Err(failed(format!("it exited with code {code}"))),
            CommandEnd::Signalled(signal) => {
                return Err(failed(format!("signal {signal} ended it")));
            }
        }
        self.taken(stored, &expected, Some(stated_command(&argv)))
    }

    fn content(&self, name: &str) -> Result<LongContent<'a, 'scope>, OpError> {
        let before = match self.older.map(|(older, reader)| older.cursor(reader)) {
            Some(mut older) => Before::stored(older.predecessor(name.as_bytes())),
            None => self.kept.before(name, self.progress),
        };
        let env = (self.progress, self.pace);
        let content = LongContent::new(self.workers, self.store, env, before);
        content.during("cannot store the stream")
    }

    /// Stores an input as it is, or as its plain bytes and a recipe.
    fn store_input(
        &self,
        name: String,
        input: &mut dyn Read,
        tables_max: usize,
    ) -> Result<Stored, OpError> {
        let mut watch = Watch::new(tables_max);
        if self.unwrap == UnwrapMode::Off {
            let file = self.store_plain(&name, input, &mut watch)?;
            return Ok(Stored { name, file, watch, recipe: None, damage: None });
        }
        let input = match unwrap::begin(&name, input, self.progress)? {
            Unwrapping::AsItIs { mut input, damage } => {
                self.judge(&name, damage)?;
                let file = self.store_plain(&name, &mut input, &mut watch)?;
                return Ok(Stored { name, file, watch, recipe: None, damage });
            }
            Unwrapping::Wrapped(input) => input,
        };
        let (plain, recipe) = unwrap::names(&name);
        let (mut input, content) = (*input, self.content(&plain)?);
        let mut parts = RecipeContent::new(self.store, self.chunker);
        let mut read = |buffer: &mut [u8]| {
            let length = input.fill(buffer, &mut parts)?;
            watch.update(&buffer[..length]);
            Ok(length)
        };
        let file = take_all(content, self.chunker, &mut read)?;
        let damage = input.finish(file.size, &mut parts)?;
        self.judge(&name, damage)?;
        let recipe = Some((recipe, parts.finish()?));
        Ok(Stored { name: plain, file, watch, recipe, damage })
    }

    /// Errors: the stream is damaged, and only whole ones are wanted.
    fn judge(&self, name: &str, damage: Option<&'static str>) -> Result<(), OpError> {
        match damage {
            Some(what) if self.unwrap == UnwrapMode::OnIfWhole => {
                Err(OpError::SourceCommand { how: format!("{name}, compressed with gzip, {what}") })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn store_plain(
        &self,
        name: &str,
        input: &mut dyn Read,
        watch: &mut Watch,
    ) -> Result<FileEntry, OpError> {
        let mut read = |buffer: &mut [u8]| {
            let length = fill(input, buffer);
            let length = length.map_err(|error| LocalError::new(name.as_bytes(), "read", error))?;
            watch.update(&buffer[..length]);
            Ok(length)
        };
        take_all(self.content(name)?, self.chunker, &mut read)
    }

    fn taken(
        &self,
        stored: Stored,
        expected: &Expected,
        command: Option<SourceCommand>,
    ) -> Result<Vec<Taken>, OpError> {
        let Stored { name, file, watch, recipe, damage } = stored;
        let summary = watch.finish(&name, expected, self.guards, self.unwrap, self.progress)?;
        let dump = summary.map(|summary| stated(&self.store.repository, &summary)).transpose()?;
        let node = EntryKind::File(file);
        let mut taken = vec![Taken { node, stated: StatedStream { name, command, dump }, damage }];
        taken.extend(recipe.map(|(name, file)| {
            let stated = StatedStream { name, command: None, dump: None };
            Taken { node: EntryKind::File(file), stated, damage: None }
        }));
        Ok(taken)
    }
}

/// An input that is stored.
struct Stored {
    name: String,
    file: FileEntry,
    watch: Watch,
    /// Name and content of the recipe beside it.
    recipe: Option<(String, FileEntry)>,
    damage: Option<&'static str>,
}

/// The output of a command as a stream.
struct Output<'a>(&'a mut CommandReader);

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error: CommandError| error.source)
    }
}

/// What the manifest says of a command that succeeded.
pub(crate) fn stated_command(argv: &[OsString]) -> SourceCommand {
    let words = argv.iter().map(|word| path_words(word.as_bytes())).collect();
    SourceCommand { argv: redact(words), exit_status: 0 }
}

/// What the run did with these streams.
pub(crate) fn tally(taken: &[Taken], progress: &dyn Progress) -> Tally {
    let mut tally = Tally::default();
    let totals = || taken.iter().map(|taken| totals_of(&taken.node));
    tally.run.files_new = totals().map(|totals| totals.files).sum();
    tally.run.bytes_read = totals().map(|totals| totals.bytes).sum();
    for taken in taken {
        if let Some(what) = taken.damage {
            tally.damaged(&taken.stated.name, what, progress);
        }
    }
    tally
}

/// Reads all of a stream and stores it.
pub(crate) fn take_all(
    mut content: LongContent<'_, '_>,
    chunker: &Chunker,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, OpError>,
) -> Result<FileEntry, OpError> {
    let mut failed = None;
    let mut read = |buffer: &mut [u8]| {
        read(buffer).map_err(|error| {
            failed = Some(error);
            ReadError::Repo(RepoError::Interrupted)
        })
    };
    let ended = content.take_all(&mut read, chunker);
    if let Some(error) = failed {
        return Err(error);
    }
    match ended {
        Ok(()) => content.finish().during("cannot store the stream"),
        Err(ReadError::Local(error)) => Err(error.into()),
        Err(ReadError::Repo(error)) => Err(error).during("cannot store the stream"),
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match input.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The entries of streams at the top of a tree, sorted by name.
pub(crate) fn entries(store: &ChunkStore, taken: Vec<Taken>) -> Beside {
    let entry = |taken: Taken| entry_of(store, taken.stated.name.into_bytes(), taken.node);
    let mut entries: Vec<_> = taken.into_iter().map(entry).collect();
    entries.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    Beside(entries.into())
}

/// An entry for what came from no file that is backed up: it is this process's, and of now.
pub(crate) fn entry_of(store: &ChunkStore, name: Vec<u8>, node: EntryKind) -> (TreeEntry, Owner) {
    let (seconds, nanoseconds) = store.repository.environment.now();
    let now = Timestamp { seconds, nanoseconds };
    let is_directory = matches!(node, EntryKind::Directory(_));
    let metadata = Metadata {
        mode: if is_directory { DIRECTORY_MODE } else { STREAM_MODE },
        owner: 0,
        modified: now,
        changed: now,
        born: None,
        inode: InodeNumber { device: 0, inode: 0 },
        links: 1,
        flags: 0,
        xattrs: Vec::new(),
    };
    let owner = Owner {
        user_id: rustix::process::geteuid().as_raw(),
        group_id: rustix::process::getegid().as_raw(),
        user_name: Vec::new(),
        group_name: Vec::new(),
    };
    (TreeEntry { name, node, metadata }, owner)
}

/// A tree of streams alone.
pub(crate) fn store_alone(store: &ChunkStore, taken: Vec<Taken>) -> Result<StoredTree, OpError> {
    let what = "cannot build the tree";
    let mut writer = store.writer(PackKind::Tree).during(what)?;
    let mut builder = DirectoryBuilder::default();
    for (entry, owner) in entries(store, taken).0 {
        builder.push(&mut writer, entry, &owner).during(what)?;
    }
    let (node, height, totals) = builder.finish_root(&mut writer).during(what)?;
    writer.flush().during(what)?;
    Ok(StoredTree { node, height, totals })
}

/// Replaces what looks like a secret in a command line.
fn redact(words: Vec<String>) -> Vec<String> {
    let mut hide_next = false;
    let hide = |word: String| {
        let lower = word.to_lowercase();
        let names_secret = SECRET_WORDS.iter().any(|secret| lower.contains(secret));
        let was_named = std::mem::replace(&mut hide_next, names_secret && !lower.contains('='));
        if was_named && !word.starts_with('-') {
            return "***".to_owned();
        }
        match word.split_once('=') {
            Some((name, _value)) if names_secret => format!("{name}=***"),
            _ => redact_url(word),
        }
    };
    words.into_iter().map(hide).collect()
}

/// `scheme://user:secret@host` without the secret.
fn redact_url(word: String) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user_info, _host)) = authority.rsplit_once('@') else { return word };
    let Some((user, secret)) = user_info.split_once(':') else { return word };
    let hidden = rest.replacen(&format!("{user}:{secret}@"), &format!("{user}:***@"), 1);
    format!("{scheme}://{hidden}")
}

/// Profiles of the chunker, by what is cut.
pub(crate) const FILES_PROFILE: &str = "default";
pub(crate) const STREAM_PROFILE: &str = "stream";
/// Streams are nobody else's business.
const STREAM_MODE: u16 = 0o600;
const DIRECTORY_MODE: u16 = 0o700;
const SECRET_WORDS: [&str; 6] =
    ["password", "passwd", "secret", "token", "api-key", "restrict-key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_command_lines_are_hidden() {
        let words = ["dump", "--password", "x", "--token=y", "postgres://u:p@h/db", "plain"];
        let hidden = redact(words.iter().map(|word| (*word).to_owned()).collect());
        let expected =
            ["dump", "--password", "***", "--token=***", "postgres://u:***@h/db", "plain"];
        assert_eq!(hidden, expected);
    }
}
