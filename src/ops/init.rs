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
use crate::repo::first::InitOptions;
use crate::repo::first::InitPlan;
use crate::repo::mode::mode_of;
use crate::repo::repository::Repository;
use crate::repo::slots::KeyFile;
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
            located.init(&plan, NewSecret::Passphrase(passphrase, *cost))
        }
        FirstSecret::KeyFile => {
            let file = KeyFile::generate(plan.repository, plan.slot, environment);
            keep(&file)?;
            located.init(&plan, NewSecret::KeyFile(&file))
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
