//! `key add` and `key change-password`: new ways in.

use crate::format::keyslot::PassphraseCost;
use crate::format::keyslot::Role;
use crate::format::keyslot::Unlock;
use crate::id::SlotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::init::FirstSecret;
use crate::ops::init::check_label;
use crate::repo::environment::random;
use crate::repo::grant::Grant;
use crate::repo::grant::Holder;
use crate::repo::grant::NewClient;
use crate::repo::grant::signs;
use crate::repo::history::History;
use crate::repo::key_file::KeyFile;
use crate::repo::repository::Repository;
use crate::repo::slots::NewSecret;
use crate::repo::slots::Passphrase;

pub use crate::repo::grant::HoldsAuthority;
pub use crate::repo::key_file::PublicKey;

/// What opens a new slot.
#[derive(Debug, Clone)]
enum SlotSecret {
    Own(FirstSecret),
    Sealed(PublicKey),
}

/// A slot to be added.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AddOptions {
    /// What its holder may do.
    pub role: Role,
    /// Words for `key list`.
    pub label: String,
    /// When the holder's signatures stop counting, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Whether the slot of an admin holds the authority key.
    pub authority: HoldsAuthority,
    secret: SlotSecret,
}

impl AddOptions {
    /// A slot of this role that this secret opens.
    pub fn new(role: Role, label: String, secret: FirstSecret) -> Self {
        Self::with_secret(role, label, SlotSecret::Own(secret))
    }

    /// A slot that the key file opens to which this public key belongs.
    pub fn for_public_key(role: Role, label: String, public: PublicKey) -> Self {
        Self::with_secret(role, label, SlotSecret::Sealed(public))
    }

    fn with_secret(role: Role, label: String, secret: SlotSecret) -> Self {
        Self { role, label, valid_until: None, authority: HoldsAuthority::LikeThis, secret }
    }
}

/// Adds a slot for a new client; a key file is given to `keep` before the slot exists.
pub fn add(
    repository: &Repository,
    options: &AddOptions,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
) -> Result<SlotId, OpError> {
    let what = "cannot add a key slot";
    let AddOptions { role, label, valid_until, authority, secret } = options;
    check_label(label)?;
    check_end(repository, *role, *valid_until)?;
    repository.check_certifies().during(what)?;
    History::check_as_known(repository).during(what)?;
    let client = NewClient { role: *role, valid_until: *valid_until, authority: *authority };
    let slot = match secret {
        SlotSecret::Sealed(public) => public.slot,
        SlotSecret::Own(_secret) => SlotId::new(random(repository.environment.as_ref())),
    };
    let grant = Grant { slot, holder: Holder::New(client), label: label.clone() };
    let granted = match secret {
        SlotSecret::Own(FirstSecret::Passphrase(passphrase, cost)) => {
            check_passphrase(passphrase)?;
            repository.grant(grant, NewSecret::Passphrase(passphrase, *cost))
        }
        SlotSecret::Own(FirstSecret::KeyFile) => {
            let file = KeyFile::generate(repository.id(), slot, repository.environment.as_ref());
            keep(&file)?;
            repository.grant(grant, NewSecret::KeyFile(&file))
        }
        SlotSecret::Sealed(public) => {
            check_public_key(repository, public)?;
            repository.grant(grant, NewSecret::PublicKey(public))
        }
    };
    granted.during(what)?;
    Ok(slot)
}

/// Replaces the slot in use by one that another passphrase opens.
pub fn change_passphrase(
    repository: &Repository,
    passphrase: &Passphrase,
    cost: PassphraseCost,
) -> Result<SlotId, OpError> {
    check_passphrase(passphrase)?;
    let old = repository.keys.slot;
    let slots = repository.located().slots().during("cannot read the key slots")?;
    let header = slots.into_iter().filter_map(|(_key, slot)| Some(slot.ok()?.header));
    let header = header.into_iter().find(|header| header.slot == old);
    let header = header.ok_or_else(|| OpError::Refused {
        why: format!("the slot in use, {old}, is no longer there"),
    })?;
    if !matches!(header.unlock, Unlock::Passphrase(_)) {
        let why = "the key in use is a key file; `key add` and `key remove` replace it".to_owned();
        return Err(OpError::Usage { why });
    }
    let slot = SlotId::new(random(repository.environment.as_ref()));
    let grant = Grant { slot, holder: Holder::Same, label: header.label };
    let secret = NewSecret::Passphrase(passphrase, cost);
    repository.grant(grant, secret).during("cannot store the new key slot")?;
    // The new slot is durable: from here on a crash leaves two slots, never none.
    let old = crate::format::layout::slot_key(old);
    repository.remove_slot(&old).during("cannot remove the old key slot")?;
    Ok(slot)
}

fn check_passphrase(passphrase: &Passphrase) -> Result<(), OpError> {
    if passphrase.is_empty() {
        return Err(OpError::Usage { why: "the passphrase is empty".to_owned() });
    }
    Ok(())
}

/// Refuses an end that nobody could enforce, or that is past.
fn check_end(repository: &Repository, role: Role, valid_until: Option<i64>) -> Result<(), OpError> {
    let Some(until) = valid_until else { return Ok(()) };
    let usage = |why: String| Err(OpError::Usage { why });
    if !signs(role) {
        return usage(format!(
            "an end ends what a key signs, and the role {} reads: remove the slot when it is over",
            role.word()
        ));
    }
    if jiff::Timestamp::from_second(until).is_err() {
        return usage(
            "the end of the slot is later than the year 9999: no calendar has it".to_owned(),
        );
    }
    if until <= repository.environment.now().0 {
        return usage("the slot would end before it begins".to_owned());
    }
    Ok(())
}

fn check_public_key(repository: &Repository, public: &PublicKey) -> Result<(), OpError> {
    if public.repository == repository.id() {
        return Ok(());
    }
    let why = format!("the public key was made for another repository, {}", public.repository);
    Err(OpError::Usage { why })
}
