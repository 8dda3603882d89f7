//! Dumps of `PostgreSQL` that are directories: made by several processes in a scratch directory, looked at
//! as SQL, and stored as a directory at the top of the tree.

use crate::command::CommandEnd;
use crate::command::CommandReader;
use crate::command::CommandRun;
use crate::command::ErrorOutput;
use crate::format::dump::DumpForm;
use crate::format::dump::StatedDump;
use crate::format::dump::StatedStream;
use crate::format::pack::PackKind;
use crate::format::tree::DirectoryEntry;
use crate::format::tree::EntryKind;
use crate::format::tree::FileEntry;
use crate::localfs::LocalError;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::snapshot::delta::Before;
use crate::ops::snapshot::guard::stated;
use crate::ops::snapshot::older_directory::OlderDirectory;
use crate::ops::snapshot::older_directory::Tables;
use crate::ops::snapshot::older_directory::number_of;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::parent::DELTA_BYTES_MIN;
use crate::ops::snapshot::scratch::Scratch;
use crate::ops::snapshot::source::StreamRun;
use crate::ops::snapshot::source::Taken;
use crate::ops::snapshot::source::entry_of;
use crate::ops::snapshot::source::fill;
use crate::ops::snapshot::source::stated_command;
use crate::ops::snapshot::source::take_all;
use crate::ops::snapshot::stream::LongContent;
use crate::ops::words::path_words;
use crate::pgdump::DumpParser;
use crate::pgdump::DumpSummary;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::units::human_bytes;
use crate::units::to_u64;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Dumps one database into a directory.
pub(crate) struct DirectoryDump<'a, 'b, 'scope> {
    pub(crate) run: &'b StreamRun<'a, 'scope>,
    /// The `pg_restore` that reads it.
    pub(crate) reader: &'b OsStr,
    /// Where there is room for it.
    pub(crate) scratch: &'b Path,
}

impl DirectoryDump<'_, '_, '_> {
    /// Dumps, looks at what was dumped, and stores it. The scratch directory is gone afterwards.
    ///
    /// Errors: [`OpError::SourceCommand`] if a program failed, or what it made is not whole.
    pub(crate) fn take(&self, source: &CommandSource, tables_max: usize) -> Result<Taken, OpError> {
        let progress = self.run.progress;
        let scratch = Scratch::make(self.scratch)?;
        progress.begin("dumping", 0, 0);
        let folder = scratch.path().join("dump");
        let mut argv = source.argv.clone();
        argv.extend(["--file".into(), folder.clone().into()]);
        self.dump(source, &argv, &scratch)?;
        progress.begin("looking at the dump", 0, 0);
        let rows_of = self.tables_listed(&source.name, &folder)?;
        if self.run.guards.whole {
            rows_of.keys().try_for_each(|number| check_end(&source.name, &folder, *number))?;
        }
        let summary = self.summary(&source.name, &folder, rows_of.len(), tables_max)?;
        progress.begin("backing up", 0, 0);
        let node = EntryKind::Directory(self.store(&source.name, &scratch, &folder, &rows_of)?);
        if let Err(error) = scratch.remove() {
            progress.warn(&format!("the dump stays in the scratch directory: {error}"));
        }
        let stated = stated(&self.run.store.repository, &summary)?;
        let dump = Some(StatedDump { form: DumpForm::PostgresqlDirectory, ..stated });
        let (name, command) = (source.name.clone(), Some(stated_command(&argv)));
        Ok(Taken { node, stated: StatedStream { name, command, dump }, damage: None })
    }

    fn dump(
        &self,
        source: &CommandSource,
        argv: &[OsString],
        scratch: &Scratch,
    ) -> Result<(), OpError> {
        let progress = self.run.progress;
        let program = argv.first().map(|program| path_words(program.as_bytes()));
        let failed = |how: String| {
            let (program, name) = (program.as_deref().unwrap_or_default(), &source.name);
            Err(OpError::SourceCommand { how: format!("{program}, for {name}: {how}") })
        };
        let run = CommandRun::spawn(argv, &source.variables)
            .and_then(|run| run.wait(&|| progress.is_cancelled()));
        let outcome = match run {
            Ok(outcome) => outcome,
            Err(error) => return failed(format!("{error}: {}", error.source)),
        };
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let words = String::from_utf8_lossy(&outcome.stderr).trim().replace('\n', "; ");
        let how = match outcome.end {
            CommandEnd::Exited(0) => {
                if !words.is_empty() {
                    progress.warn(&words);
                }
                return Ok(());
            }
            CommandEnd::Exited(code) => format!("it exited with code {code}"),
            CommandEnd::Signalled(signal) => format!("signal {signal} ended it"),
        };
        let free = scratch.free_bytes();
        if words.contains(FULL) || free.is_some_and(|free| free < FREE_BYTES_MIN) {
            let free = free.map(|free| format!(", {} are free", human_bytes(free)));
            return failed(format!(
                "there is no room for the dump in `{}`{}: name a directory with more by `--pg-scratch DIRECTORY`, or \
                 dump without one, by `--pg-format plain` ({how})",
                self.scratch.display(),
                free.unwrap_or_default(),
            ));
        }
        failed(if words.is_empty() { how } else { format!("{how}: {words}") })
    }

    /// The files of rows that the dump's table of contents names.
    fn tables_listed(&self, name: &str, folder: &Path) -> Result<Tables, OpError> {
        let mut tables = Tables::new();
        let mut open = Vec::new();
        self.read(name, &["--list".into(), folder.into()], &mut |bytes| {
            open.extend_from_slice(bytes);
            let whole = open.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            tables.extend(open[..whole].split(|byte| *byte == b'\n').filter_map(table_listed));
            open.drain(..whole);
        })?;
        Ok(tables)
    }

    /// What the dump says as SQL, which is what the same database says in a dump in SQL.
    fn summary(
        &self,
        name: &str,
        folder: &Path,
        tables_count: usize,
        tables_max: usize,
    ) -> Result<DumpSummary, OpError> {
        let mut parser = DumpParser::new(tables_max);
        let arguments = ["--file=-".into(), folder.into()];
        self.read(name, &arguments, &mut |bytes| parser.update(bytes))?;
        let Some(summary) = parser.finish() else {
            return Err(cut_off(name, "`pg_restore` makes no dump of it"));
        };
        if !self.run.guards.whole {
            return Ok(summary);
        }
        if !summary.is_complete {
            return Err(cut_off(name, "what `pg_restore` makes of it does not end as a dump"));
        }
        if summary.tables_count != to_u64(tables_count) {
            let found = summary.tables_count;
            let why =
                format!("it lists the rows of {tables_count} tables and has those of {found}");
            return Err(cut_off(name, &why));
        }
        Ok(summary)
    }

    /// Gives what `pg_restore` prints.
    fn read(
        &self,
        name: &str,
        arguments: &[OsString],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), OpError> {
        let failed = |how: String| OpError::SourceCommand {
            how: format!("pg_restore, which read the dump of {name}: {how}"),
        };
        let argv = [&[self.reader.to_owned()], arguments].concat();
        let child = CommandReader::spawn_with(&argv, ErrorOutput::Capture, &[]);
        let mut child = child.map_err(|error| failed(format!("{error}: {}", error.source)))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            if self.run.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            let length = child.read(&mut buffer);
            let length = length.map_err(|error| failed(format!("{error}: {}", error.source)))?;
            take(&buffer[..length]);
            if length < buffer.len() {
                break;
            }
        }
        let outcome = child.finish();
        let outcome = outcome.map_err(|error| failed(format!("{error}: {}", error.source)))?;
        if outcome.end.is_success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&outcome.stderr).trim().replace('\n', "; ")))
    }

    fn store(
        &self,
        name: &str,
        scratch: &Scratch,
        folder: &Path,
        tables: &Tables,
    ) -> Result<DirectoryEntry, OpError> {
        let run = self.run;
        let what = "cannot store the dump";
        let files = names_in(folder)?;
        let mut stood_there = run.older.map_or_else(HashMap::new, |older| {
            let older = OlderDirectory::new(older, name.as_bytes());
            let listed = scratch.path().join("older");
            // Without it, files of the same name are compared, which costs room and nothing else.
            let before = older
                .write_contents(&listed)
                .then(|| self.tables_listed(name, &listed).ok())
                .flatten();
            older.predecessors(&files, before.as_ref(), tables)
        });
        let mut writer = run.store.writer(PackKind::Tree).during(what)?;
        let mut builder = DirectoryBuilder::default();
        for file in files {
            let env = (run.progress, run.pace);
            let path = folder.join(&file);
            let before = match stood_there.remove(&file) {
                None if is_large(&path) => {
                    let kept_as = kept_name(name, &file, tables);
                    run.kept.before(&kept_as, run.progress)
                }
                predecessor => Before::stored(predecessor),
            };
            let content = LongContent::new(run.workers, run.store, env, before);
            let content = self.store_file(content.during(what)?, &path)?;
            run.progress.advance(1, 0);
            let name = file.as_bytes().to_vec();
            let (entry, owner) = entry_of(run.store, name, EntryKind::File(content));
            builder.push(&mut writer, entry, &owner).during(what)?;
        }
        let directory = builder.finish(&mut writer).during(what)?;
        writer.flush().during(what)?;
        Ok(directory)
    }

    fn store_file(
        &self,
        content: LongContent<'_, '_>,
        path: &PathBuf,
    ) -> Result<FileEntry, OpError> {
        let wrong = |source| LocalError::new(path.as_os_str().as_bytes(), "read", source);
        let mut file = File::open(path).map_err(wrong)?;
        take_all(content, self.run.chunker, &mut |buffer| {
            Ok(fill(&mut file, buffer).map_err(wrong)?)
        })
    }
}

/// Smaller files are hardly worth a place of their own.
fn is_large(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.len() > DELTA_BYTES_MIN)
}

/// What a file of a dump is kept as on this host: a table's rows by the table, since numbers move.
fn kept_name(dump: &str, file: &OsStr, tables: &Tables) -> String {
    let table = number_of(file).and_then(|number| tables.get(&number));
    let inner = table.map_or(file.as_bytes(), Vec::as_slice);
    format!("{dump}/{}", String::from_utf8_lossy(inner))
}

/// Whether the file of a table's rows is there, and ends as `COPY` ends its data.
fn check_end(name: &str, folder: &Path, number: u32) -> Result<(), OpError> {
    let file = format!("{number}.dat");
    let tail = read_tail(&folder.join(&file));
    let tail = tail.map_err(|error| cut_off(name, &format!("`{file}`: {error}")))?;
    let lines = tail.trim_ascii_end();
    let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // With its line feed: what follows would stand behind it otherwise.
    if tail[start..].starts_with(END) {
        return Ok(());
    }
    Err(cut_off(name, &format!("`{file}` does not end with the line `\\.`")))
}

/// A dump of which something is missing.
fn cut_off(name: &str, what: &str) -> OpError {
    OpError::SourceCommand { how: format!("{name} is a dump that was cut off: {what}") }
}

/// The names of a directory's files, sorted as trees are.
fn names_in(folder: &Path) -> Result<Vec<OsString>, OpError> {
    let wrong = |source| OpError::Local { call: "list", path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(wrong)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.collect::<io::Result<_>>().map_err(wrong)?;
    names.sort();
    Ok(names)
}

/// The end of a file.
fn read_tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

/// A table and the number of its file of rows, if a line of `pg_restore --list` tells of one: it looks like
/// `3456; 0 16385 TABLE DATA public users owner`.
fn table_listed(line: &[u8]) -> Option<(u32, Vec<u8>)> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (number, _class, _object) = (words.next()?, words.next()?, words.next()?);
    let table = words.next()?.strip_prefix(b"TABLE DATA ")?;
    let number = number.strip_suffix(b";")?;
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, table.to_vec()))
}

/// The line that ends the rows of a `COPY`.
const END: &[u8] = b"\\.\n";
/// More than that line and the blank ones behind it.
const TAIL_BYTES: u64 = 64;
const BUFFER_BYTES: usize = 262_144;
/// What programs print of a full disk, in the language of most servers.
const FULL: &str = "No space left on device";
/// A disk with less is full.
const FREE_BYTES_MIN: u64 = 1_048_576;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_rows_are_told_from_other_lines() {
        let check = |line: &str, expected| {
            assert_eq!(table_listed(line.as_bytes()).map(|(number, _)| number), expected);
        };
        check("3456; 0 16385 TABLE DATA public users postgres", Some(3456));
        check("3456; 0 16385 TABLE DATA Odd; Schema a TABLE DATA b postgres", Some(3456));
        check("215; 1259 16385 TABLE public TABLE DATA postgres", None);
        check("; Archive created at TABLE DATA ", None);
        check("3457; 0 0 SEQUENCE SET public s postgres", None);
        check("", None);
    }
}
