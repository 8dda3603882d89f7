//! The last version of a dump, as this host kept it.

use crate::crypto::hash::ChunkNamer;
use crate::format::content::Extent;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::repo::kept_dump::list::DumpList;
use crate::repo::kept_dump::list::FileName;
use crate::repo::kept_dump::list::Place;
use crate::repo::kept_dump::place::DumpFolder;
use crate::repo::kept_dump::seal::DumpSeal;
use crate::units::to_usize32;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A dump that was kept. Shared by threads.
#[derive(Debug)]
pub(crate) struct KeptDump {
    seal: Arc<DumpSeal>,
    names: ChunkNamer,
    pub(crate) list: DumpList,
    /// In the order of the list; those that are gone are missing.
    files: Vec<Option<File>>,
}

impl KeptDump {
    /// What is in a folder, if it is whole, and its snapshot counts.
    pub(crate) fn load(
        seal: &Arc<DumpSeal>,
        names: &ChunkNamer,
        folder: &DumpFolder,
        counts: impl Fn(&SnapshotId) -> bool,
    ) -> Option<Self> {
        let bytes = std::fs::read(folder.list()).ok()?;
        let mut list = DumpList::open(seal, folder.dump(), &bytes)?;
        if !counts(&list.snapshot) {
            return None;
        }
        let open = |name: &FileName| File::open(folder.chunks(*name)).ok();
        let files: Vec<Option<File>> = list.files.iter().map(open).collect();
        let length = |file: &Option<File>| Some(file.as_ref()?.metadata().ok()?.len());
        let lengths: Vec<u64> = files.iter().map(|file| length(file).unwrap_or(0)).collect();
        // What is gone is kept anew if it comes again.
        list.places.retain(|_id, Place { file, at, length }| {
            let end = at.checked_add(u64::from(*length));
            end.is_some_and(|end| lengths.get(to_usize32(*file)).is_some_and(|&all| end <= all))
        });
        Some(Self { seal: Arc::clone(seal), names: names.clone(), list, files })
    }

    /// An extent of the dump, by its number.
    pub(crate) fn extent(&self, number: usize) -> Option<Extent> {
        self.list.extents.get(number).copied()
    }

    /// Whether the bytes of a chunk should be here.
    pub(crate) fn holds(&self, id: &ChunkId) -> bool {
        self.list.places.contains_key(id)
    }

    /// Appends the bytes of a chunk, verified; `None` if they are not here, or not what they should be.
    pub(crate) fn read(&self, id: &ChunkId, output: &mut Vec<u8>) -> Option<()> {
        let mut sealed = self.sealed(self.list.places.get(id)?)?;
        self.seal.open_chunk(&self.names, id, &mut sealed, output)
    }

    /// The sealed bytes at a place, as they are.
    pub(crate) fn sealed(&self, place: &Place) -> Option<Vec<u8>> {
        let file = self.files.get(to_usize32(place.file))?.as_ref()?;
        let mut sealed = vec![0; to_usize32(place.length)];
        file.read_exact_at(&mut sealed, place.at).ok()?;
        Some(sealed)
    }
}
