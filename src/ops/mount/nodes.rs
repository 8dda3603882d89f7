//! The inodes that the kernel knows, as long as it knows them.
//!
//! There may be millions of them: of what lies in a snapshot only the name is kept, and what stands there is looked up again.

use crate::format::tree::EntryKind;
use crate::format::tree::InodeNumber;
use crate::id::SnapshotId;
use crate::ops::view::place::Place;
use std::collections::HashMap;
use std::sync::Arc;

/// Inodes by number and by name.
#[derive(Debug)]
pub(crate) struct Nodes {
    by_number: HashMap<u64, Node>,
    by_name: HashMap<Name, u64>,
    /// Files of several names.
    by_inode: HashMap<SharedInode, u64>,
    /// Directories that were asked for lately.
    recent: HashMap<u64, Place>,
    next: u64,
}

/// A name in a directory, which is told by its number.
type Name = (u64, Arc<[u8]>);
/// What tells that two names are of one file.
type SharedInode = (SnapshotId, InodeNumber);

#[derive(Debug)]
struct Node {
    /// What stands there, unless it is looked up by its name.
    place: Option<Place>,
    name: Name,
    /// Other names of the same file.
    others: Vec<Name>,
    shared: Option<Box<SharedInode>>,
    /// How often the kernel was told of it and did not forget it.
    lookups: u64,
}

/// Where something is to be looked up: names that lead there from a place.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) from: Place,
    /// The last name first.
    pub(crate) names: Vec<Arc<[u8]>>,
}

impl Nodes {
    /// A table with a root.
    pub(crate) fn new(root: Place) -> Self {
        let name = (ROOT, Arc::from(&b""[..]));
        let node = Node { place: Some(root), name, others: Vec::new(), shared: None, lookups: 1 };
        Self {
            by_number: HashMap::from([(ROOT, node)]),
            by_name: HashMap::new(),
            by_inode: HashMap::new(),
            recent: HashMap::new(),
            next: ROOT + 1,
        }
    }

    /// How to find what stands at a number.
    pub(crate) fn route(&self, number: u64) -> Option<Route> {
        let node = self.by_number.get(&number)?;
        let known = |name: &&Name| self.by_number.contains_key(&name.0);
        let mut names = Vec::new();
        let (mut at, mut node) = (number, node);
        loop {
            if let Some(place) = node.place.as_ref().or_else(|| self.recent.get(&at)) {
                return Some(Route { from: place.clone(), names });
            }
            // The kernel may have forgotten the directory of one of several names.
            let (parent, name) = std::iter::once(&node.name).chain(&node.others).find(known)?;
            names.push(Arc::clone(name));
            at = *parent;
            node = self.by_number.get(&at)?;
        }
    }

    /// Keeps what was found at a number, for a while.
    pub(crate) fn keep(&mut self, number: u64, place: &Place) {
        if self.recent.len() >= RECENT_COUNT_MAX {
            self.recent.clear();
        }
        if self.by_number.contains_key(&number) && is_directory(place) {
            self.recent.insert(number, place.clone());
        }
    }

    /// The directory above.
    pub(crate) fn parent(&self, number: u64) -> u64 {
        self.by_number.get(&number).map_or(ROOT, |node| node.name.0)
    }

    /// The number of a name, of which the kernel is told.
    pub(crate) fn tell(&mut self, parent: u64, name: &[u8], place: &Place) -> u64 {
        let name: Name = (parent, Arc::from(name));
        let shared = shared_inode(place);
        let known = self.by_name.get(&name).copied();
        let known = known.or_else(|| self.by_inode.get(&shared?).copied());
        let number = known.unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        let node = self.by_number.entry(number).or_insert_with(|| Node {
            place: None,
            name: name.clone(),
            others: Vec::new(),
            shared: shared.map(Box::new),
            lookups: 0,
        });
        // A list of snapshots may show another one under the same name, as `latest` does.
        node.place = Some(place).filter(|place| !matches!(place, Place::Entry(..))).cloned();
        node.lookups += 1;
        if self.by_name.insert(name.clone(), number).is_none() && node.name != name {
            node.others.push(name);
        }
        if let Some(shared) = shared {
            self.by_inode.insert(shared, number);
        }
        number
    }

    /// Takes back what the kernel was told so many times.
    pub(crate) fn forget(&mut self, number: u64, times: u64) {
        let Some(node) = self.by_number.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(times);
        if number == ROOT || node.lookups > 0 {
            return;
        }
        self.recent.remove(&number);
        let Some(node) = self.by_number.remove(&number) else { return };
        for name in std::iter::once(node.name).chain(node.others) {
            self.by_name.remove(&name);
        }
        if let Some(shared) = node.shared {
            self.by_inode.remove(&*shared);
        }
    }
}

fn is_directory(place: &Place) -> bool {
    match place {
        Place::Entry(entry, _top) => matches!(entry.entry.node, EntryKind::Directory(_)),
        Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) | Place::Top(_) => true,
        Place::Link(_) => false,
    }
}

fn shared_inode(place: &Place) -> Option<SharedInode> {
    let Place::Entry(entry, top) = place else { return None };
    let metadata = &entry.entry.metadata;
    (metadata.links > 1 && !is_directory(place)).then_some((top.snapshot, metadata.inode))
}

/// The number of the root.
pub(crate) const ROOT: u64 = 1;
/// Directories that are kept at once.
const RECENT_COUNT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lives_as_long_as_the_kernel_knows_it() {
        let mut nodes = Nodes::new(Place::Root);
        let number = nodes.tell(ROOT, b"snapshots", &Place::Snapshots);
        assert_eq!(nodes.tell(ROOT, b"snapshots", &Place::Snapshots), number);
        nodes.forget(number, 1);
        assert!(nodes.route(number).is_some());
        nodes.forget(number, 1);
        assert!(nodes.route(number).is_none());
        assert!(nodes.tell(ROOT, b"snapshots", &Place::Snapshots) > number);
        nodes.forget(ROOT, 100);
        assert!(nodes.route(ROOT).is_some());
    }
}
