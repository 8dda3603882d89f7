//! Signs of life: whatever takes long asks again and again whether to go on, and says that it does.

use crate::repo::error::RepoError;
use crate::repo::gc::collector::Watch;
use crate::repo::gc::session::CollectSession;

/// What a stage that takes long calls with every object that it reads or writes.
#[derive(Clone, Copy)]
pub(crate) struct Pulse<'a> {
    watch: Option<Watch<'a>>,
    session: Option<&'a CollectSession<'a>>,
}

impl<'a> Pulse<'a> {
    /// Of whoever only looks, and is not asked to stop.
    pub(crate) const NONE: Self = Self { watch: None, session: None };

    /// Of whoever only looks.
    pub(crate) const fn watched(watch: Watch<'a>) -> Self {
        Self { watch: Some(watch), session: None }
    }

    /// Of a collection's session: others must not take it for dead, however long it takes.
    pub(crate) const fn of_session(watch: Watch<'a>, session: &'a CollectSession<'a>) -> Self {
        Self { watch: Some(watch), session: Some(session) }
    }

    /// Says that the stage goes on.
    ///
    /// Errors: [`RepoError::Interrupted`] if it shall not; whatever the store says of a heartbeat.
    pub(crate) fn beat(&self) -> Result<(), RepoError> {
        if self.watch.is_some_and(|watch| (watch.is_cancelled)()) {
            return Err(RepoError::Interrupted);
        }
        match self.session {
            Some(session) => session.beat(),
            None => Ok(()),
        }
    }
}
