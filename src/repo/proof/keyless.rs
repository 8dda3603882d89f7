//! A repository as those see it who hold no key of it but the authority's public one: identities,
//! inventories, and packs by their hashes. Spec: format-spec/12-inventory.md.

use crate::crypto::hash::digest;
use crate::crypto::hash::sha256;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::config::Config;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Subject;
use crate::format::inventory::Inventory;
use crate::format::inventory::InventoryLine;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::received_seconds;
use crate::repo::objects;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::trust::Signatory;
use crate::repo::proof::trust::Trust;
use crate::repo::repository::CONFIG_BYTES_MAX;
use crate::repo::repository::Located;
use crate::repo::repository::length_max;
use crate::repo::repository::verified_by_authority;
use crate::store::Listed;
use crate::store::StoreErrorKind;
use std::collections::BTreeMap;

/// A repository without keys.
#[derive(Debug)]
pub(crate) struct Keyless {
    located: Located,
    trust: Trust,
}

/// An object that is not what it should be.
#[derive(Debug)]
pub(crate) struct Unsound {
    pub(crate) key: ObjectKey,
    pub(crate) why: String,
}

/// How a pack compares with its line in an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackState {
    Intact,
    Missing,
    /// It has so many bytes, or fewer than could be told.
    OtherLength(u64),
    OtherBytes,
}

impl Keyless {
    /// Opens a repository whose config this authority signed.
    pub(crate) fn open(
        located: Located,
        authority: [u8; 32],
    ) -> Result<(Self, Vec<Unsound>), RepoError> {
        let repository = repository_of(&located, &authority)?;
        let mut keyless = Self { located, trust: Trust::new(repository, authority) };
        let unsound = keyless.load_identities(authority)?;
        Ok((keyless, unsound))
    }

    /// The repository.
    pub(crate) const fn repository(&self) -> RepoId {
        self.trust.repository()
    }

    fn load_identities(&mut self, authority: [u8; 32]) -> Result<Vec<Unsound>, RepoError> {
        let mut unsound = Vec::new();
        let mut keys = self.keys_in(layout::IDENTITIES)?;
        keys.sort_unstable();
        for key in keys {
            let number = key.segments().last().and_then(|number| number.parse().ok()).unwrap_or(0);
            let bytes = self.located.store().read(&key, length_max(ObjectKind::Identity))?;
            let opened = objects::open_clear(ObjectKind::Identity, key.as_str(), &bytes);
            let repository = self.trust.repository();
            let message = opened.map(|opened| opened.into_message(repository, authority));
            let added = message.map_err(|error| error.to_string()).and_then(|message| {
                self.trust.add(number, &message).map_err(|why| why.to_string())
            });
            if let Err(why) = added {
                unsound.push(Unsound { key, why });
            }
        }
        Ok(unsound)
    }

    /// The newest inventory whose signature counts, and newer ones that do not.
    pub(crate) fn newest_inventory(&self) -> Result<(Option<Inventory>, Vec<Unsound>), RepoError> {
        let mut unsound = Vec::new();
        let mut listed = self.located.store().list(layout::INVENTORY)?;
        listed.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        for listed in listed.into_iter().rev() {
            match self.inventory_at(&listed)? {
                Ok(inventory) => return Ok((Some(inventory), unsound)),
                Err(why) => unsound.push(Unsound { key: listed.key, why }),
            }
        }
        Ok((None, unsound))
    }

    fn inventory_at(&self, listed: &Listed) -> Result<Result<Inventory, String>, RepoError> {
        let bytes = self.located.store().read(&listed.key, length_max(ObjectKind::Inventory))?;
        Ok(self.inventory_of(&listed.key, received_seconds(listed), &bytes))
    }

    fn inventory_of(
        &self,
        key: &ObjectKey,
        received: i64,
        bytes: &[u8],
    ) -> Result<Inventory, String> {
        let words = |error: &dyn std::error::Error| error.to_string();
        let opened = objects::open_clear(ObjectKind::Inventory, key.as_str(), bytes)
            .map_err(|error| words(&error))?;
        let signer = opened.signer();
        let certificate = self
            .trust
            .certificates()
            .find(|certificate| crate::crypto::sign::key_id(&certificate.public_key) == signer);
        let public = certificate.ok_or("nothing certifies its signer")?.public_key;
        let message: SignedMessage = opened.into_message(self.trust.repository(), public);
        let by = Signatory::Of(Subject::Maintenance);
        self.trust
            .check(&message, &ObjectKind::Inventory.namespace(), by, Some(received))
            .map_err(|why| why.to_string())?;
        let inventory = Inventory::decode(&message.message).map_err(|error| words(&error))?;
        let is_here = inventory.repository == self.trust.repository()
            && layout::parse_inventory_key(key) == Some(inventory.number);
        if is_here { Ok(inventory) } else { Err("it is another one's".to_owned()) }
    }

    /// Every stored pack with its length.
    pub(crate) fn packs(&self) -> Result<BTreeMap<ObjectKey, u64>, RepoError> {
        let listed = self.located.store().list(layout::PACKS)?;
        Ok(listed.into_iter().map(|listed| (listed.key, listed.length)).collect())
    }

    /// Reads a pack and compares it with its line.
    pub(crate) fn compare(&self, line: &InventoryLine) -> Result<PackState, RepoError> {
        let bytes = match self.located.store().read(&line.key, line.length) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(PackState::Missing),
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                return Ok(PackState::OtherBytes);
            }
            Err(error) => return Err(error.into()),
        };
        let length = crate::units::to_u64(bytes.len());
        if length != line.length {
            return Ok(PackState::OtherLength(length));
        }
        let is_intact =
            digest(&bytes).as_bytes() == line.id.as_bytes() && sha256(&bytes) == line.sha256;
        Ok(if is_intact { PackState::Intact } else { PackState::OtherBytes })
    }

    /// Reads a pack that no inventory lists and compares it with the BLAKE3 in its name, which nobody signed.
    pub(crate) fn compare_with_name(
        &self,
        key: &ObjectKey,
        length: u64,
    ) -> Result<PackState, RepoError> {
        let bytes = match self.located.store().read(key, length) {
            Ok(bytes) => bytes,
            // A collection may delete one meanwhile.
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(PackState::Missing),
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                return Ok(PackState::OtherBytes);
            }
            Err(error) => return Err(error.into()),
        };
        let is_its_name =
            PackRef::parse(key).is_ok_and(|pack| digest(&bytes).as_bytes() == pack.id.as_bytes());
        Ok(if is_its_name { PackState::Intact } else { PackState::OtherBytes })
    }

    fn keys_in(&self, folder: &str) -> Result<Vec<ObjectKey>, RepoError> {
        let listed = self.located.store().list(folder)?;
        Ok(listed.into_iter().map(|listed| listed.key).collect())
    }
}

/// The repository that a config names which the authority signed.
fn repository_of(located: &Located, authority: &[u8; 32]) -> Result<RepoId, RepoError> {
    let key = layout::config_key();
    let bytes = match located.store().read(&key, CONFIG_BYTES_MAX) {
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            return Err(RepoError::NoRepository { location: located.store().location() });
        }
        read => read?,
    };
    let signed = objects::open_clear(ObjectKind::Config, key.as_str(), &bytes)?;
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    // What is signed names the repository, which has to be known to check the signature.
    let stated = Config::decode(signed.unverified()).map_err(decode)?;
    let body = verified_by_authority(signed, stated.repository, authority)?;
    let config = Config::decode(&body).map_err(decode)?;
    if config.authority != *authority {
        return Err(decode(FormatError::new("config", Rule::ManifestPlace, 0)));
    }
    Ok(config.repository)
}
