//! `key recovery-kit`: what a machine needs that has nothing.

use crate::format::keyslot::Role;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::id::to_hex;
use crate::ops::error::OpError;
use crate::ops::init::FirstSecret;
use crate::ops::key::add::AddOptions;
use crate::ops::key::add::add;
use crate::ops::words::time_words;
use crate::repo::key_file::KeyFile;
use crate::repo::repository::Repository;
use zeroize::Zeroizing;

/// Everything that a new machine needs to read the repository. Secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryKit {
    /// The repository.
    pub repository: RepoId,
    /// The slot that was made for the kit.
    pub slot: SlotId,
    /// What the slot allows.
    pub role: Role,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The text of the key file.
    pub key_file: Zeroizing<String>,
    /// The public half of the authority key, in hexadecimal.
    pub authority: String,
}

/// Makes a slot for a kit.
pub fn recovery_kit(repository: &Repository, role: Role) -> Result<RecoveryKit, OpError> {
    let authority = repository.keys.keys.authority_public;
    let mut text = Zeroizing::new(String::new());
    let mut keep = |file: &KeyFile| {
        text = file.clone().of_authority(authority).to_text();
        Ok(())
    };
    let options = AddOptions::new(role, "recovery kit".to_owned(), FirstSecret::KeyFile);
    let slot = add(repository, &options, &mut keep)?;
    Ok(RecoveryKit {
        repository: repository.id(),
        slot,
        role,
        created: time_words(repository.environment.now().0, 0),
        key_file: text,
        authority: to_hex(&authority),
    })
}
