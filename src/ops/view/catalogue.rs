//! The snapshots that a view shows, and under which names.

use crate::ops::error::OpError;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotRow;
use crate::ops::look::snapshots;
use crate::ops::view::place::Place;
use crate::ops::view::place::Top;
use crate::ops::words::parse_time;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

/// Snapshots by the names of the directories that show them.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// By id, oldest data first.
    by_id: Vec<(String, Arc<Top>)>,
    /// By source and date.
    by_source: BTreeMap<Arc<str>, Vec<(String, Arc<Top>)>>,
    /// How many manifests are damaged, so that their snapshots are not shown.
    pub(crate) damaged: usize,
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) name: Vec<u8>,
    pub(crate) place: Place,
}

impl Catalogue {
    /// Lists the snapshots.
    pub(crate) fn load(repository: &Repository) -> Result<Self, OpError> {
        let list = snapshots(repository, &SnapshotFilter::new())?;
        let mut catalogue = Self { damaged: list.findings.len(), ..Self::default() };
        for row in list.rows {
            catalogue.add(&row);
        }
        Ok(catalogue)
    }

    fn add(&mut self, row: &SnapshotRow) {
        let Some(manifest) = &row.manifest else { return };
        let Some((node, height)) = manifest.root() else { return };
        let stated = &manifest.predicate.times.data;
        let time = parse_time(stated).map_or(row.received, |(seconds, _nanoseconds)| seconds);
        let top = Arc::new(Top { snapshot: row.snapshot, node, height, time });
        self.by_id.push((row.snapshot.to_string(), Arc::clone(&top)));
        let dated = self.by_source.entry(row.source.as_str().into()).or_default();
        let mut name = crate::ops::words::time_words(time, 0);
        if dated.iter().any(|(taken, _top)| *taken == name) {
            name = format!("{name}-{}", row.snapshot.short());
        }
        dated.push((name, top));
    }

    /// What a directory of ours shows.
    pub(crate) fn children(&self, place: &Place) -> Vec<Child> {
        let child = |name: &str, place| Child { name: name.as_bytes().to_vec(), place };
        let link = |target: String| Place::Link(target.into());
        let of = |(name, top): &(String, Arc<Top>)| child(name, Place::Top(Arc::clone(top)));
        match place {
            Place::Root => {
                let mut children =
                    vec![child("by-source", Place::Sources), child("snapshots", Place::Snapshots)];
                if let Some((name, _top)) = self.by_id.last() {
                    children.insert(1, child("latest", link(format!("snapshots/{name}"))));
                }
                children
            }
            Place::Snapshots => self.by_id.iter().map(of).collect(),
            Place::Sources => {
                let sources = self.by_source.keys();
                let sources = sources
                    .map(|source| child(&file_name(source), Place::Source(Arc::clone(source))));
                sources.collect()
            }
            Place::Source(source) => {
                let dated = self.by_source.get(source).map(Vec::as_slice).unwrap_or_default();
                let mut children: Vec<Child> = dated.iter().map(of).collect();
                if let Some((name, _top)) = dated.last() {
                    children.push(child("latest", link(name.clone())));
                }
                children
            }
            Place::Top(_) | Place::Entry(..) | Place::Link(_) => Vec::new(),
        }
    }

    /// Whether every snapshot of `newer` is known here.
    pub(crate) fn has_all_of(&self, newer: &Self) -> bool {
        let known: HashSet<&str> = self.by_id.iter().map(|(name, _top)| name.as_str()).collect();
        newer.by_id.iter().all(|(name, _top)| known.contains(name.as_str()))
    }

    /// Whether another catalogue shows the same snapshots.
    pub(crate) fn shows_what(&self, other: &Self) -> bool {
        self.by_id.len() == other.by_id.len() && self.has_all_of(other)
    }

    /// The snapshot whose id begins with these digits, if there is only one.
    pub(crate) fn by_digits(&self, digits: &[u8]) -> Option<Place> {
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.len() >= DIGITS_MIN)?;
        let mut found = self.by_id.iter().filter(|(name, _top)| name.starts_with(digits));
        let (_name, top) = found.next()?;
        found.next().is_none().then(|| Place::Top(Arc::clone(top)))
    }
}

/// The name of a source as that of a file.
fn file_name(source: &str) -> String {
    let name = source.replace('%', "%25").replace('/', "%2F").replace('\0', "%00");
    if name == "." || name == ".." { name.replace('.', "%2E") } else { name }
}

/// Fewest digits that name a snapshot.
const DIGITS_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_name_of_its_own_that_a_file_can_have() {
        assert_eq!(file_name("host:/srv/app"), "host:%2Fsrv%2Fapp");
        assert_ne!(file_name("a%2Fb"), file_name("a/b"));
        assert_eq!(file_name(".."), "%2E%2E");
    }
}
