//! Streams at the top of a tree, between what a walk finds there.

use crate::format::tree::Owner;
use crate::format::tree::TreeEntry;
use crate::repo::error::RepoError;
use crate::repo::tree::builder::DirectoryBuilder;
use crate::repo::write::ChunkWriter;
use std::collections::VecDeque;

/// Entries that wait for their place in the order of names.
#[derive(Debug)]
pub(crate) struct Beside(pub(crate) VecDeque<(TreeEntry, Owner)>);

impl Beside {
    /// Puts in what comes before a name; all of it if there is none.
    pub(crate) fn push_before(
        &mut self,
        name: Option<&[u8]>,
        top: &mut DirectoryBuilder,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<(), RepoError> {
        let comes_first =
            |(entry, _): &mut (TreeEntry, Owner)| name.is_none_or(|name| *entry.name < *name);
        while let Some((entry, owner)) = self.0.pop_front_if(comes_first) {
            top.push(writer, entry, &owner)?;
        }
        Ok(())
    }
}
