//! Is everything that a tree names in the index? Asked before a commit whose tree was begun in an
//! earlier session: what was known then may have been collected since.

use crate::format::content::Content;
use crate::format::content::Extent;
use crate::format::tree::EntryKind;
use crate::format::tree::Listing;
use crate::id::ChunkId;
use crate::repo::error::RepoError;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::visit_extents;
use crate::repo::tree::reader::Entries;

/// Checks that every chunk of a tree is in the index; reads every node of the tree.
///
/// Calls `beat` with every entry: there may be many.
/// Errors: [`RepoError::UnknownChunk`] for the first one that is not.
pub(crate) fn check_closure(
    reader: &ChunkReader,
    node: ChunkId,
    height: u8,
    beat: &dyn Fn() -> Result<(), RepoError>,
) -> Result<(), RepoError> {
    let mut open = vec![Listing::Node { node, height }];
    while let Some(listing) = open.pop() {
        for entry in Entries::of_listing(reader, &listing)? {
            beat()?;
            match entry?.entry.node {
                EntryKind::Directory(directory) => open.push(directory.listing),
                EntryKind::File(file) => check_content(reader, &file.content)?,
                EntryKind::Symlink { .. }
                | EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharacterDevice(_)
                | EntryKind::BlockDevice(_) => {}
            }
        }
    }
    Ok(())
}

fn check_content(reader: &ChunkReader, content: &Content) -> Result<(), RepoError> {
    visit_extents(reader, content, &mut |extent| match extent {
        Extent::Chunk { id, .. } if !reader.index.contains(&id) => {
            Err(RepoError::UnknownChunk { chunk: id })
        }
        Extent::Chunk { .. } | Extent::Hole { .. } => Ok(()),
    })
}
