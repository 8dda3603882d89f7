//! What stands where in a view of a repository.

use crate::format::tree::Timestamp;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::repo::tree::reader::OwnedEntry;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// What stands somewhere in a view.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The directory of everything.
    Root,
    /// The directory of all snapshots by id.
    Snapshots,
    /// The directory of sources.
    Sources,
    /// The snapshots of a source by date.
    Source(Arc<str>),
    /// The top of a snapshot.
    Top(Arc<Top>),
    /// An entry of a snapshot.
    Entry(Arc<OwnedEntry>, Arc<Top>),
    /// A link of ours.
    Link(Arc<str>),
}

/// A snapshot that is shown.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) snapshot: SnapshotId,
    /// The top node of its tree.
    pub(crate) node: ChunkId,
    pub(crate) height: u8,
    /// Time of its data, in seconds since 1970.
    pub(crate) time: i64,
}

/// A time as this host tells it; that of 1970 for what it cannot tell.
pub(crate) fn system_time(time: Timestamp) -> SystemTime {
    let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds));
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(UNIX_EPOCH)
}
