//! `--delete`: what the target holds and the snapshot lacks is removed, where the snapshot is known
//! to have had everything.

use crate::format::manifest::SourceKind;
use crate::format::tree::EntryKind;
use crate::localfs::FileKind;
use crate::localfs::LocalError;
use crate::localfs::apply::Target;
use crate::localfs::apply::extra::OpenListing;
use crate::localfs::apply::leftovers::is_temporary;
use crate::localfs::apply::path::TargetPath;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::progress::Progress;
use crate::ops::restore::Filter;
use crate::ops::restore::after::Meta;
use crate::ops::restore::after::meta_of;
use crate::ops::restore::tally::Action;
use crate::ops::restore::tally::Tally;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::words::path_words;
use crate::repo::read::ChunkReader;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use std::collections::HashSet;
use std::path::Path;

/// What a sweep works with.
pub(crate) struct Sweep<'a> {
    pub(crate) reader: &'a ChunkReader,
    pub(crate) target: &'a Target,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) selected: &'a Selected,
    pub(crate) tally: &'a Tally,
    pub(crate) progress: &'a dyn Progress,
    /// Nothing is removed, only told.
    pub(crate) is_dry: bool,
    /// What could not be removed.
    pub(crate) failed: Vec<Finding>,
}

/// A directory of the snapshot that is still to be swept.
struct Level<'a> {
    entries: Entries<'a>,
    path: TargetPath,
    /// The path in the selection, with a slash before each name.
    shown: Vec<u8>,
    meta: Option<Meta>,
}

/// A directory that the snapshot lacks, while it is emptied.
struct Emptied {
    listing: OpenListing,
    path: TargetPath,
    shown: Vec<u8>,
    next: usize,
    /// Something in it stays, and so must it.
    stays: bool,
}

impl<'a> Sweep<'a> {
    /// Sweeps all directories of the selection.
    pub(crate) fn run(&mut self, found: &Found) -> Result<(), OpError> {
        let path = TargetPath::root();
        let shown = Vec::new();
        let mut open = match found {
            Found::Root { node, height, .. } => {
                let entries = Entries::of_node(self.reader, *node, *height);
                vec![Level { entries, path, shown, meta: None }]
            }
            Found::Entry(entry) => self.level(entry, path, shown)?.into_iter().collect(),
        };
        while let Some(level) = open.pop() {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            self.sweep(level, &mut open)?;
        }
        Ok(())
    }

    fn level(
        &self,
        entry: &OwnedEntry,
        path: TargetPath,
        shown: Vec<u8>,
    ) -> Result<Option<Level<'a>>, OpError> {
        let EntryKind::Directory(directory) = &entry.entry.node else { return Ok(None) };
        let entries = Entries::of_listing(self.reader, &directory.listing)?;
        Ok(Some(Level { entries, path, shown, meta: Some(meta_of(entry)) }))
    }

    fn sweep(&mut self, level: Level<'a>, open: &mut Vec<Level<'a>>) -> Result<(), OpError> {
        let Level { entries, path, shown, meta } = level;
        let mut names = HashSet::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.entry.name.clone();
            let inside = [shown.as_slice(), b"/", &name].concat();
            if self.is_wanted(&inside, matches!(entry.entry.node, EntryKind::Directory(_))) {
                open.extend(self.level(&entry, path.join(&name)?, inside)?);
            }
            names.insert(name);
        }
        // Above the sources a snapshot has nothing but the way to them.
        if !self.is_covered(&shown) {
            return Ok(());
        }
        let listing = match self.target.list(&path) {
            Ok(Some(listing)) => listing,
            Ok(None) => return Ok(()),
            Err(error) => return self.cannot(&error),
        };
        let mut is_changed = false;
        for (name, kind) in listing.names.iter().filter(|(name, _)| !names.contains(name)) {
            let inside = [shown.as_slice(), b"/", name].concat();
            is_changed |= self.remove(&listing, (name, *kind), &path.join(name)?, inside)?;
        }
        if let (true, false, Some(meta)) = (is_changed, self.is_dry, meta) {
            self.target.finish_directory(&path, meta.wanted())?;
        }
        Ok(())
    }

    /// Removes one name with everything below it; says whether it is gone, or would be.
    fn remove(
        &mut self,
        listing: &OpenListing,
        (name, kind): (&[u8], FileKind),
        path: &TargetPath,
        shown: Vec<u8>,
    ) -> Result<bool, OpError> {
        if is_temporary(name) {
            // Of a restore that runs, or it would be gone.
            return Ok(false);
        }
        if !self.is_wanted(&shown, kind == FileKind::Directory) {
            self.tally.add(path.as_bytes(), Action::Keep, 0);
            return Ok(false);
        }
        if kind == FileKind::Directory && !self.empty(path, shown)? {
            self.tally.add(path.as_bytes(), Action::Keep, 0);
            return Ok(false);
        }
        if !self.is_dry {
            self.target.open_up(listing);
            if let Err(error) = listing.remove(name, kind) {
                self.cannot(&error)?;
                return Ok(false);
            }
        }
        self.tally.add(path.as_bytes(), Action::Delete, 0);
        Ok(true)
    }

    /// Removes everything in a directory that may be removed; says whether that is all.
    fn empty(&mut self, path: &TargetPath, shown: Vec<u8>) -> Result<bool, OpError> {
        let Some(top) = self.emptied(path, shown)? else { return Ok(false) };
        let mut open = vec![top];
        loop {
            if self.progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            let Some(last) = open.last_mut() else { return Ok(true) };
            let Some((name, kind)) = last.listing.names.get(last.next).cloned() else {
                let Some(Emptied { stays, path, .. }) = open.pop() else { return Ok(true) };
                let Some(above) = open.last_mut() else { return Ok(!stays) };
                let gone = !stays && self.remove_emptied(above, &path)?;
                above.stays |= !gone;
                continue;
            };
            last.next += 1;
            let (inside, below) =
                (last.path.join(&name)?, [&last.shown, b"/".as_slice(), &name].concat());
            if kind == FileKind::Directory && self.is_wanted(&below, true) {
                let deeper =
                    if open.len() < DEPTH_MAX { self.emptied(&inside, below)? } else { None };
                match deeper {
                    Some(deeper) => open.push(deeper),
                    None => keep(self.tally, &mut open, &inside),
                }
                continue;
            }
            let Some(last) = open.last() else { return Ok(true) };
            let gone = self.is_wanted(&below, kind == FileKind::Directory)
                && self.remove_file(&last.listing, (&name, kind), &inside)?;
            if !gone {
                keep(self.tally, &mut open, &inside);
            }
        }
    }

    fn remove_emptied(&mut self, above: &Emptied, path: &TargetPath) -> Result<bool, OpError> {
        let Some((_, name)) = path.split() else { return Ok(false) };
        self.remove_file(&above.listing, (name, FileKind::Directory), path)
    }

    fn remove_file(
        &mut self,
        listing: &OpenListing,
        (name, kind): (&[u8], FileKind),
        path: &TargetPath,
    ) -> Result<bool, OpError> {
        if !self.is_dry {
            self.target.open_up(listing);
            if let Err(error) = listing.remove(name, kind) {
                self.cannot(&error)?;
                return Ok(false);
            }
        }
        self.tally.add(path.as_bytes(), Action::Delete, 0);
        Ok(true)
    }

    /// Lists a directory that is to be emptied; none if it is on another mount or cannot be listed.
    fn emptied(&mut self, path: &TargetPath, shown: Vec<u8>) -> Result<Option<Emptied>, OpError> {
        match self.target.list(path) {
            Ok(Some(listing)) => {
                let path = path.clone();
                Ok(Some(Emptied { listing, path, shown, next: 0, stays: false }))
            }
            Ok(None) => Ok(None),
            Err(error) => self.cannot(&error).map(|()| None),
        }
    }

    fn is_wanted(&self, shown: &[u8], is_directory: bool) -> bool {
        self.filter.is_none_or(|filter| filter(shown, is_directory))
    }

    /// Whether a directory of the selection lies in one of the paths that were backed up.
    fn is_covered(&self, shown: &[u8]) -> bool {
        let stated = &self.selected.manifest.predicate;
        if !matches!(stated.kind, SourceKind::Files | SourceKind::Several) {
            return false;
        }
        let names = self.selected.path.iter().map(Vec::as_slice);
        let above: Vec<u8> = names.flat_map(|name| [b"/", name].concat()).collect();
        let full = format!("/{}", path_words(&[&above, shown].concat()));
        stated.paths.iter().any(|path| Path::new(&full).starts_with(Path::new(path)))
    }

    fn cannot(&mut self, error: &LocalError) -> Result<(), OpError> {
        let object = path_words(std::os::unix::ffi::OsStrExt::as_bytes(error.path.as_os_str()));
        let effect = format!("not deleted: cannot {}: {}", error.call, error.source);
        self.progress.warn(&format!("{object}: {effect}"));
        self.failed.push(Finding::not_written(object, effect));
        if self.failed.len() > crate::ops::restore::FINDINGS_COUNT_MAX {
            let why = "too much cannot be deleted; nothing more is".to_owned();
            return Err(OpError::Refused { why });
        }
        Ok(())
    }
}

fn keep(tally: &Tally, open: &mut [Emptied], path: &TargetPath) {
    tally.add(path.as_bytes(), Action::Keep, 0);
    if let Some(last) = open.last_mut() {
        last.stays = true;
    }
}

/// Directories within each other that are emptied, each of which is open meanwhile.
const DEPTH_MAX: usize = 400;
