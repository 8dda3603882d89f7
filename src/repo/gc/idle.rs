//! Surveys that found nothing to free are not made again as long as nothing changed that they
//! depend on.
//!
//! A survey is a pure function of what [`Considered`] holds: snapshots, segments and chunks are named by
//! what they are. Its result is remembered in the disposable cache, and only if it was that there is
//! nothing to do: a wrong or forged memory keeps waste until something changes, and deletes nothing.

use crate::crypto::hash::blake3;
use crate::format::codec;
use crate::format::gc::Base;
use crate::format::gc::PackName;
use crate::id::PackId;
use crate::id::RecordId;
use crate::repo::announce::TOOL;
use crate::repo::gc::choose::RepackPolicy;
use crate::repo::gc::choose::UnusedMax;
use crate::repo::gc::start::Tally;
use crate::repo::repository::Repository;

/// Everything that a survey depends on.
#[derive(Debug, codec::Encode)]
pub(crate) struct Considered {
    /// Another version may choose otherwise.
    pub(crate) tool: String,
    pub(crate) policy: (u8, u64, u64, bool),
    /// The roots, and every segment that counts.
    pub(crate) base: Base,
    pub(crate) forgets: Vec<RecordId>,
    /// The stored packs, how long each is, and whether its session is closed.
    pub(crate) packs: Vec<(PackName, u64, bool)>,
    pub(crate) damaged: Vec<PackId>,
}

/// What stands for everything that a survey depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, codec::Encode, codec::Decode)]
pub(crate) struct Fingerprint([u8; 32]);

/// A survey that found nothing to free; encoded like a record, and not part of the format.
#[derive(Debug, codec::Encode, codec::Decode)]
struct Idle {
    fingerprint: Fingerprint,
    tally: Tally,
}

impl Considered {
    /// The version and the policy; the rest is to be filled in.
    pub(crate) fn new(policy: &RepackPolicy, base: Base) -> Self {
        let RepackPolicy { unused_max, repack_bytes_max, splits_data } = *policy;
        let (kind, unused) = match unused_max {
            UnusedMax::Share(parts) => (0, u64::from(parts)),
            UnusedMax::Bytes(bytes) => (1, bytes),
        };
        Self {
            tool: TOOL.to_owned(),
            policy: (kind, unused, repack_bytes_max, splits_data),
            base,
            forgets: Vec::new(),
            packs: Vec::new(),
            damaged: Vec::new(),
        }
    }

    /// What stands for it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(blake3(&codec::encode(self)))
    }
}

/// What a survey came to that depended on the same and found nothing to free.
pub(crate) fn recall(repository: &Repository, fingerprint: Fingerprint) -> Option<Tally> {
    let bytes = repository.cache.as_ref()?.idle()?;
    let (body, checksum) = bytes.split_last_chunk::<32>()?;
    if *checksum != blake3(body) {
        return None;
    }
    let idle: Idle = codec::decode::<_, IDLE_MEMORY_MAX>("survey", body).ok()?;
    (idle.fingerprint == fingerprint).then_some(idle.tally)
}

/// Remembers a survey that found nothing to free.
pub(crate) fn remember(repository: &Repository, fingerprint: Fingerprint, tally: Tally) {
    if let Some(cache) = &repository.cache {
        let mut bytes = codec::encode(&Idle { fingerprint, tally });
        let checksum = blake3(&bytes);
        bytes.extend_from_slice(&checksum);
        cache.store_idle(&bytes);
    }
}

const IDLE_MEMORY_MAX: usize = 4096;
