//! What only a test looks at or forges: which keys a slot holds, and signatures that do not count.
//! Invariant: nothing is added to what the library itself does.

use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::content::Extent;
use crate::format::envelope;
use crate::format::envelope::ObjectKind;
use crate::format::envelope::SignedBody;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::SlotKeys;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::pack::PackHeader;
use crate::format::pack::PackKind;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::key::ObjectKey;
use crate::repo::audit_objects::open_any;
use crate::repo::error::RepoError;
use crate::repo::kept_dump::older::KeptDump;
use crate::repo::kept_dump::place::folders;
use crate::repo::kept_dump::seal::DumpSeal;
use crate::repo::objects;
use crate::repo::packkey;
use crate::repo::repository::Repository;
use crate::repo::repository::length_max;
use std::sync::Arc;

/// The names of the keys that the slot in use holds, in the order of the format's page.
pub fn held_keys(repository: &Repository) -> Vec<&'static str> {
    let SlotKeys {
        authority_public: _,
        authority,
        maintenance,
        client: _,
        client_key: _,
        id_key,
        gear_key,
        generations,
    } = &repository.keys.keys;
    let mut held = Vec::new();
    let mut add = |name, is_there: bool| held.extend(is_there.then_some(name));
    add("id", id_key.is_some());
    add("gear", gear_key.is_some());
    for keys in generations {
        let GenerationKeys {
            generation: _,
            index,
            manifest,
            tree,
            data,
            tree_seal_public,
            data_seal_public,
            tree_seal_secret,
            data_seal_secret,
        } = keys;
        add("index", index.is_some());
        add("manifest", manifest.is_some());
        add("tree", tree.is_some());
        add("tree_seal_secret", tree_seal_secret.is_some());
        add("data", data.is_some());
        add("data_seal_secret", data_seal_secret.is_some());
        add("seal_public", !tree_seal_public.is_empty() && !data_seal_public.is_empty());
    }
    add("maintenance", maintenance.is_some());
    add("authority", authority.is_some());
    held
}

/// What is wrong with the signature of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forged {
    /// It names its signer, and is no signature.
    Unsigned,
    /// It is that of a key which nobody certified.
    ByStranger,
}

/// The bytes of a stored object with another signature, sealed as it was.
///
/// Errors: those of opening it; [`RepoError::Decode`] where no signature is.
pub fn forged(
    repository: &Repository,
    key: &ObjectKey,
    forged: Forged,
) -> Result<Vec<u8>, RepoError> {
    let kind = kind_of(key);
    let bytes = repository.store.read(key, length_max(kind))?;
    let is_clear = kind.sealing_key().is_none();
    let opened = if is_clear {
        objects::open_clear(kind, key.as_str(), &bytes)?
    } else {
        objects::open(kind, &repository.keys, key.as_str(), &bytes)?
    };
    let body = opened.unverified();
    let signed = match forged {
        Forged::Unsigned => SignedBody { signer: opened.signer(), signature: [0; 64], body },
        Forged::ByStranger => {
            let stranger = Signer::new(&Secret::new([0x5a; 32]));
            let message = envelope::signed_message(kind, repository.id(), key.as_str(), body);
            let signature = stranger.sign(&kind.namespace(), &message);
            SignedBody { signer: stranger.id(), signature, body }
        }
    };
    if is_clear {
        return Ok(envelope::encode_clear(kind, &signed));
    }
    let environment = repository.environment.as_ref();
    objects::seal_signed(kind, &repository.keys, key.as_str(), &signed, environment)
}

/// Opens an object as whoever checks a repository does.
pub fn open_object(repository: &Repository, key: &ObjectKey) -> Result<(), RepoError> {
    open_any(repository, key)
}

/// How opening a pack with the keys of a slot ended.
#[derive(Debug)]
pub struct OpenedPack {
    /// The pack.
    pub id: PackId,
    /// Whether it holds contents, not trees.
    pub is_data: bool,
    /// Whether its key opens.
    pub opened: Result<(), RepoError>,
}

/// Tries the keys of the slot in use on every pack that is stored.
pub fn open_packs(repository: &Repository) -> Result<Vec<OpenedPack>, RepoError> {
    let open = |reference: PackRef| {
        let key = reference.key();
        let bytes = repository.store.read(&key, PACK_BYTES_MAX)?;
        let decode = |source| RepoError::Decode { key: key.to_string(), source };
        let (header, _length) = PackHeader::decode(&bytes).map_err(decode)?;
        let PackHeader { kind, pack_uid, key: wrapped, .. } = &header;
        let opened = packkey::unwrap(&repository.keys, *kind, *pack_uid, wrapped, &key);
        let is_data = *kind == PackKind::Data;
        Ok(OpenedPack { id: reference.id, is_data, opened: opened.map(|_key| ()) })
    };
    let packs = repository.list_packs()?;
    packs.into_iter().map(|(reference, _length)| open(reference)).collect()
}

/// The plaintext of every chunk that a host keeps of dumps and can open: of each dump those that it consists of, in
/// its order, then those that only its deltas rest on.
///
/// Errors: the key of the host cannot be read.
pub fn kept_chunks(repository: &Repository) -> Result<Vec<Vec<u8>>, RepoError> {
    let (Some(cache), Some(state)) = (&repository.cache, &repository.state) else {
        return Ok(Vec::new());
    };
    let seal = Arc::new(DumpSeal::of(repository, state)?);
    let names = repository.keys.namer(PackKind::Data)?;
    let mut chunks = Vec::new();
    for folder in folders(cache) {
        let Some(kept) = KeptDump::load(&seal, names, &folder, |_snapshot| true) else { continue };
        let mut left: Vec<ChunkId> = kept.list.places.keys().copied().collect();
        let own = kept.list.extents.iter().filter_map(|extent| match extent {
            Extent::Chunk { id, .. } => Some(*id),
            Extent::Hole { .. } => None,
        });
        let own: Vec<ChunkId> = own.collect();
        left.retain(|id| !own.contains(id));
        for id in own.iter().chain(&left) {
            let mut bytes = Vec::new();
            if kept.read(id, &mut bytes).is_some() {
                chunks.push(bytes);
            }
        }
    }
    Ok(chunks)
}

/// What is stored under such a key, of the kinds that are sealed or signed by clients.
fn kind_of(key: &ObjectKey) -> ObjectKind {
    match key.segments().next().unwrap_or_default() {
        layout::MANIFESTS => ObjectKind::Manifest,
        layout::OUTCOMES => ObjectKind::Outcome,
        layout::FORGET => ObjectKind::Forget,
        layout::AUDIT => ObjectKind::Audit,
        layout::INVENTORY => ObjectKind::Inventory,
        layout::GC => ObjectKind::GcRegister,
        _ => ObjectKind::Record,
    }
}
