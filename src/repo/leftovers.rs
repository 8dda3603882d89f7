//! What sessions of this client that were given up had stored: it may be adopted, once (W6).
//! Spec: format-spec/09-session.md, "Write order".
//!
//! Packs are adopted, never segments: whoever adopts a pack lists it in a segment of its own. A segment
//! of the old session may be taken over by nobody else, or be folded into a base and swept.

use crate::format::block::BlockCodec;
use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::history::load_verdict;
use crate::repo::index::Index;
use crate::repo::index::load::load_segment;
use crate::repo::repository::Repository;
use crate::repo::write::salvage;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

/// Packs that a new session may adopt, and the segments that describe some of them.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    segments: Vec<SegmentRef>,
    /// With their lengths.
    packs: BTreeMap<PackRef, u64>,
}

/// What is there, as it was listed after the new session's announcement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) packs: &'a HashMap<PackRef, u64>,
    pub(crate) segments: &'a HashSet<SegmentRef>,
}

impl Leftovers {
    /// The packs of these dead sessions that are present, that no plan condemns, no verdict removed
    /// and no valid segment lists.
    pub(crate) fn find(
        repository: &Repository,
        history: &History,
        index: &Index,
        dead: &[SessionRef],
        present: Present<'_>,
    ) -> Result<Self, RepoError> {
        let mut found = Self::default();
        for session in dead {
            let removed = match removed_since(repository, history, session.epoch) {
                Ok(removed) => removed,
                // Any of its packs may have been removed.
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let stays = |pack: &PackRef| {
                pack.session == *session
                    && !history.condemned.contains(pack)
                    && !removed.contains(pack)
            };
            let packs = present.packs.iter().filter(|(pack, _length)| stays(pack));
            found.packs.extend(packs.map(|(&pack, &length)| (pack, length)));
            let segments = present.segments.iter().filter(|segment| segment.session == *session);
            found.segments.extend(segments);
        }
        if !found.packs.is_empty() {
            // Another session adopted those, or one whose outcome is not known here listed them.
            for run in index.runs() {
                for pack in run.packs() {
                    found.packs.remove(&pack.reference());
                }
            }
        }
        found.segments.sort_unstable();
        Ok(found)
    }

    /// Calls `adopt` with what each pack holds; those that cannot be read are left to the next prune.
    ///
    /// Reads a segment at a time, and whole packs that no segment describes.
    pub(crate) fn adopt(
        mut self,
        repository: &Repository,
        adopt: &mut dyn FnMut(IndexedPack) -> Result<(), RepoError>,
    ) -> Result<(), RepoError> {
        for segment in std::mem::take(&mut self.segments) {
            if self.packs.is_empty() {
                return Ok(());
            }
            let Ok(described) = load_segment(repository, segment) else { continue };
            for pack in described.packs {
                let length = self.packs.remove(&pack.reference());
                if length == Some(pack.length) && stands_alone(&pack) {
                    adopt(pack)?;
                }
            }
        }
        for pack in self.packs.into_keys() {
            if let Ok(pack) = salvage::read_pack_index(repository, pack)
                && stands_alone(&pack)
            {
                adopt(pack)?;
            }
        }
        Ok(())
    }
}

/// Whether a pack needs no other: nothing kept the bases of its deltas meanwhile.
fn stands_alone(pack: &IndexedPack) -> bool {
    !pack.blocks.iter().any(|block| matches!(block.codec, BlockCodec::Delta { .. }))
}

/// Packs that a verdict after an epoch removed: one that is there again, since a request came twice,
/// may still be deleted by whoever carries that verdict out.
fn removed_since(
    repository: &Repository,
    history: &History,
    epoch: u64,
) -> Result<HashSet<PackRef>, RepoError> {
    let mut removed = HashSet::new();
    for number in epoch + 1..=history.verdict.number {
        let (verdict, _digest) = load_verdict(repository, number)?;
        removed.extend(verdict.removed.into_iter().map(PackRef::from));
    }
    Ok(removed)
}
