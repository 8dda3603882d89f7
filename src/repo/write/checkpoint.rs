//! Checkpoints: a long run commits what it has uploaded and goes on in a new session.
//! Spec: format-spec/09-session.md, "Checkpoints".

use crate::format::content::Extent;
use crate::format::outcome::CheckpointRoot;
use crate::format::outcome::Subject;
use crate::format::pack::PackKind;
use crate::repo::error::RepoError;
use crate::repo::session::Committed;
use crate::repo::tree::content::ContentBuilder;
use crate::repo::write::ChunkStore;

impl ChunkStore {
    /// Commits the chunks stored so far as a checkpoint of `source`, and goes on in a new session.
    ///
    /// No thread may be writing meanwhile, and every writer must have been flushed. A session that
    /// was fenced is adopted by the next one, so that nothing is stored twice.
    pub(crate) fn checkpoint(&self, source: &str) -> Result<(), RepoError> {
        self.flush()?;
        let mut roots = Vec::new();
        for kind in [PackKind::Data, PackKind::Tree] {
            roots.extend(self.list_own(kind)?);
        }
        let durable = self.finish()?;
        let session = self.take_session()?;
        let reference = session.reference;
        let subject = Subject::Checkpoint { source: source.to_owned(), roots };
        let fenced = match session.commit(subject, durable)? {
            Committed::Yes => None,
            Committed::Fenced => Some(reference),
        };
        self.reopen(fenced)
    }

    /// Stores the list of the session's own chunks of a kind.
    fn list_own(&self, kind: PackKind) -> Result<Option<CheckpointRoot>, RepoError> {
        let mut writer = self.writer(PackKind::Tree)?;
        let mut list = ContentBuilder::default();
        for run in self.uploader.runs() {
            for index in 0..run.chunk_count() {
                let Some((id, place)) = run.chunk_at(index) else { continue };
                if run.kind_of(place.block) == Some(kind) {
                    list.push(&mut writer, Extent::Chunk { id, length: place.length })?;
                }
            }
        }
        if list.extent_count() == 0 {
            return Ok(None);
        }
        let (node, height) = list.finish_list(&mut writer)?;
        writer.flush()?;
        Ok(Some(CheckpointRoot { node, height, kind }))
    }
}
