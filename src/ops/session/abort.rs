//! `session abort`: a session is given up from outside, so that it can never commit.

use crate::format::layout::SessionRef;
use crate::format::outcome::FenceReason;
use crate::format::outcome::Subject;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::forget::guard::Consent;
use crate::ops::session::alive::ProcessState;
use crate::ops::session::alive::state_of;
use crate::ops::session::list::SessionKind;
use crate::repo::abort::Ending;
use crate::repo::abort::check_ends;
use crate::repo::abort::end;
use crate::repo::abort::ending_of;
use crate::repo::open_sessions::Roster;
use crate::repo::open_sessions::Traces;
use crate::repo::open_sessions::read_announcement;
use crate::repo::repository::Repository;
use serde::Serialize;

/// What aborting a session came to: it can never commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AbortReport {
    /// The session.
    pub session: String,
    /// Whose it is.
    pub client: String,
    /// What it was for.
    pub kind: SessionKind,
    /// How it ended.
    pub ending: AbortEnding,
    /// Whether its process lives.
    pub process_state: ProcessState,
    /// Packs that it stored and that are there.
    pub packs: u64,
    /// Their bytes.
    pub stored_bytes: u64,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AbortEnding {
    /// This command gave it up.
    Aborted,
    /// Its client had given it up before.
    GivenUpByClient,
    /// A maintenance key had given it up before, for the sake of a collection.
    GivenUpForCollection {
        /// The collection's number.
        collection: u64,
    },
    /// A collection had closed it before.
    Closed {
        /// The collection's number.
        collection: u64,
    },
}

/// Gives up the session whose id begins with `digits`.
///
/// What it stored stays until the next collection; the next run of its client on its host uses it.
/// If its process lives, it begins another session and goes on: that is refused, unless `consent`
/// forces it. A session that was given up before is left as it is.
///
/// Errors: [`OpError::Usage`] if no session or several fit; [`OpError::Refused`];
/// [`OpError::Committed`] if it is too late; [`crate::RepoError::RoleLacks`] if the session is another
/// client's and the role in use has no maintenance key.
pub fn abort(
    repository: &Repository,
    digits: &str,
    consent: Consent,
) -> Result<AbortReport, OpError> {
    let session = find(repository, digits)?;
    let announcement = match read_announcement(repository, session) {
        Ok(announcement) => Some(announcement),
        // Whatever it is for: it may be given up.
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error).during("cannot read the announcement"),
    };
    let told = announcement.as_ref();
    let process_state = state_of(repository, session.session, told);
    let (ending, is_ours) = if let Some(ending) = ending_of(repository, session).during(WHAT)? {
        (ending, false)
    } else {
        check_ends(repository, session.client).during(WHAT)?;
        if process_state == ProcessState::Alive && consent != Consent::Force {
            return Err(alive(session, told.map(|told| told.process)));
        }
        end(repository, session).during(WHAT)?
    };
    let ending = match ending {
        Ending::Fenced(_) if is_ours => AbortEnding::Aborted,
        Ending::Fenced(FenceReason::Own) => AbortEnding::GivenUpByClient,
        Ending::Fenced(FenceReason::Collection { number }) => {
            AbortEnding::GivenUpForCollection { collection: number }
        }
        Ending::Closed(collection) => AbortEnding::Closed { collection },
        Ending::Committed(subject) => return Err(committed(session, subject)),
    };
    let traces = Traces::find(repository, session, None).during("cannot list what it stored")?;
    Ok(AbortReport {
        session: session.session.to_string(),
        client: session.client.to_string(),
        kind: SessionKind::from(told.map(|told| told.purpose)),
        ending,
        process_state,
        packs: traces.pack_count,
        stored_bytes: traces.pack_bytes,
    })
}

fn find(repository: &Repository, digits: &str) -> Result<SessionRef, OpError> {
    let usage = |why: &str| OpError::Usage { why: format!("`{digits}` {why}") };
    if digits.len() < DIGITS_MIN {
        return Err(usage("is too short: give four or more digits of the session's id"));
    }
    let roster = Roster::load(repository).during("cannot read the sessions")?;
    match roster.named(digits).as_slice() {
        [session] => Ok(*session),
        [] => {
            Err(usage("begins the id of no session that is known: prunes remove those that ended"))
        }
        [_, _, ..] => Err(usage("begins the id of more than one session")),
    }
}

fn alive(session: SessionRef, process: Option<u32>) -> OpError {
    let number = process.filter(|&number| number > 0);
    let process = number.map_or_else(|| "the process".to_owned(), |it| format!("process {it}"));
    let why = format!(
        "{process} of session {} lives on this host: it would begin another session and go on",
        session.session.short()
    );
    OpError::Refused { why }
}

fn committed(session: SessionRef, subject: Option<Subject>) -> OpError {
    let what = match subject {
        Some(Subject::Snapshot { source, .. }) => format!("a snapshot of `{source}`"),
        Some(Subject::Checkpoint { source, .. }) => {
            format!("a checkpoint of `{source}`, whose run goes on in another session")
        }
        Some(Subject::Maintenance) => "what a prune copied".to_owned(),
        None => "what a collection has folded since".to_owned(),
    };
    OpError::Committed { session: session.session.to_string(), what }
}

const WHAT: &str = "cannot abort the session";
/// As many as snapshots are named by.
const DIGITS_MIN: usize = 4;
