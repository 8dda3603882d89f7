//! What a run of the program records of itself: one record before work begins, one after it ended.

use crate::format::audit::AuditActor;
use crate::format::audit::AuditEnd;
use crate::format::audit::AuditEvent;
use crate::format::audit::AuditPhase;
use crate::id::SnapshotId;
use crate::id::to_hex;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::audit::chain::append;
use crate::repo::audit::gate::Begun;
use crate::repo::audit::gate::Gate;
use crate::repo::audit::gate::Terms;
use crate::repo::audit::gate::kept;
use crate::repo::environment::random;
use crate::repo::memory::AuditHead;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What a run tells of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditOptions {
    /// The command, in words of `a-z` joined by `-`.
    pub operation: &'static str,
    /// Whether it writes to the repository: then one that went back is refused.
    pub writes: bool,
    /// Whether it goes on only if the repository takes its record.
    pub required: bool,
    /// The user of the process.
    pub user_id: u32,
    /// Who called `sudo`, if somebody did.
    pub sudo_user: Option<String>,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// Where it was asked for, in the user's words.
    pub ticket: Option<String>,
    /// What is accepted of a repository that went back in time.
    pub accepted_rollback: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunEnd {
    /// The exit code of the process.
    pub exit_code: u8,
    /// The stable code of the error that ended it.
    pub error: Option<String>,
    /// What it was of, in a word: the source of a snapshot, the name of a copy or of a drill.
    pub subject: Option<String>,
    /// Snapshots that were read or made.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Bytes of content.
    pub bytes: Option<u64>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Where the records of a run are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditReport {
    /// Whose log it is.
    pub client: String,
    /// Number of the last record, if the run stored it.
    pub seq: Option<u32>,
    /// SHA-256 of its statement: whoever has it can prove later that the log was cut off.
    pub sha256: Option<String>,
    /// Records that wait on this host for a run that can store them.
    pub waiting: u64,
    /// Why the records of this run are not in the repository, if they are not.
    pub why: Option<String>,
}

/// A run that is recorded.
#[derive(Debug)]
pub struct AuditRun {
    repository: Repository,
    event: AuditEvent,
    gate: Arc<Gate>,
}

impl AuditOptions {
    /// A command that only reads, by this user.
    pub const fn new(operation: &'static str, user_id: u32) -> Self {
        Self {
            operation,
            writes: false,
            required: false,
            user_id,
            sudo_user: None,
            reason: None,
            ticket: None,
            accepted_rollback: None,
        }
    }
}

impl RunEnd {
    /// An end with this exit code.
    pub fn new(exit_code: u8) -> Self {
        Self { exit_code, ..Self::default() }
    }
}

impl AuditRun {
    /// Begins to store the first record, in a thread of its own; returns the repository through
    /// which nothing is committed before that is done.
    pub fn begin(
        repository: &Repository,
        options: &AuditOptions,
        snapshots: &BTreeSet<SnapshotId>,
    ) -> (Repository, Self) {
        let environment = repository.environment.as_ref();
        let (seconds, nanoseconds) = environment.now();
        let AuditOptions { operation, writes, required, user_id, .. } = options;
        let AuditOptions { sudo_user, reason, ticket, accepted_rollback, .. } = options;
        let event = AuditEvent {
            time: time_words(seconds, nanoseconds),
            operation: (*operation).to_owned(),
            run: to_hex(&random::<16>(environment)),
            phase: AuditPhase::Begin,
            actor: AuditActor::new(repository.client(), *user_id, sudo_user.clone()),
            host: environment.process().host,
            tool: TOOL.to_owned(),
            subject: None,
            snapshots: snapshots.iter().copied().collect(),
            reason: reason.clone(),
            ticket: ticket.clone(),
            accepted_rollback: accepted_rollback.clone(),
        };
        let terms = Terms { writes: *writes, required: *required };
        let gate = Gate::begin(repository, &event, terms);
        let mut guarded = repository.clone();
        guarded.gate = Some(Arc::clone(&gate));
        (guarded, Self { repository: repository.clone(), event, gate })
    }

    /// Waits until the first record is durable, here or in the repository.
    ///
    /// Errors: the run must not go on.
    pub fn wait(&self) -> Result<(), OpError> {
        Ok(self.gate.pass()?)
    }

    /// Stores the second record.
    pub fn end(&self, end: RunEnd) -> AuditReport {
        let RunEnd { exit_code, error, subject, snapshots, bytes, elapsed } = end;
        let first = self.gate.wait();
        let began = if let Begun::Stored(head) = first { Some(head.seq) } else { None };
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let (seconds, nanoseconds) = self.repository.environment.now();
        let mut event = self.event.clone();
        event.time = time_words(seconds, nanoseconds);
        event.accepted_rollback = None;
        event.subject = subject;
        event.snapshots = snapshots.into_iter().collect();
        event.phase = AuditPhase::End(AuditEnd { began, exit_code, error, bytes, milliseconds });
        let ended = match first {
            Begun::Stored(head) => match append(&self.repository, Some(head), &event, None) {
                Ok(head) => Begun::Stored(head),
                Err(error) => kept(&self.repository, &event, chain_words(&error)),
            },
            Begun::Kept { why, .. } => kept(&self.repository, &event, why),
            Begun::Lost { .. } | Begun::WentBack(_) | Begun::Refused { .. } => first,
        };
        self.report(ended)
    }

    fn report(&self, ended: Begun) -> AuditReport {
        let report = AuditReport {
            client: self.repository.client().to_string(),
            seq: None,
            sha256: None,
            waiting: 0,
            why: None,
        };
        match ended {
            Begun::Stored(AuditHead { seq, digest }) => {
                AuditReport { seq: Some(seq), sha256: Some(digest.to_string()), ..report }
            }
            Begun::Kept { waiting, why } => AuditReport { waiting, why: Some(why), ..report },
            Begun::Lost { why } | Begun::Refused { why } => {
                AuditReport { why: Some(why), ..report }
            }
            Begun::WentBack(back) => AuditReport { why: Some(back.to_string()), ..report },
        }
    }
}
