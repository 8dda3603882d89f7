//! The inodes that the kernel knows, as long as it knows them.

use crate::format::tree::EntryKind;
use crate::format::tree::InodeNumber;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::repo::tree::reader::OwnedEntry;
use std::collections::HashMap;
use std::sync::Arc;

/// What stands at an inode.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The directory of everything.
    Root,
    /// The directory of all snapshots by id.
    Snapshots,
    /// The directory of sources.
    Sources,
    /// The snapshots of a source by date.
    Source(Arc<str>),
    /// The top of a snapshot.
    Top(Arc<Top>),
    /// An entry of a snapshot.
    Entry(Arc<OwnedEntry>, Arc<Top>),
    /// A link of ours.
    Link(Arc<str>),
}

/// A snapshot that is shown.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) snapshot: SnapshotId,
    /// The top node of its tree.
    pub(crate) node: ChunkId,
    pub(crate) height: u8,
    /// Time of its data, in seconds since 1970.
    pub(crate) time: i64,
}

/// Inodes by number and by name.
#[derive(Debug)]
pub(crate) struct Nodes {
    by_number: HashMap<u64, Node>,
    by_name: HashMap<(u64, Vec<u8>), u64>,
    /// Files of several names.
    by_inode: HashMap<(SnapshotId, InodeNumber), u64>,
    next: u64,
}

#[derive(Debug)]
struct Node {
    place: Place,
    parent: u64,
    /// How often the kernel was told of it and did not forget it.
    lookups: u64,
    names: Vec<(u64, Vec<u8>)>,
}

impl Nodes {
    /// A table with a root.
    pub(crate) fn new(root: Place) -> Self {
        let node = Node { place: root, parent: ROOT, lookups: 1, names: Vec::new() };
        let by_number = HashMap::from([(ROOT, node)]);
        Self { by_number, by_name: HashMap::new(), by_inode: HashMap::new(), next: ROOT + 1 }
    }

    /// What stands at a number.
    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        self.by_number.get(&number).map(|node| node.place.clone())
    }

    /// The directory above.
    pub(crate) fn parent(&self, number: u64) -> u64 {
        self.by_number.get(&number).map_or(ROOT, |node| node.parent)
    }

    /// The number of a name, of which the kernel is told.
    pub(crate) fn tell(&mut self, parent: u64, name: &[u8], place: &Place) -> u64 {
        let key = (parent, name.to_vec());
        let shared = shared_inode(place);
        let known = self.by_name.get(&key).copied();
        let known = known.or_else(|| self.by_inode.get(&shared?).copied());
        let number = known.unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        let node = self.by_number.entry(number).or_insert_with(|| Node {
            place: place.clone(),
            parent,
            lookups: 0,
            names: Vec::new(),
        });
        // A list of snapshots may show another one under the same name, as `latest` does.
        node.place = place.clone();
        node.lookups += 1;
        if self.by_name.insert(key.clone(), number).is_none() {
            node.names.push(key);
        }
        if let Some(shared) = shared {
            self.by_inode.insert(shared, number);
        }
        number
    }

    /// Takes back what the kernel was told so many times; says whether the number is gone.
    pub(crate) fn forget(&mut self, number: u64, times: u64) -> bool {
        let Some(node) = self.by_number.get_mut(&number) else { return false };
        node.lookups = node.lookups.saturating_sub(times);
        if number == ROOT || node.lookups > 0 {
            return false;
        }
        if let Some(Node { place, names, .. }) = self.by_number.remove(&number) {
            for key in names {
                self.by_name.remove(&key);
            }
            if let Some(shared) = shared_inode(&place) {
                self.by_inode.remove(&shared);
            }
        }
        true
    }
}

/// What tells that two names are of one file.
fn shared_inode(place: &Place) -> Option<(SnapshotId, InodeNumber)> {
    let Place::Entry(entry, top) = place else { return None };
    let metadata = &entry.entry.metadata;
    let is_directory = matches!(entry.entry.node, EntryKind::Directory(_));
    (metadata.links > 1 && !is_directory).then_some((top.snapshot, metadata.inode))
}

/// The number of the root.
pub(crate) const ROOT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lives_as_long_as_the_kernel_knows_it() {
        let mut nodes = Nodes::new(Place::Root);
        let number = nodes.tell(ROOT, b"snapshots", &Place::Snapshots);
        assert_eq!(nodes.tell(ROOT, b"snapshots", &Place::Snapshots), number);
        assert!(!nodes.forget(number, 1));
        assert!(nodes.place(number).is_some());
        assert!(nodes.forget(number, 1));
        assert!(nodes.place(number).is_none());
        assert!(nodes.tell(ROOT, b"snapshots", &Place::Snapshots) > number);
        assert!(!nodes.forget(ROOT, 100));
    }
}
