//! What the answers within one call to the store said: `object_store` tells a status at most.
//! Invariant: notes belong to one call; calls of other threads have their own.

use crate::store::cloud::location::CloudKind;
use bytes::Bytes;
use std::cell::RefCell;
use tokio::task_local;

task_local! {
    static NOTES: RefCell<Notes>;
}

/// Notes on one call.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The last answer that was no success.
    pub(crate) refusal: Option<Refusal>,
    /// What went wrong below HTTP, or with it.
    pub(crate) trouble: Option<Trouble>,
    /// Requests to create an object that were sent.
    pub(crate) sent_creates: u32,
    /// How the object that is created is locked.
    pub(crate) lock: Option<ObjectLock>,
    /// CRC-32C of the body that is sent, for stores that compare it.
    pub(crate) crc32c: Option<u32>,
}

/// A lock on an object: nobody may delete or replace its version until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectLock {
    /// Whether some may lift it, in the store's words.
    pub(crate) mode: &'static str,
    /// As [`super::versions::time_words`] says it.
    pub(crate) until: String,
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The store's word for it; empty if there is none.
    pub(crate) code: String,
    /// What it means, in the store's words.
    pub(crate) message: String,
}

/// Why there was no answer, or none that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection.
    Unreachable,
    /// Not in time.
    Late,
    /// The connection ended before the answer did.
    Cut,
    /// The store says that it received other bytes than were sent.
    Altered,
    /// There are no credentials, and no machine's service that has some.
    NoCredentials,
}

impl Notes {
    /// Notes on sending a body.
    pub(crate) fn of_body(kind: CloudKind, body: &Bytes) -> Self {
        let crc32c = (kind == CloudKind::Google).then(|| {
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body);
            u32::try_from(crc).unwrap_or_default()
        });
        Self { crc32c, ..Self::default() }
    }
}

/// Runs calls to the store with notes of their own, which come with an error.
pub(crate) async fn with<T, E>(
    notes: Notes,
    calls: impl Future<Output = Result<T, E>>,
) -> Result<T, (E, Notes)> {
    let call = async {
        let ended = calls.await;
        ended.map_err(|error| (error, NOTES.with(RefCell::take)))
    };
    NOTES.scope(RefCell::new(notes), call).await
}

/// Changes the notes of the call that runs, if one does.
pub(crate) fn note(change: impl FnOnce(&mut Notes)) {
    // Requests outside a call are for nobody who reads notes.
    let _ignored = NOTES.try_with(|notes| change(&mut notes.borrow_mut()));
}

/// How the object that the call creates is locked, if it is.
pub(crate) fn lock() -> Option<ObjectLock> {
    NOTES.try_with(|notes| notes.borrow().lock.clone()).ok().flatten()
}

/// The CRC-32C of the body that the call sends, if its store compares it.
pub(crate) fn crc32c() -> Option<u32> {
    NOTES.try_with(|notes| notes.borrow().crc32c).ok().flatten()
}
