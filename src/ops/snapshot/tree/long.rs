//! Long files, and files that become deltas: read on the thread of the tree, shared among all workers.

use crate::format::tree::EntryKind;
use crate::format::tree::ExtendedAttribute;
use crate::format::tree::FileEntry;
use crate::localfs::Stat;
use crate::localfs::attributes;
use crate::localfs::capture::Captured;
use crate::localfs::capture::OpenFile;
use crate::localfs::walk::WalkEntry;
use crate::ops::snapshot::delta::Before;
use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::snapshot::read::ReadError;
use crate::ops::snapshot::read::read_open;
use crate::ops::snapshot::stream::LongContent;
use crate::ops::snapshot::tree::Item;
use crate::ops::snapshot::tree::TreeRun;
use crate::repo::error::RepoError;

impl<'a> TreeRun<'a, '_> {
    /// Reads a file and stores its new chunks, after those of its older version if there is one.
    pub(super) fn long_file(
        &mut self,
        entry: &WalkEntry,
        predecessor: Option<Predecessor<'a>>,
    ) -> Result<(), RepoError> {
        match self.read_long(entry, predecessor) {
            Ok((stat, file, xattrs)) => {
                self.keep_linked(&stat, &file, &xattrs);
                self.memory.push(entry, &stat, &file);
                let node = EntryKind::File(file);
                let name = entry.name().to_vec();
                self.queue.push_back(Item::Ready { name, stat, node, xattrs });
                Ok(())
            }
            Err(ReadError::Repo(error)) => Err(error),
            Err(ReadError::Local(error)) => {
                self.tally.skip(&error, self.progress);
                Ok(())
            }
        }
    }

    fn read_long(
        &mut self,
        entry: &WalkEntry,
        predecessor: Option<Predecessor<'a>>,
    ) -> Result<(Stat, FileEntry, Vec<ExtendedAttribute>), ReadError> {
        let mut file = OpenFile::open(entry)?;
        let xattrs = match attributes::xattrs_of_file(&file) {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.tally.skip(&error, self.progress);
                Vec::new()
            }
        };
        let env = (self.progress, self.pace);
        let mut content =
            LongContent::new(self.workers, self.store, env, Before::stored(predecessor))?;
        read_open(&mut file, self.chunker, &mut content, &mut self.buffer)?;
        let mut read = content.finish()?;
        let (mut stat, changed) = match file.finish()? {
            Captured::Consistent(stat) => (stat, stat.size != read.size),
            Captured::Changed(stat) => (stat, true),
        };
        if changed {
            self.tally.changed(&entry.path_bytes(), self.progress);
        }
        self.tally.run.bytes_read += read.size;
        self.progress.advance(1, 0);
        stat.size = read.size;
        read.sparse &= read.size > 0;
        Ok((stat, read, xattrs))
    }
}
