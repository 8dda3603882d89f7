//! Sidecars of packs, and what is computed from them when a pack is damaged. Spec: format-spec/17-parity.md.
//!
//! Nothing is believed because of a sidecar: a pack that was computed must have the hash in its name.

use crate::crypto::hash::blake3;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::parity::End;
use crate::format::parity::PARITY_SHARDS_MAX;
use crate::format::parity::ParityHeader;
use crate::format::parity::SHARD_BYTES_UNIT;
use crate::format::parity::SIDECAR_BYTES_MAX;
use crate::format::parity::ShardHash;
use crate::key::ObjectKey;
use crate::repo::create::create_in;
use crate::repo::error::RepoError;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The sidecar of a pack; `per_mille` of its length, and at least two shards.
#[expect(clippy::expect_used, reason = "counts and lengths of shards are made for the code")]
pub(crate) fn sidecar_of(pack: &[u8], per_mille: u16) -> Vec<u8> {
    let shard_bytes = shard_bytes_for(pack.len());
    let shards: Vec<Vec<u8>> =
        pack.chunks(shard_bytes).map(|shard| padded(shard, shard_bytes)).collect();
    let wanted = (shards.len() * usize::from(per_mille)).div_ceil(1000);
    let count = wanted.clamp(PARITY_COUNT_MIN, PARITY_SHARDS_MAX);
    let parity = reed_solomon_simd::encode(shards.len(), count, &shards)
        .expect("shards are of one even length, and no more than the code takes");
    let header = ParityHeader {
        pack_bytes: to_u64(pack.len()),
        shard_bytes: to_u32(shard_bytes),
        hashes: shards.iter().chain(&parity).map(|shard| shard_hash(shard)).collect(),
    };
    header.encode_with(&parity.concat())
}

/// Stores the sidecar of a pack that is stored, if the repository wants one.
pub(crate) fn store_sidecar(
    repository: &Repository,
    pack: &PackRef,
    bytes: &[u8],
) -> Result<(), RepoError> {
    let per_mille = repository.config.limits.parity_per_mille;
    if per_mille == 0 {
        return Ok(());
    }
    let sidecar = sidecar_of(bytes, per_mille);
    let store = repository.store.as_ref();
    create_in(store, &pack.parity_key(), &sidecar, StorageClass::Data)
}

/// Makes the sidecar of a pack again; says whether the pack is whole, so that it can be done.
///
/// A damaged one is deleted first: nobody relies on it.
pub(crate) fn renew_sidecar(repository: &Repository, pack: &PackRef) -> Result<bool, RepoError> {
    let Some(bytes) = repository.located().whole_pack(pack) else { return Ok(false) };
    repository.store.delete(&pack.parity_key())?;
    store_sidecar(repository, pack, &bytes)?;
    Ok(true)
}

/// Whether a sidecar is what was stored, as far as it tells by itself.
pub(crate) fn is_sound(sidecar: &[u8]) -> bool {
    let Ok((header, shards)) = ParityHeader::decode(sidecar) else { return false };
    let hashes = header.hashes.iter().skip(header.data_count());
    let shards = shards.chunks(to_usize32(header.shard_bytes));
    shards.zip(hashes).all(|(shard, hash)| shard_hash(shard) == *hash)
}

/// Computes a pack from what is left of it and its sidecar; `None` if too much is damaged.
pub(crate) fn rebuilt(pack: &PackRef, left: &[u8], sidecar: &[u8]) -> Option<Vec<u8>> {
    [End::Front, End::Back].into_iter().find_map(|end| {
        let (header, place) = ParityHeader::decode_at(sidecar, end).ok()?;
        let bytes = rebuilt_by(&header, left, sidecar.get(place)?)?;
        (blake3(&bytes) == *pack.id.as_bytes()).then_some(bytes)
    })
}

fn rebuilt_by(header: &ParityHeader, left: &[u8], parity: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(header.pack_bytes.min(PACK_BYTES_MAX)).ok()?;
    let shard_bytes = to_usize32(header.shard_bytes);
    let (data_hashes, parity_hashes) = header.hashes.split_at_checked(header.data_count())?;
    let mut bytes = left.get(..length).unwrap_or(left).to_vec();
    bytes.resize(header.data_count() * shard_bytes, 0);
    let is_good = |shard: &[u8], hash: &ShardHash| shard_hash(shard) == *hash;
    let data: Vec<(usize, &[u8])> = numbered(&bytes, shard_bytes, data_hashes, is_good);
    let missing = header.data_count() - data.len();
    if missing > 0 {
        let parity = numbered(parity, shard_bytes, parity_hashes, is_good);
        if parity.len() < missing {
            return None;
        }
        let found = reed_solomon_simd::decode(
            header.data_count(),
            header.parity_count(),
            data.iter().copied(),
            parity.iter().copied(),
        );
        for (number, shard) in found.ok()? {
            let start = number * shard_bytes;
            bytes.get_mut(start..start + shard_bytes)?.copy_from_slice(&shard);
        }
    }
    bytes.truncate(length);
    Some(bytes)
}

/// The shards that have their hash, each with its number.
fn numbered<'a>(
    bytes: &'a [u8],
    shard_bytes: usize,
    hashes: &[ShardHash],
    is_good: impl Fn(&[u8], &ShardHash) -> bool,
) -> Vec<(usize, &'a [u8])> {
    let shards = bytes.chunks_exact(shard_bytes).zip(hashes).enumerate();
    let good = shards.filter(|(_number, (shard, hash))| is_good(shard, hash));
    good.map(|(number, (shard, _hash))| (number, shard)).collect()
}

fn padded(shard: &[u8], length: usize) -> Vec<u8> {
    let mut padded = shard.to_vec();
    padded.resize(length, 0);
    padded
}

fn shard_hash(shard: &[u8]) -> ShardHash {
    let mut hash = [0; size_of::<ShardHash>()];
    hash.iter_mut().zip(blake3(shard)).for_each(|(byte, full)| *byte = full);
    hash
}

/// About a thousand shards for a long pack; none so short that its hash weighs.
fn shard_bytes_for(pack_bytes: usize) -> usize {
    let unit = to_usize32(SHARD_BYTES_UNIT);
    let least = pack_bytes.clamp(1, SHARD_BYTES_USUAL);
    pack_bytes.div_ceil(PARITY_SHARDS_MAX).max(least).next_multiple_of(unit)
}

impl Repository {
    /// The sidecars that are stored.
    pub(crate) fn list_sidecars(&self) -> Result<BTreeSet<PackRef>, RepoError> {
        let keys = self.list_keys(layout::PARITY)?;
        Ok(keys.iter().filter_map(|key| PackRef::parse_parity(key).ok()).collect())
    }

    /// Whether packs have sidecars.
    pub fn has_parity(&self) -> bool {
        self.config.limits.parity_per_mille > 0
    }

    /// How many packs were computed from their sidecars since it was opened.
    pub fn computed_packs(&self) -> u64 {
        self.parity.as_ref().map_or(0, |parity| parity.helped())
    }

    /// The packs of this repository as they are computed from their sidecars, if it has any.
    pub(crate) fn computed_from_parity(&self) -> Option<Located> {
        self.has_parity()
            .then(|| self.located().over(Arc::new(ParityStore::new(Arc::clone(&self.store)))))
    }

    /// The same repository whose packs are computed from sidecars where they are damaged, if it has any.
    pub(crate) fn with_parity(self) -> Self {
        let parity = self.has_parity().then(|| Arc::new(ParityStore::new(Arc::clone(&self.store))));
        Self { parity, ..self }
    }
}

/// Packs as they are computed from what is left of them and their sidecars. It only reads.
pub(crate) struct ParityStore {
    store: Arc<dyn Store>,
    /// The pack that was computed last.
    last: Mutex<Option<(ObjectKey, Arc<Vec<u8>>)>>,
    helped: AtomicU64,
}

impl ParityStore {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, last: Mutex::default(), helped: AtomicU64::new(0) }
    }

    /// How many packs were computed.
    pub(crate) fn helped(&self) -> u64 {
        self.helped.load(Ordering::Relaxed)
    }

    fn pack(&self, key: &ObjectKey) -> Result<Arc<Vec<u8>>, StoreError> {
        let none = |why: &'static str| {
            let kind = StoreErrorKind::NotFound;
            StoreError::new(Operation::Read, key.as_str(), &self.location(), kind, why)
        };
        let pack = PackRef::parse(key).map_err(|_other| none("only packs have sidecars"))?;
        // One at a time: whoever waits finds it computed.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, bytes)) = &*last
            && known == key
        {
            return Ok(Arc::clone(bytes));
        }
        let sidecar = self.store.read(&pack.parity_key(), SIDECAR_BYTES_MAX)?;
        let left = self.left_of(key, &sidecar);
        let bytes = rebuilt(&pack, &left, &sidecar).ok_or_else(|| none("too much is damaged"))?;
        let bytes = Arc::new(bytes);
        self.helped.fetch_add(1, Ordering::Relaxed);
        *last = Some((key.clone(), Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// What can still be read of a pack: the disk may refuse parts of it.
    fn left_of(&self, key: &ObjectKey, sidecar: &[u8]) -> Vec<u8> {
        if let Ok(bytes) = self.store.read(key, PACK_BYTES_MAX) {
            return bytes;
        }
        let ends = [End::Front, End::Back];
        let header = ends.into_iter().find_map(|end| ParityHeader::decode_at(sidecar, end).ok());
        let (Some((header, _place)), Ok(stored)) = (header, self.store.length(key)) else {
            return Vec::new();
        };
        let length = header.pack_bytes.min(stored).min(PACK_BYTES_MAX);
        let mut left = Vec::new();
        let mut part = Vec::new();
        let mut start = 0;
        while start < length {
            let end = length.min(start + u64::from(header.shard_bytes));
            if self.store.read_range(key, start..end, &mut part).is_err() {
                part.clear();
            }
            part.resize(to_usize(end - start), 0);
            left.extend_from_slice(&part);
            start = end;
        }
        left
    }

    fn refused(&self, operation: Operation, key: &str) -> StoreError {
        let (kind, why) = (StoreErrorKind::Unsupported, "what is computed is not stored");
        StoreError::new(operation, key, &self.location(), kind, why)
    }
}

impl fmt::Debug for ParityStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ParityStore({})", self.store.location())
    }
}

impl Store for ParityStore {
    fn create(&self, key: &ObjectKey, _body: &[u8]) -> Result<(), StoreError> {
        Err(self.refused(Operation::Create, key.as_str()))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.pack(key)?;
        if to_u64(bytes.len()) > length_max {
            let (kind, why) = (StoreErrorKind::Corrupt, "it is too long");
            return Err(StoreError::new(
                Operation::Read,
                key.as_str(),
                &self.location(),
                kind,
                why,
            ));
        }
        Ok(bytes.to_vec())
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let bytes = self.pack(key)?;
        buffer.clear();
        let part = bytes.get(to_usize(range.start)..to_usize(range.end)).ok_or_else(|| {
            let (kind, why) = (StoreErrorKind::Corrupt, "it is shorter");
            StoreError::new(Operation::Read, key.as_str(), &self.location(), kind, why)
        })?;
        buffer.extend_from_slice(part);
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.pack(key).map(|bytes| to_u64(bytes.len()))
    }

    fn list(&self, _prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Ok(Vec::new())
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        Err(self.refused(Operation::Delete, key.as_str()))
    }

    fn settle(&self, _key: &ObjectKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn location(&self) -> String {
        format!("{}, computed from parity", self.store.location())
    }
}

/// A damaged part may lie across the end of a shard.
const PARITY_COUNT_MIN: usize = 2;
const SHARD_BYTES_USUAL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::layout::SessionRef;
    use crate::id::ClientId;
    use crate::id::PackId;
    use crate::id::SessionId;

    fn named(pack: &[u8]) -> PackRef {
        let session = SessionRef {
            client: ClientId::new([1; 16]),
            epoch: 0,
            session: SessionId::new([2; 16]),
        };
        PackRef { session, sequence: 1, id: PackId::new(blake3(pack)) }
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn as_much_as_is_stored_may_be_damaged() {
        for length in [1, 63, 64, 4096, 4097, 100_000, 3_000_001] {
            let pack = noise(length);
            let sidecar = sidecar_of(&pack, 30);
            assert!(is_sound(&sidecar), "{length}");
            let (header, _shards) = ParityHeader::decode(&sidecar).unwrap();
            let mut left = pack.clone();
            let step = length.div_ceil(header.parity_count());
            for at in (0..length).step_by(step.max(1)) {
                left[at] ^= 1;
            }
            assert_eq!(rebuilt(&named(&pack), &left, &sidecar).as_ref(), Some(&pack), "{length}");
        }
    }

    #[test]
    fn a_pack_that_was_cut_short_is_computed_and_one_that_lost_more_is_not() {
        let pack = noise(500_000);
        let sidecar = sidecar_of(&pack, 100);
        let cut = &pack[..460_000];
        assert_eq!(rebuilt(&named(&pack), cut, &sidecar).as_ref(), Some(&pack));
        assert_eq!(rebuilt(&named(&pack), &pack[..400_000], &sidecar), None);
        let other = named(&pack[1..]);
        assert_eq!(rebuilt(&other, &pack, &sidecar), None, "it has another hash");
    }

    #[test]
    fn one_end_of_a_sidecar_is_enough() {
        let pack = noise(50_000);
        let whole = sidecar_of(&pack, 100);
        for at in [0, 5, 20, whole.len() - 20, whole.len() - 5, whole.len() - 1] {
            let mut sidecar = whole.clone();
            sidecar[at] ^= 0x55;
            let mut left = pack.clone();
            left[25_000] ^= 1;
            assert!(!is_sound(&sidecar), "{at}");
            assert_eq!(rebuilt(&named(&pack), &left, &sidecar).as_ref(), Some(&pack), "{at}");
        }
    }

    #[test]
    fn the_code_is_the_one_of_the_page() {
        // format-spec/17-parity.md gives this digest.
        let digest = blake3(&sidecar_of(&noise(20_000), 300));
        let words = crate::id::to_hex(&digest[..8]);
        assert_eq!(words, "f0c2651009152c6b");
    }
}
