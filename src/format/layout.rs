//! Object keys of every kind of object. Spec: format-spec/01-layout.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::PackId;
use crate::id::RecordId;
use crate::id::SegmentId;
use crate::id::SessionId;
use crate::id::SlotId;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use std::str::FromStr;

/// The writer's run to which an object belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    /// Whose session.
    pub client: ClientId,
    /// Number of the newest plan when the session was announced.
    pub epoch: u64,
    /// Which session.
    pub session: SessionId,
}

/// Where a pack is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackRef {
    /// The session that wrote it.
    pub session: SessionRef,
    /// Its number in that session.
    pub sequence: u32,
    /// BLAKE3 of its bytes.
    pub id: PackId,
}

/// Where an index segment is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentRef {
    /// The session that wrote it.
    pub session: SessionRef,
    /// Its number in that session.
    pub sequence: u32,
    /// BLAKE3 of its bytes.
    pub id: SegmentId,
}

/// What an object of the folder `gc/<n>` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GcObject {
    /// The register that holds the hash of the plan.
    Plan,
    /// The register that holds the hash of the verdict.
    Verdict,
    /// Says that every delete of the verdict is durable.
    Done,
    /// A body that a register names.
    Body(Digest),
}

impl SessionRef {
    /// Key of the announcement.
    pub fn announcement_key(&self) -> ObjectKey {
        self.key_in(SESSIONS)
    }

    /// Key of the register that decides the session.
    pub fn outcome_key(&self) -> ObjectKey {
        self.key_in(OUTCOMES)
    }

    /// Key of the manifest that the session may commit.
    pub fn manifest_key(&self) -> ObjectKey {
        manifest_key(self.client, self.session.into())
    }

    /// Key of the session's heartbeat with this number.
    pub fn heartbeat_key(&self, number: u32) -> ObjectKey {
        key(format!("{HEARTBEATS}/{}/{}/{number:08}", self.client, self.session))
    }

    /// Prefix of the session's heartbeats.
    pub fn heartbeats_prefix(&self) -> String {
        format!("{HEARTBEATS}/{}/{}", self.client, self.session)
    }

    /// Prefix of the session's packs.
    pub fn packs_prefix(&self) -> String {
        self.key_in(PACKS).as_str().to_owned()
    }

    /// Prefix of the session's index segments.
    pub fn segments_prefix(&self) -> String {
        self.key_in(INDEX).as_str().to_owned()
    }

    /// Parses the key of an announcement.
    pub fn parse_announcement(key: &ObjectKey) -> Result<Self, FormatError> {
        Self::parse_in(SESSIONS, key)
    }

    /// Parses the key of an outcome.
    pub fn parse_outcome(key: &ObjectKey) -> Result<Self, FormatError> {
        Self::parse_in(OUTCOMES, key)
    }

    fn key_in(&self, folder: &str) -> ObjectKey {
        key(format!("{folder}/{}/{:012}/{}", self.client, self.epoch, self.session))
    }

    fn parse_in(folder: &str, key: &ObjectKey) -> Result<Self, FormatError> {
        match segments::<4>(key)? {
            [first, client, epoch, session] if first == folder => {
                Self::parse_parts(client, epoch, session)
            }
            _ => Err(wrong_key()),
        }
    }

    fn parse_parts(client: &str, epoch: &str, session: &str) -> Result<Self, FormatError> {
        Ok(Self { client: id(client)?, epoch: number(epoch, 12)?, session: id(session)? })
    }
}

impl PackRef {
    /// The pack's object key.
    pub fn key(&self) -> ObjectKey {
        key(format!("{}-{}", self.place(), self.id))
    }

    /// The key of the pack's sidecar.
    pub fn parity_key(&self) -> ObjectKey {
        let SessionRef { client, epoch, session } = &self.session;
        key(format!("{PARITY}/{client}/{epoch:012}/{session}/{:06}-{}", self.sequence, self.id))
    }

    /// Parses the key of a pack's sidecar.
    pub fn parse_parity(key: &ObjectKey) -> Result<Self, FormatError> {
        let (session, sequence, id) = parse_numbered(PARITY, key)?;
        Ok(Self { session, sequence, id })
    }

    /// The key without the hash of the content: the part that is known before the pack is complete.
    pub fn place(&self) -> String {
        format!("{}/{:06}", self.session.packs_prefix(), self.sequence)
    }

    /// Parses a pack's object key.
    pub fn parse(key: &ObjectKey) -> Result<Self, FormatError> {
        let (session, sequence, id) = parse_numbered(PACKS, key)?;
        Ok(Self { session, sequence, id })
    }
}

impl SegmentRef {
    /// The segment's object key.
    pub fn key(&self) -> ObjectKey {
        key(format!("{}-{}", self.place(), self.id))
    }

    /// The key without the hash of the content.
    pub fn place(&self) -> String {
        format!("{}/{:06}", self.session.segments_prefix(), self.sequence)
    }

    /// Parses a segment's object key.
    pub fn parse(key: &ObjectKey) -> Result<Self, FormatError> {
        let (session, sequence, id) = parse_numbered(INDEX, key)?;
        Ok(Self { session, sequence, id })
    }
}

/// Key of the repository's config.
pub fn config_key() -> ObjectKey {
    key(CONFIG.to_owned())
}

/// Key of the config's amendment with this number.
pub fn amendment_key(number: u32) -> ObjectKey {
    key(format!("{AMENDMENTS}/{number:08}"))
}

/// Key of the note of a mirror with this number.
pub fn mirror_key(number: u32) -> ObjectKey {
    key(format!("{AMENDMENTS}/{MIRROR}/{number:08}"))
}

/// The number in the key of a note of a mirror.
pub fn parse_mirror_key(key: &ObjectKey) -> Result<u32, FormatError> {
    match segments::<3>(key)? {
        [AMENDMENTS, MIRROR, text] => {
            u32::try_from(number(text, 8)?).map_err(|_source| wrong_key())
        }
        _ => Err(wrong_key()),
    }
}

/// Key of a key slot.
pub fn slot_key(slot: SlotId) -> ObjectKey {
    key(format!("{KEYS}/{slot}"))
}

/// Parses the key of a key slot.
pub fn parse_slot_key(key: &ObjectKey) -> Result<SlotId, FormatError> {
    match segments::<2>(key)? {
        [KEYS, slot] => id(slot),
        _ => Err(wrong_key()),
    }
}

/// Key of the certificate or revocation with this number.
pub fn identity_key(number: u32) -> ObjectKey {
    key(format!("{IDENTITIES}/{number:08}"))
}

/// Key of a snapshot's manifest.
pub fn manifest_key(client: ClientId, snapshot: SnapshotId) -> ObjectKey {
    key(format!("{MANIFESTS}/{client}/{snapshot}"))
}

/// Key of a forget request.
pub fn forget_key(record: RecordId) -> ObjectKey {
    key(format!("{FORGET}/{record}"))
}

/// Key of the audit record of a client with this number.
pub fn audit_key(client: ClientId, number: u32) -> ObjectKey {
    key(format!("{AUDIT}/{client}/{number:08}"))
}

/// Key of the record of a client with this kind and number; the kind is `a-z` and `-` only.
pub fn record_key(kind: &str, client: ClientId, number: u32) -> ObjectKey {
    key(format!("{RECORDS}/{kind}/{client}/{number:08}"))
}

/// Parses the key of a forget request.
pub fn parse_forget_key(key: &ObjectKey) -> Result<RecordId, FormatError> {
    match segments::<2>(key)? {
        [FORGET, record] => id(record),
        _ => Err(wrong_key()),
    }
}

/// Parses the key of an audit record: its client and number.
pub fn parse_audit_key(key: &ObjectKey) -> Result<(ClientId, u32), FormatError> {
    match segments::<3>(key)? {
        [AUDIT, client, count] => {
            let count = u32::try_from(number(count, 8)?).map_err(|_source| wrong_key())?;
            Ok((id(client)?, count))
        }
        _ => Err(wrong_key()),
    }
}

/// Parses the key of a record of this kind: its client and number.
pub fn parse_record_key(kind: &str, key: &ObjectKey) -> Result<(ClientId, u32), FormatError> {
    match segments::<4>(key)? {
        [RECORDS, stated, client, count] if stated == kind => {
            let count = u32::try_from(number(count, 8)?).map_err(|_source| wrong_key())?;
            Ok((id(client)?, count))
        }
        _ => Err(wrong_key()),
    }
}

/// Key of the inventory with this number.
pub fn inventory_key(number: u64) -> ObjectKey {
    key(format!("{INVENTORY}/{number:012}"))
}

/// The number in the key of an inventory.
pub fn parse_inventory_key(key: &ObjectKey) -> Option<u64> {
    match segments::<2>(key).ok()? {
        [INVENTORY, text] => number(text, 12).ok(),
        _ => None,
    }
}

/// Key of an object of a garbage collection.
pub fn gc_key(collection: u64, object: GcObject) -> ObjectKey {
    let name = match object {
        GcObject::Plan => "plan".to_owned(),
        GcObject::Verdict => "verdict".to_owned(),
        GcObject::Done => "done".to_owned(),
        GcObject::Body(digest) => digest.to_string(),
    };
    key(format!("{GC}/{collection:012}/{name}"))
}

/// Parses the key of an object of a garbage collection.
pub fn parse_gc_key(key: &ObjectKey) -> Result<(u64, GcObject), FormatError> {
    let [first, collection, name] = segments::<3>(key)?;
    if first != GC {
        return Err(wrong_key());
    }
    let object = match name {
        "plan" => GcObject::Plan,
        "verdict" => GcObject::Verdict,
        "done" => GcObject::Done,
        body => GcObject::Body(id(body)?),
    };
    Ok((number(collection, 12)?, object))
}

fn parse_numbered<T: FromStr>(
    folder: &str,
    key: &ObjectKey,
) -> Result<(SessionRef, u32, T), FormatError> {
    let [first, client, epoch, session, name] = segments::<5>(key)?;
    if first != folder {
        return Err(wrong_key());
    }
    let (sequence, hash) = name.split_once('-').ok_or_else(wrong_key)?;
    let sequence = u32::try_from(number(sequence, 6)?).map_err(|_source| wrong_key())?;
    Ok((SessionRef::parse_parts(client, epoch, session)?, sequence, id(hash)?))
}

fn segments<const N: usize>(key: &ObjectKey) -> Result<[&str; N], FormatError> {
    let parts: Vec<&str> = key.segments().collect();
    <[&str; N]>::try_from(parts).map_err(|_parts| wrong_key())
}

fn id<T: FromStr>(text: &str) -> Result<T, FormatError> {
    text.parse().map_err(|_source| wrong_key())
}

/// A decimal number of exactly `digits` digits, more only if it needs them.
fn number(text: &str, digits: usize) -> Result<u64, FormatError> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == digits || (text.len() > digits && !text.starts_with('0')));
    if !canonical {
        return Err(wrong_key());
    }
    text.parse().map_err(|_source| wrong_key())
}

fn wrong_key() -> FormatError {
    FormatError::new("object key", Rule::ObjectKey, 0)
}

#[expect(clippy::expect_used, reason = "built from hexadecimal, digits and constants only")]
fn key(text: String) -> ObjectKey {
    ObjectKey::new(text).expect("keys made here have valid segments")
}

/// The config's key.
pub const CONFIG: &str = "config";
/// Folder of config amendments.
pub const AMENDMENTS: &str = "amendments";
/// Folder, in that of amendments, of the notes of a mirror.
pub const MIRROR: &str = "mirror";
/// Folder of key slots.
pub const KEYS: &str = "keys";
/// Folder of certificates and revocations.
pub const IDENTITIES: &str = "ids";
/// Folder of announcements.
pub const SESSIONS: &str = "sessions";
/// Folder of heartbeats.
pub const HEARTBEATS: &str = "heartbeats";
/// Folder of packs.
pub const PACKS: &str = "packs";
/// Sidecars of packs.
pub const PARITY: &str = "parity";
/// Folder of index segments.
pub const INDEX: &str = "index";
/// Folder of manifests.
pub const MANIFESTS: &str = "manifests";
/// Folder of outcome registers.
pub const OUTCOMES: &str = "outcomes";
/// Folder of forget requests.
pub const FORGET: &str = "forget";
/// Folder of audit logs.
pub const AUDIT: &str = "audit";
/// Folder of signed records.
pub const RECORDS: &str = "records";
/// Folder of inventories.
pub const INVENTORY: &str = "inventory";
/// Folder of garbage collections.
pub const GC: &str = "gc";

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionRef {
        SessionRef { client: ClientId::new([1; 16]), epoch: 7, session: SessionId::new([2; 16]) }
    }

    #[test]
    fn keys_parse_back() {
        let session = session();
        assert_eq!(SessionRef::parse_outcome(&session.outcome_key()), Ok(session));
        let pack = PackRef { session, sequence: 3, id: PackId::new([9; 32]) };
        assert_eq!(PackRef::parse(&pack.key()), Ok(pack));
        let body = GcObject::Body(Digest::new([4; 32]));
        assert_eq!(parse_gc_key(&gc_key(12, body)), Ok((12, body)));
    }

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(number("000000000007", 12), Ok(7));
        assert!(number("0000000000007", 12).is_err());
        assert!(number("7", 12).is_err());
        assert!(number("+00000000007", 12).is_err());
    }
}
