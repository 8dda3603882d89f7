//! Directories on the way, entries without content, and what is counted and noted of all.

use crate::format::tree::EntryKind;
use crate::format::tree::Totals;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use crate::localfs::apply::directory::DirHandle;
use crate::localfs::apply::path::TargetPath;
use crate::localfs::apply::special::Special;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::chain_words;
use crate::ops::restore::FINDINGS_COUNT_MAX;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::Overwrite;
use crate::ops::restore::after::Meta;
use crate::ops::restore::after::Was;
use crate::ops::restore::execute::FailedFile;
use crate::ops::restore::execute::FileError;
use crate::ops::restore::tree::TreeRestore;
use crate::ops::words::path_words;
use crate::repo::error::RepoError;
use crate::repo::tree::builder::totals_of;
use crate::repo::tree::reader::OwnedEntry;
use std::io;

impl TreeRestore<'_> {
    /// Makes a directory or finds it; says what it was before, or nothing if it cannot be used.
    pub(super) fn enter(&mut self, path: &TargetPath, meta: &Meta) -> Result<Option<Was>, OpError> {
        let entered = self.was(path, meta).and_then(|was| {
            if was == Was::Other && self.way.overwrite == Overwrite::Never {
                let source = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(LocalError::new(path.as_bytes(), "keep and enter", source));
            }
            if !self.way.is_dry {
                self.target.make_directory(path)?;
            }
            Ok(was)
        });
        match entered {
            Ok(was) => {
                if !matches!(was, Was::Missing | Was::Other) {
                    self.remove_leftovers(path)?;
                }
                Ok(Some(was))
            }
            Err(error) => {
                self.uncount(Totals { directories: 1, ..Totals::default() });
                self.refused(error).map(|()| None)
            }
        }
    }

    /// What stands where a directory is to be.
    pub(super) fn was(&self, path: &TargetPath, meta: &Meta) -> Result<Was, LocalError> {
        if let Some((parent, name)) = path.split() {
            let Some(parent) = self.target.find_directory(&parent)? else {
                return Ok(Was::Missing);
            };
            if parent.is_new() {
                return Ok(Was::Missing);
            }
            match parent.look(name)? {
                None => return Ok(Was::Missing),
                Some(stat) if stat.kind != FileKind::Directory => return Ok(Was::Other),
                Some(_) => {}
            }
        }
        let Some(handle) = self.target.find_directory(path)? else { return Ok(Was::Missing) };
        if handle.is_new() {
            return Ok(Was::Missing);
        }
        let differs = self.target.directory_differs(&handle, meta.wanted());
        Ok(if differs { Was::Different } else { Was::Same })
    }

    /// Removes what killed restores left in a directory.
    pub(super) fn remove_leftovers(&mut self, path: &TargetPath) -> Result<(), OpError> {
        if self.way.is_dry {
            return Ok(());
        }
        let removed = self.target.find_directory(path).and_then(|handle| {
            handle.map_or(Ok(0), |handle| self.target.remove_leftovers(&handle))
        });
        match removed {
            Ok(count) => {
                self.report.leftovers_count += count;
                Ok(())
            }
            Err(error) => self.refused(error),
        }
    }

    pub(super) fn special(
        &mut self,
        directory: &TargetPath,
        name: &[u8],
        special: Special,
        meta: &Meta,
    ) -> Result<(), OpError> {
        let (target, wanted) = (&self.target, meta.wanted());
        let (kind, number) = match special {
            Special::Fifo => (FileKind::Fifo, None),
            Special::Socket => (FileKind::Socket, None),
            Special::CharacterDevice(number) => (FileKind::CharacterDevice, Some(number)),
            Special::BlockDevice(number) => (FileKind::BlockDevice, Some(number)),
        };
        let is_same = |handle: &DirHandle, stat: &Stat| {
            stat.kind == kind
                && number.is_none_or(|number| number == stat.device)
                && (stat.links == 1 || meta.metadata.links > 1)
                && !target.entry_differs((handle, name), stat, wanted)
        };
        let make = |handle: &DirHandle| target.make_special((handle, name), special, wanted);
        let outcome = if number.is_some() && !target.may_grant() {
            // Only told: such devices are never made.
            let handle = self.way.directory(target, directory);
            handle.and_then(|handle| handle.map_or(Ok(()), |handle| make(&handle))).map(|()| None)
        } else {
            self.way.place(target, (directory, name), is_same, make).map(Some)
        };
        let error = match outcome {
            Ok(Some(action)) => {
                self.tally.add(directory.join(name)?.as_bytes(), action, 0);
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(error) => error,
        };
        self.lost.insert(directory.join(name)?.as_bytes().to_vec(), Severity::Notice);
        self.uncount(Totals { others: 1, ..Totals::default() });
        self.refused(error)
    }

    /// Counts an entry; a tree that holds more than its snapshot declares is forged.
    pub(super) fn count(&mut self, entry: &OwnedEntry) -> Result<(), OpError> {
        let one = if matches!(entry.entry.node, EntryKind::Directory(_)) {
            // Its own totals are counted entry by entry.
            Totals { directories: 1, ..Totals::default() }
        } else {
            totals_of(&entry.entry.node)
        };
        self.report.totals = self.report.totals.plus(one);
        let totals = self.seen.plus(one);
        self.seen = totals;
        let declared = self.declared;
        let more = totals.files > declared.files
            || totals.directories > declared.directories.saturating_add(1)
            || totals.others > declared.others
            || totals.bytes > declared.bytes;
        if more {
            let why = "the snapshot holds more than it declares; nothing more is restored";
            return Err(OpError::Refused { why: why.to_owned() });
        }
        Ok(())
    }

    /// Takes back what was counted and is not restored.
    pub(super) fn uncount(&mut self, one: Totals) {
        let Totals { files, directories, others, bytes } = &mut self.report.totals;
        *files = files.saturating_sub(one.files);
        *directories = directories.saturating_sub(one.directories);
        *others = others.saturating_sub(one.others);
        *bytes = bytes.saturating_sub(one.bytes);
    }

    pub(super) fn failed(&mut self, failed: Vec<FailedFile>) -> Result<(), OpError> {
        for FailedFile { path, size, error } in failed {
            self.uncount(Totals { files: 1, bytes: size, ..Totals::default() });
            let severity = match error {
                FileError::Local(error) => {
                    self.refused(error)?;
                    Severity::Notice
                }
                FileError::Repo(error) => {
                    self.damaged(&path, "not restored", error)?;
                    Severity::Loss
                }
            };
            self.lost.insert(path, severity);
        }
        Ok(())
    }

    /// Notes damage, or ends with it.
    pub(super) fn damaged(
        &mut self,
        path: &[u8],
        effect: &str,
        error: RepoError,
    ) -> Result<(), OpError> {
        if !self.reader.repository.is_damage(&error) || self.options.keep_going == KeepGoing::Stop {
            return Err(OpError::Restore { path: path_words(path), source: Box::new(error) });
        }
        let effect = format!("{effect}: {}", chain_words(&error));
        self.note(Finding::loss("file.damaged", path_words(path), effect));
        Ok(())
    }

    pub(super) fn refused(&mut self, error: LocalError) -> Result<(), OpError> {
        if self.options.keep_going == KeepGoing::Stop {
            return Err(error.into());
        }
        self.note(error.into());
        Ok(())
    }

    pub(super) fn note(&mut self, finding: Finding) {
        self.progress.warn(&format!("{}: {}", finding.object, finding.effect));
        self.report.failed_count += 1;
        self.report.damaged_count += u64::from(finding.severity == Severity::Loss);
        if self.report.failed.len() < FINDINGS_COUNT_MAX {
            self.report.failed.push(finding);
        }
    }
}
