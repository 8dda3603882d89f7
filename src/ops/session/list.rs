//! `session list`: every run that may still commit, and whether somebody waits for it.

use crate::format::keyslot::Role;
use crate::format::session::Purpose;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::session::alive::ProcessState;
use crate::ops::session::alive::state_of;
use crate::repo::gc::chain::GcChain;
use crate::repo::gc::chain::Step;
use crate::repo::open_sessions::Undecided;
use crate::repo::open_sessions::open_sessions;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The runs that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionList {
    /// By client and age.
    pub sessions: Vec<SessionRow>,
    /// The collection that cannot go on before every session of an earlier epoch ended.
    pub waiting_collection: Option<u64>,
}

/// A run that has not ended. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionRow {
    /// The session.
    pub session: String,
    /// Whose it is.
    pub client: String,
    /// Whether it is of the client whose key is in use.
    pub is_own: bool,
    /// The role of that client's key, if a certificate tells it.
    pub role: Option<&'static str>,
    /// What it is for.
    pub kind: SessionKind,
    /// What it backs up, if it told.
    pub source: Option<String>,
    /// On which host, if it told.
    pub host: Option<String>,
    /// The number of its process there, if it told.
    pub process: Option<u32>,
    /// Whether that process lives.
    pub process_state: ProcessState,
    /// Name and version of its program.
    pub tool: Option<String>,
    /// Number of the newest plan when it began.
    pub epoch: u64,
    /// When it began, by its own clock.
    pub begun: Option<i64>,
    /// When the store received its announcement.
    pub announced: Option<i64>,
    /// How long ago that was, by this host's clock.
    pub age_seconds: Option<u64>,
    /// When the store last received a pack or an index segment of it.
    pub last_stored: Option<i64>,
    /// When the store last received a heartbeat of it.
    pub last_heartbeat: Option<i64>,
    /// How long ago the store last received anything of it, by this host's clock.
    pub idle_seconds: Option<u64>,
    /// Packs that it stored.
    pub packs: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Whether the collection that runs waits for it.
    pub holds_up: bool,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionKind {
    /// A backup.
    Backup,
    /// A prune.
    Prune,
    /// Reads for a long time.
    Read,
    /// Its announcement cannot be read.
    Unreadable,
}

/// Lists the sessions that may still commit.
pub fn sessions(repository: &Repository) -> Result<SessionList, OpError> {
    let chain = GcChain::load(repository).during("cannot read the collections")?;
    let waiting_collection = match chain.step() {
        Step::Drain(number) => Some(number),
        Step::Start(_) | Step::Sweep(_) => None,
    };
    let open = open_sessions(repository).during("cannot read the sessions")?;
    let now = repository.environment.now().0;
    let rows = open.iter().map(|open| row(repository, open, waiting_collection, now)).collect();
    Ok(SessionList { sessions: rows, waiting_collection })
}

impl From<Option<Purpose>> for SessionKind {
    fn from(purpose: Option<Purpose>) -> Self {
        match purpose {
            Some(Purpose::Write) => Self::Backup,
            Some(Purpose::Collect) => Self::Prune,
            Some(Purpose::Read) => Self::Read,
            None => Self::Unreadable,
        }
    }
}

fn row(repository: &Repository, open: &Undecided, waiting: Option<u64>, now: i64) -> SessionRow {
    let Undecided { session, announcement, traces } = open;
    let told = announcement.as_ref();
    let kind = SessionKind::from(told.map(|told| told.purpose));
    let name = |name: &String| (!name.is_empty()).then(|| name.clone());
    let ago = |time: i64| u64::try_from(now.saturating_sub(time)).unwrap_or(0);
    let announced = traces.announced.map(seconds);
    SessionRow {
        session: session.session.to_string(),
        client: session.client.to_string(),
        is_own: session.client == repository.keys.client,
        role: repository.identities.role_of_client(session.client).map(Role::word),
        kind,
        source: told.and_then(|told| name(&told.source)),
        host: told.and_then(|told| name(&told.host)),
        process: told.map(|told| told.process).filter(|&number| number > 0),
        process_state: state_of(repository, session.session, told),
        tool: told.map(|told| told.tool.clone()),
        epoch: session.epoch,
        begun: told.map(|told| told.started),
        announced,
        age_seconds: announced.or(told.map(|told| told.started)).map(ago),
        last_stored: traces.stored.map(seconds),
        last_heartbeat: traces.heartbeat.map(seconds),
        idle_seconds: traces.last().map(seconds).map(ago),
        packs: traces.pack_count,
        stored_bytes: traces.pack_bytes,
        // A collection gives up those that lost their plan to it: it does not wait for them.
        holds_up: kind != SessionKind::Prune && waiting == Some(session.epoch + 1),
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
