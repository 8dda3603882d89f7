//! Streams and commands: one file at the top of the tree.

use crate::chunk::Chunker;
use crate::command::CommandEnd;
use crate::command::CommandReader;
use crate::command::ErrorOutput;
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
use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::Source;
use crate::ops::snapshot::options::StreamSource;
use crate::ops::snapshot::pace::Pace;
use crate::ops::snapshot::read::ReadError;
use crate::ops::snapshot::report::Tally;
use crate::ops::snapshot::stream::LongContent;
use crate::ops::snapshot::workers::Workers;
use crate::ops::words::path_words;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::write::ChunkStore;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;

/// What a source was, for the manifest.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) kind: SourceKind,
    pub(crate) paths: Vec<String>,
    pub(crate) command: Option<SourceCommand>,
}

impl Produced {
    /// A source without a command.
    pub(crate) fn new(kind: SourceKind, paths: Vec<String>) -> Self {
        Self { kind, paths, command: None }
    }
}

/// Stores a stream or a command's output.
///
/// Errors: [`OpError::SourceCommand`] if the command failed; nothing may be committed then.
pub(crate) fn produce<'a>(
    store: &'a ChunkStore,
    workers: &'a Workers<'_>,
    chunker: &Chunker,
    source: Source,
    env: (&'a dyn Progress, &'a Pace<'a>),
    find_predecessor: &mut dyn FnMut(&str) -> Option<Predecessor<'a>>,
) -> Result<(StoredTree, Tally, Produced), OpError> {
    let mut content = |name: &str| {
        let content = LongContent::new(workers, store, env, find_predecessor(name));
        content.during("cannot store the stream")
    };
    let (name, file, produced) = match source {
        Source::Stream(StreamSource { name, mut input }) => {
            let mut read = |buffer: &mut [u8]| {
                let wrong = |source| LocalError::new(name.as_bytes(), "read", source);
                fill(&mut *input, buffer).map_err(wrong)
            };
            let file = take_all(content(&name)?, chunker, &mut read)?;
            let produced = Produced::new(SourceKind::Stream, vec![name.clone()]);
            (name, file, produced)
        }
        Source::Command(command) => {
            let name = command.name.clone();
            let (file, produced) = run_command(content(&name)?, chunker, command)?;
            (name, file, produced)
        }
        Source::Files(_) => {
            return Err(OpError::Refused { why: "files are no stream".to_owned() });
        }
    };
    let mut tally = Tally::default();
    tally.run.files_new = 1;
    tally.run.bytes_read = file.size;
    let tree = store_alone(store, name, file)?;
    Ok((tree, tally, produced))
}

fn run_command(
    content: LongContent<'_, '_>,
    chunker: &Chunker,
    source: CommandSource,
) -> Result<(FileEntry, Produced), OpError> {
    let CommandSource { name, argv } = source;
    let failed = |how: String| OpError::SourceCommand { how };
    let mut child = CommandReader::spawn(&argv, ErrorOutput::Inherit)
        .map_err(|error| failed(format!("{error}: {}", error.source)))?;
    let mut read = |buffer: &mut [u8]| {
        child.read(buffer).map_err(|error| LocalError::new(name.as_bytes(), "read", error.source))
    };
    let file = take_all(content, chunker, &mut read)?;
    let outcome = child.finish().map_err(|error| failed(format!("{error}: {}", error.source)))?;
    match outcome.end {
        CommandEnd::Exited(0) => {}
        CommandEnd::Exited(code) => return Err(failed(format!("it exited with code {code}"))),
        CommandEnd::Signalled(signal) => {
            return Err(failed(format!("signal {signal} ended it")));
        }
    }
    let words = argv.iter().map(|word| path_words(word.as_bytes())).collect();
    let command = Some(SourceCommand { argv: redact(words), exit_status: 0 });
    Ok((file, Produced { kind: SourceKind::Command, paths: vec![name], command }))
}

fn take_all(
    mut content: LongContent<'_, '_>,
    chunker: &Chunker,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, LocalError>,
) -> Result<FileEntry, OpError> {
    let mut read = |buffer: &mut [u8]| read(buffer).map_err(ReadError::Local);
    match content.take_all(&mut read, chunker) {
        Ok(()) => content.finish().during("cannot store the stream"),
        Err(ReadError::Local(error)) => Err(error.into()),
        Err(ReadError::Repo(error)) => Err(error).during("cannot store the stream"),
    }
}

fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
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

fn store_alone(store: &ChunkStore, name: String, file: FileEntry) -> Result<StoredTree, OpError> {
    let what = "cannot build the tree";
    let mut writer = store.writer(PackKind::Tree).during(what)?;
    let (seconds, nanoseconds) = store.repository.environment.now();
    let now = Timestamp { seconds, nanoseconds };
    let metadata = Metadata {
        mode: STREAM_MODE,
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
    let entry = TreeEntry { name: name.into_bytes(), node: EntryKind::File(file), metadata };
    let mut builder = DirectoryBuilder::default();
    builder.push(&mut writer, entry, &owner).during(what)?;
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

/// Streams are nobody else's business.
const STREAM_MODE: u16 = 0o600;
const SECRET_WORDS: [&str; 5] = ["password", "passwd", "secret", "token", "api-key"];

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
