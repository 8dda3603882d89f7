//! `init`: a new repository.

use crate::format::keyslot::LABEL_BYTES_MAX;
use crate::format::keyslot::PassphraseCost;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::ops::doctor::ProbeReport;
use crate::ops::doctor::probe_new;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::location;
use crate::ops::location::OpenOptions;
use crate::repo::error::RepoError;
use crate::repo::first::InitOptions;
use crate::repo::first::InitPlan;
use crate::repo::key_file::AuthorityFile;
use crate::repo::key_file::KeyFile;
use crate::repo::keyring::KeyRing;
use crate::repo::mode::mode_of;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::slots::NewSecret;
use crate::repo::slots::Passphrase;

/// What the first slot will be opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FirstSecret {
    /// A passphrase, at this cost.
    Passphrase(Passphrase, PassphraseCost),
    /// A key file, which is made.
    KeyFile,
}

/// A repository that was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InitReport {
    /// The repository.
    pub repository: RepoId,
    /// Its first slot.
    pub slot: SlotId,
    /// What its store was found to do.
    pub probe: ProbeReport,
    /// It is open.
    pub opened: Repository,
}

/// Makes a repository.
///
/// A key file is given to `keep` before the repository exists: what a key opens must never be
/// there without the key.
pub fn init(
    options: &OpenOptions,
    init: InitOptions,
    secret: &FirstSecret,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
) -> Result<InitReport, OpError> {
    make(options, init, secret, keep, &mut |located, plan, secret| located.init(plan, secret))
}

/// Makes a repository whose authority key is in no slot: it is given to `keep_authority` before the
/// repository exists.
pub fn init_apart(
    options: &OpenOptions,
    init: InitOptions,
    secret: &FirstSecret,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
    keep_authority: &mut dyn FnMut(&AuthorityFile) -> Result<(), OpError>,
) -> Result<InitReport, OpError> {
    let mut not_kept = None;
    let made = make(options, init, secret, keep, &mut |located, plan, secret| {
        let authority = AuthorityFile::generate(plan.repository, located.environment());
        match keep_authority(&authority) {
            Ok(()) => located.init_apart(plan, secret, &authority),
            Err(error) => {
                not_kept = Some(error);
                Err(RepoError::AuthorityFile)
            }
        }
    });
    match not_kept {
        Some(error) => Err(error),
        None => made,
    }
}

type Making<'a> =
    &'a mut dyn FnMut(&Located, &InitPlan, NewSecret<'_>) -> Result<KeyRing, RepoError>;

fn make(
    options: &OpenOptions,
    init: InitOptions,
    secret: &FirstSecret,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
    store: Making<'_>,
) -> Result<InitReport, OpError> {
    check_label(&init.label)?;
    let environment = options.environment.as_ref();
    let located = location::locate_new(options)?;
    located.check_absent().during("cannot create the repository")?;
    let probe = probe_new(&located, &options.location)?;
    let mut plan = InitPlan::new(init, environment);
    plan.store = mode_of(&probe);
    let made = match secret {
        FirstSecret::Passphrase(passphrase, cost) => {
            if passphrase.is_empty() {
                return Err(OpError::Usage { why: "the passphrase is empty".to_owned() });
            }
            store(&located, &plan, NewSecret::Passphrase(passphrase, *cost))
        }
        FirstSecret::KeyFile => {
            let file = KeyFile::generate(plan.repository, plan.slot, environment);
            keep(&file)?;
            store(&located, &plan, NewSecret::KeyFile(&file))
        }
    };
    let keys = made.during("cannot create the repository")?;
    let opened = location::open_with_keys(options, &located, keys)?;
    Ok(InitReport { repository: plan.repository, slot: plan.slot, probe, opened })
}

/// Refuses words for a slot that its record cannot hold.
pub(crate) fn check_label(label: &str) -> Result<(), OpError> {
    if label.len() > LABEL_BYTES_MAX {
        let why = format!("the label is longer than {LABEL_BYTES_MAX} bytes");
        return Err(OpError::Usage { why });
    }
    Ok(())
}
