//! Nothing is committed before the record of its beginning is durable.

use crate::format::audit::AuditEvent;
use crate::repo::audit::chain::append;
use crate::repo::audit::chain::known_head;
use crate::repo::audit::chain::obstacle;
use crate::repo::audit::spool;
use crate::repo::error::RepoError;
use crate::repo::memory::AuditHead;
use crate::repo::memory::WentBack;
use crate::repo::repository::Repository;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;

/// Where the record of a run's beginning is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// In the repository.
    Stored(AuditHead),
    /// On this host, where so many wait, for this reason.
    Kept { waiting: u64, why: String },
    /// Nowhere: this host has no memory.
    Lost { why: String },
    /// Nowhere, and the run must not go on.
    WentBack(WentBack),
    /// Nowhere, and the log is asked for.
    Refused { why: String },
}

/// What a run does with a repository, and how much it cares for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// It writes: a repository that went back is refused.
    pub(crate) writes: bool,
    /// It goes on only if its record is in the repository.
    pub(crate) required: bool,
}

/// A record that is being stored while the run goes on.
#[derive(Debug)]
pub(crate) struct Gate(Mutex<Passage>);

#[derive(Debug)]
enum Passage {
    Closed(Option<JoinHandle<Begun>>),
    Open(Begun),
}

impl Gate {
    /// Stores the record of a beginning in a thread of its own.
    pub(crate) fn begin(repository: &Repository, event: &AuditEvent, terms: Terms) -> Arc<Self> {
        let (repository, event) = (repository.clone(), event.clone());
        let thread = std::thread::spawn(move || store_begin(&repository, &event, terms));
        Arc::new(Self(Mutex::new(Passage::Closed(Some(thread)))))
    }

    /// Where the record is, once that is known.
    pub(crate) fn wait(&self) -> Begun {
        let mut passage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = match &mut *passage {
            Passage::Open(begun) => return begun.clone(),
            Passage::Closed(thread) => thread.take().and_then(|thread| thread.join().ok()),
        };
        let lost = || Begun::Refused { why: "the thread that stores it was lost".to_owned() };
        let begun = begun.unwrap_or_else(lost);
        *passage = Passage::Open(begun.clone());
        begun
    }

    /// Waits, and refuses to go on where the run must not.
    pub(crate) fn pass(&self) -> Result<(), RepoError> {
        match self.wait() {
            Begun::Stored(_) | Begun::Kept { .. } | Begun::Lost { .. } => Ok(()),
            Begun::WentBack(source) => Err(RepoError::WentBack { source }),
            Begun::Refused { why } => Err(RepoError::AuditRequired { why }),
        }
    }
}

fn store_begin(repository: &Repository, event: &AuditEvent, terms: Terms) -> Begun {
    match try_begin(repository, event) {
        Ok(head) => Begun::Stored(head),
        Err(Hindrance::Repo(RepoError::WentBack { source })) if terms.writes => {
            Begun::WentBack(source)
        }
        Err(hindrance) => {
            let why = hindrance.words();
            if terms.required {
                return Begun::Refused { why };
            }
            kept(repository, event, why)
        }
    }
}

/// Keeps a record on this host, if it has a memory.
pub(crate) fn kept(repository: &Repository, event: &AuditEvent, why: String) -> Begun {
    let Some(state) = &repository.state else {
        return Begun::Lost { why };
    };
    match spool::keep(state, repository.keys.client, event) {
        Ok(waiting) => Begun::Kept { waiting, why },
        Err(error) => Begun::Lost { why: chain_words(&error) },
    }
}

/// Why a record is not in the repository.
pub(crate) enum Hindrance {
    Known(&'static str),
    Repo(RepoError),
}

impl Hindrance {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Known(why) => (*why).to_owned(),
            Self::Repo(error) => chain_words(error),
        }
    }
}

fn try_begin(repository: &Repository, event: &AuditEvent) -> Result<AuditHead, Hindrance> {
    if let Some(why) = obstacle(repository) {
        return Err(Hindrance::Known(why));
    }
    let known = known_head(repository).map_err(Hindrance::Repo)?;
    let known = spool::deliver(repository, known, &event.time).map_err(Hindrance::Repo)?;
    append(repository, known, event, None).map_err(Hindrance::Repo)
}

fn chain_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
