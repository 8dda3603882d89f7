//! The keys of an opened slot, ready for use. Spec: format-spec/13-crypto.md.

use crate::chunk::GEAR_TABLE_BYTES;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::derive;
use crate::crypto::hash::derive_long;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::envelope::SealingKey;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::SlotKeys;
use crate::format::pack::PackKind;
use crate::id::ClientId;
use crate::id::KeyId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::repo::error::RepoError;
use crate::repo::grant::signs;
use std::fmt;

/// The keys that a role has.
pub(crate) struct KeyRing {
    pub(crate) repository: RepoId,
    pub(crate) slot: SlotId,
    pub(crate) role: Role,
    pub(crate) client: ClientId,
    pub(crate) signer: Signer,
    /// What the slot wrapped; used to make other slots.
    pub(crate) keys: SlotKeys,
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
        }
    }

    /// The same keys once more.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.repository, self.slot, self.role, self.keys.clone())
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
        namer.as_ref().ok_or_else(|| self.lacks("naming chunks"))
    }

    /// The chunker's table.
    pub(crate) fn gear_table(&self) -> Result<Box<[u8; GEAR_TABLE_BYTES]>, RepoError> {
        let key = self.keys.gear_key.as_ref().ok_or_else(|| self.lacks("cutting content"))?;
        let mut table = Box::new([0; GEAR_TABLE_BYTES]);
        derive_long("sbf-repo 1 gear table", key, table.as_mut_slice());
        Ok(table)
    }

    /// The keys under which new objects are sealed.
    #[expect(clippy::expect_used, reason = "a slot's generations are checked when it is decoded")]
    pub(crate) fn newest(&self) -> &GenerationKeys {
        self.keys.generations.last().expect("a slot has at least one generation")
    }

    /// The keys of a generation.
    pub(crate) fn generation(
        &self,
        number: u32,
        key: &dyn fmt::Display,
    ) -> Result<&GenerationKeys, RepoError> {
        let found = self.keys.generations.iter().find(|keys| keys.generation == number);
        found.ok_or_else(|| RepoError::Generation { key: key.to_string(), generation: number })
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
        let master = master.ok_or_else(|| self.lacks(sealing_words(sealing)))?;
        Ok(derive(&format!("sbf-repo 1 envelope {word}"), &[master]))
    }

    /// The key that seals a pack's directory.
    pub(crate) fn directory_key(
        &self,
        keys: &GenerationKeys,
        pack_uid: PackUid,
    ) -> Result<Secret, RepoError> {
        let master = keys.index.as_ref().ok_or_else(|| self.lacks("pack directories"))?;
        Ok(derive("sbf-repo 1 pack directory", &[master, pack_uid.as_bytes()]))
    }

    /// The error of a role that lacks a key.
    pub(crate) fn lacks(&self, what: &'static str) -> RepoError {
        RepoError::RoleLacks { role: self.role, what }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyRing({}, {})", self.role.word(), self.slot)
    }
}

fn sealing_words(sealing: SealingKey) -> &'static str {
    match sealing {
        SealingKey::Index => "the index",
        SealingKey::Manifest => "statements",
    }
}
