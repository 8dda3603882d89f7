//! The keys of an opened slot, ready for use. Spec: format-spec/13-crypto.md.

use crate::chunk::GEAR_TABLE_BYTES;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::derive;
use crate::crypto::hash::derive_long;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::envelope::SealingKey;
use crate::format::identity::Renewal;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::SlotKeys;
use crate::format::pack::PackKind;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::KeyId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use crate::repo::key_file::AuthorityFile;
use crate::repo::renewal;
use crate::repo::rights::Right;
use crate::store::Store;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The keys that a role has.
pub(crate) struct KeyRing {
    pub(crate) repository: RepoId,
    pub(crate) slot: SlotId,
    pub(crate) role: Role,
    pub(crate) client: ClientId,
    pub(crate) signer: Signer,
    /// What the slot wrapped, and the generations since; used to make other slots.
    pub(crate) keys: SlotKeys,
    /// Whether the authority's key came from a file of its own, not out of the slot.
    pub(crate) has_authority_file: bool,
    /// Generations that began while this process ran.
    later: Mutex<Vec<Arc<GenerationKeys>>>,
    /// Where those are looked for.
    source: Option<Arc<dyn Store>>,
    data_namer: Option<ChunkNamer>,
    tree_namer: Option<ChunkNamer>,
}

impl KeyRing {
    /// The keys of a slot.
    pub(crate) fn new(repository: RepoId, slot: SlotId, role: Role, keys: SlotKeys) -> Self {
        let namer = |context: &str| {
            keys.id_key.as_ref().map(|key| ChunkNamer::new(derive(context, &[key])))
        };
        Self {
            repository,
            slot,
            role,
            client: keys.client_id(),
            signer: Signer::new(&Secret::new(keys.client_key)),
            data_namer: namer("sbf-repo 1 chunk id data"),
            tree_namer: namer("sbf-repo 1 chunk id tree"),
            keys,
            has_authority_file: false,
            later: Mutex::default(),
            source: None,
        }
    }

    /// The same keys once more.
    pub(crate) fn again(&self) -> Self {
        let (source, has_authority_file) = (self.source.clone(), self.has_authority_file);
        let ring = Self::new(self.repository, self.slot, self.role, self.keys.clone());
        Self { has_authority_file, source, ..ring }
    }

    /// The same keys, and those of later generations that are sealed for this slot's client: as of
    /// now, and whenever an object in this store asks for one.
    pub(crate) fn with_renewals<'a>(
        &self,
        store: Arc<dyn Store>,
        renewals: impl Iterator<Item = &'a Renewal>,
    ) -> Result<Self, RepoError> {
        let mut keys = self.keys.clone();
        let client_key = Secret::new(keys.client_key);
        for renewal in renewals {
            if keys.generations.iter().all(|known| known.generation != renewal.generation) {
                keys.generations.push(renewal::open(self.repository, &client_key, renewal)?);
            }
        }
        keys.generations.sort_by_key(|known| known.generation);
        let ring = Self::new(self.repository, self.slot, self.role, keys);
        Ok(Self { source: Some(store), has_authority_file: self.has_authority_file, ..ring })
    }

    /// The same keys, with the authority's out of a file.
    pub(crate) fn with_authority(&self, file: &AuthorityFile) -> Result<Self, RepoError> {
        let is_ours = file.repository == self.repository
            && Signer::new(&file.seed).public() == self.keys.authority_public;
        if !is_ours {
            return Err(RepoError::AuthorityFile);
        }
        let mut keys = self.keys.clone();
        let has_authority_file = keys.authority.is_none();
        keys.authority = Some(*file.seed.expose());
        let ring = Self::new(self.repository, self.slot, self.role, keys);
        Ok(Self { has_authority_file, source: self.source.clone(), ..ring })
    }

    /// The keys that sign for this slot and so have certificates, each with its word.
    pub(crate) fn signing_keys(&self) -> Vec<(KeyId, &'static str)> {
        let client = signs(self.role).then(|| (self.signer.id(), "client's"));
        let maintenance = self.keys.maintenance.map(|seed| Signer::new(&Secret::new(seed)).id());
        client.into_iter().chain(maintenance.map(|key| (key, "maintenance"))).collect()
    }

    /// Names chunks of this kind.
    pub(crate) fn namer(&self, kind: PackKind) -> Result<&ChunkNamer, RepoError> {
        let namer = match kind {
            PackKind::Data => &self.data_namer,
            PackKind::Tree => &self.tree_namer,
        };
        namer.as_ref().ok_or_else(|| self.lacks(Right::NameChunks))
    }

    /// The chunker's table.
    pub(crate) fn gear_table(&self) -> Result<Box<[u8; GEAR_TABLE_BYTES]>, RepoError> {
        let key = self.keys.gear_key.as_ref().ok_or_else(|| self.lacks(Right::CutContent))?;
        let mut table = Box::new([0; GEAR_TABLE_BYTES]);
        derive_long("sbf-repo 1 gear table", key, table.as_mut_slice());
        Ok(table)
    }

    /// The word between `\restrict` and `\unrestrict` in dumps of a source: the same each time, so that
    /// dumps deduplicate, and known to nobody who has no key of the repository.
    pub(crate) fn restrict_word(&self, source: &str) -> Result<String, RepoError> {
        let key = self.keys.id_key.as_ref().ok_or_else(|| self.lacks(Right::CutContent))?;
        let secret = derive("sbf-repo 1 dump restrict", &[key, source.as_bytes()]);
        Ok(Digest::new(*secret.expose()).to_string())
    }

    /// The digest of a dump's rows. Spec: format-spec/08-manifest.md, "Streams and dumps".
    pub(crate) fn rows_digest(&self, rows: u64, sum: u128) -> Result<Digest, RepoError> {
        let key = self.keys.id_key.as_ref().ok_or_else(|| self.lacks(Right::CutContent))?;
        let namer = ChunkNamer::new(derive("sbf-repo 1 dump rows", &[key]));
        let content = [rows.to_le_bytes().as_slice(), &sum.to_le_bytes()].concat();
        Ok(Digest::new(*namer.name(&content).as_bytes()))
    }

    /// The keys under which new objects are sealed.
    #[expect(clippy::expect_used, reason = "a slot's generations are checked when it is decoded")]
    pub(crate) fn newest(&self) -> &GenerationKeys {
        self.keys.generations.last().expect("a slot has at least one generation")
    }

    /// The keys of a generation; one that began a moment ago is looked for in the store.
    pub(crate) fn generation(
        &self,
        number: u32,
        key: &dyn fmt::Display,
    ) -> Result<Arc<GenerationKeys>, RepoError> {
        let missing = || RepoError::Generation { key: key.to_string(), generation: number };
        if let Some(found) = self.keys.generations.iter().find(|keys| keys.generation == number) {
            return Ok(Arc::new(found.clone()));
        }
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = later.iter().find(|keys| keys.generation == number) {
            return Ok(Arc::clone(found));
        }
        let Some(store) = &self.source else { return Err(missing()) };
        let renewed = renewal::load(store.as_ref(), self.repository, &self.keys)?;
        *later = renewed.into_iter().map(Arc::new).collect();
        let found = later.iter().find(|keys| keys.generation == number);
        found.map(Arc::clone).ok_or_else(missing)
    }

    /// The key that seals objects of a kind, named by `word`, in a generation.
    pub(crate) fn envelope_key(
        &self,
        keys: &GenerationKeys,
        sealing: SealingKey,
        word: &str,
    ) -> Result<Secret, RepoError> {
        let master = match sealing {
            SealingKey::Index => keys.index.as_ref(),
            SealingKey::Manifest => keys.manifest.as_ref(),
        };
        let master = master.ok_or_else(|| self.lacks(sealing_right(sealing)))?;
        Ok(derive(&format!("sbf-repo 1 envelope {word}"), &[master]))
    }

    /// The key that seals a pack's directory.
    pub(crate) fn directory_key(
        &self,
        keys: &GenerationKeys,
        pack_uid: PackUid,
    ) -> Result<Secret, RepoError> {
        let master = keys.index.as_ref().ok_or_else(|| self.lacks(Right::Index))?;
        Ok(derive("sbf-repo 1 pack directory", &[master, pack_uid.as_bytes()]))
    }

    /// The error of a role that lacks a key.
    pub(crate) fn lacks(&self, right: Right) -> RepoError {
        RepoError::RoleLacks { role: self.role, right }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyRing({}, {})", self.role.word(), self.slot)
    }
}

const fn sealing_right(sealing: SealingKey) -> Right {
    match sealing {
        SealingKey::Index => Right::Index,
        SealingKey::Manifest => Right::Statements,
    }
}
