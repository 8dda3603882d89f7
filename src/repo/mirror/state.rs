//! What the notes of a place say: whether it is a mirror, and how far. Spec: format-spec/15-mirror.md.

use crate::crypto::hash::digest;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::format::layout::SessionRef;
use crate::format::mirror::MirrorNote;
use crate::id::Digest;
use crate::id::SessionId;
use crate::repo::amendments::Amended;
use crate::repo::error::RepoError;
use crate::repo::history::received_seconds;
use crate::repo::identities::Identities;
use crate::repo::keyring::KeyRing;
use crate::repo::mirror::error::MirrorError;
use crate::repo::objects;
use crate::repo::repository::Repository;
use crate::store::Listed;
use crate::store::Store;
use std::collections::HashMap;
use std::sync::Arc;

/// A place that is a mirror, or was one.
#[derive(Debug, Clone)]
pub(crate) struct MirrorState {
    /// Where its source is; empty if no note says.
    pub(crate) source: String,
    /// The time whose state it shows, in seconds since 1970, once it was complete.
    pub(crate) shows: Option<i64>,
    /// Whether it is a repository of its own since.
    pub(crate) is_promoted: bool,
    /// BLAKE3 of the stored bytes of its first note, if that is there.
    pub(crate) first: Option<Digest>,
    /// The number of its newest note.
    pub(crate) newest: u32,
    receipts: HashMap<SessionId, i64>,
    /// When it was promoted: what was received before was received elsewhere first.
    promoted_at: Option<i64>,
}

impl MirrorState {
    /// Reads the notes; `None` where there is none.
    ///
    /// A note that cannot be opened still says that this is a mirror.
    pub(crate) fn load(
        store: &dyn Store,
        keys: &KeyRing,
        identities: &Identities,
        amended: &Amended,
    ) -> Result<Option<Self>, RepoError> {
        let Some(&newest) = amended.notes.last() else { return Ok(None) };
        let first = match read(store, 1) {
            Ok(bytes) => Some(digest(&bytes)),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let is_promoted = match first {
            Some(first) => amended.promoted.iter().any(|(mirror, _history)| *mirror == first),
            None => !amended.promoted.is_empty(),
        };
        let note = match open(store, keys, identities, newest) {
            Ok(note) => Some(note),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let shows = note.as_ref().filter(|note| note.number > 1).map(|note| note.time);
        let (source, receipts) =
            note.map_or_else(Default::default, |note| (note.source, note.receipts));
        let receipts = receipts.into_iter().map(|each| (each.session, each.received)).collect();
        Ok(Some(Self {
            source,
            shows,
            is_promoted,
            first,
            newest,
            receipts,
            promoted_at: amended.promoted_at,
        }))
    }
}

impl Repository {
    /// Whether it is a mirror that was not promoted.
    pub(crate) fn is_mirror(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| !mirror.is_promoted)
    }

    /// The same repository as it would be if it had been promoted.
    pub(crate) fn as_promoted(&self) -> Self {
        let promoted = |mirror: &Arc<MirrorState>| {
            Arc::new(MirrorState { is_promoted: true, ..mirror.as_ref().clone() })
        };
        // What this host has seen of the source says nothing of a mirror that lags behind.
        Self { mirror: self.mirror.as_ref().map(promoted), state: None, ..self.clone() }
    }

    /// Whether the outcome of a session was copied from elsewhere, without the announcement.
    pub(crate) fn is_copied(&self, session: SessionRef) -> bool {
        let is_noted = |mirror: &Arc<MirrorState>| mirror.receipts.contains_key(&session.session);
        self.is_mirror() || self.mirror.as_ref().is_some_and(is_noted)
    }

    /// Refuses to go on in a mirror: nobody but whoever mirrors writes there.
    pub(crate) fn check_no_mirror(&self) -> Result<(), RepoError> {
        if self.is_mirror() {
            return Err(MirrorError::ReadOnly { location: self.location() }.into());
        }
        Ok(())
    }

    /// When the outcome of a session was received, in seconds since 1970: by the store, or by
    /// that from which it was mirrored.
    pub(crate) fn received(&self, session: SessionRef, at: &Listed) -> i64 {
        let noted = self.mirror.as_ref().and_then(|mirror| mirror.noted(session.session));
        noted.unwrap_or_else(|| received_seconds(at))
    }
}

impl MirrorState {
    /// When the store that is mirrored received the outcome of a session, if the notes say.
    pub(crate) fn noted(&self, session: SessionId) -> Option<i64> {
        self.receipts.get(&session).copied().filter(|&received| received != 0)
    }

    /// Whether an object that this place received then was received elsewhere before.
    pub(crate) fn copied(&self, received: i64) -> bool {
        !self.is_promoted || self.promoted_at.is_none_or(|promoted| received <= promoted)
    }
}

/// BLAKE3 of the stored bytes of a mirror's first note, if that is there.
pub(crate) fn first_note(store: &dyn Store) -> Option<Digest> {
    read(store, 1).ok().map(|bytes| digest(&bytes))
}

fn read(store: &dyn Store, number: u32) -> Result<Vec<u8>, RepoError> {
    let length_max = u64::from(ObjectKind::Mirror.raw_bytes_max()) + 131_072;
    Ok(store.read(&layout::mirror_key(number), length_max)?)
}

fn open(
    store: &dyn Store,
    keys: &KeyRing,
    identities: &Identities,
    number: u32,
) -> Result<MirrorNote, RepoError> {
    let key = layout::mirror_key(number);
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let opened = objects::open(ObjectKind::Mirror, keys, key.as_str(), &read(store, number)?)?;
    let signer = opened.signer();
    let body = identities.by_any_client(keys.repository, opened)?;
    if identities.is_bounded(signer) {
        let listed = store.list(layout::AMENDMENTS)?.into_iter().find(|listed| listed.key == key);
        let received = listed.map(|listed| received_seconds(&listed)).filter(|&time| time != 0);
        if let Some(lapse) = received.and_then(|time| identities.lapse_at(signer, time)) {
            return Err(RepoError::Lapsed { key: key.to_string(), signer, lapse });
        }
    }
    let note = MirrorNote::decode(&body).map_err(decode)?;
    note.check_place(number).map_err(decode)?;
    Ok(note)
}
