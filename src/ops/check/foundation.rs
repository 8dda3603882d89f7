//! What every command reads first: config, amendments, identities and the key slot in use. A copy may
//! have given them.

use crate::format::layout;
use crate::ops::check::CheckReport;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::repo::amendments;
use crate::repo::config::open_config;
use crate::repo::error::RepoError;
use crate::repo::identities::Identities;
use crate::repo::repository::CONFIG_BYTES_MAX;
use crate::repo::repository::Repository;

/// Checks that the repository's own store has what it was opened with.
pub(crate) fn check_foundation(
    repository: &Repository,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let what = "cannot read what the repository begins with";
    let mut note = |code, error: &RepoError, object: &str| {
        let object = error.object().unwrap_or(object).to_owned();
        let effect = format!("the repository opens only with a copy: {}", chain_words(error));
        report.note(Finding::loss(code, object, effect), progress);
    };
    let read = repository.store.read(&layout::config_key(), CONFIG_BYTES_MAX);
    match read.map_err(RepoError::from).and_then(|bytes| open_config(&repository.keys, &bytes)) {
        Ok(mut config) => match amendments::apply(repository.store.as_ref(), &mut config) {
            Ok(_amended) => {}
            Err(error) if error.is_damage() => {
                note("amendment.damaged", &error, layout::AMENDMENTS);
            }
            Err(error) => return Err(error).during(what),
        },
        Err(error) if error.is_damage() => note("config.damaged", &error, layout::CONFIG),
        Err(error) => return Err(error).during(what),
    }
    let known = repository.identities.count;
    match Identities::load(repository) {
        Ok(own) => {
            for number in own.count + 1..=known {
                let object = layout::identity_key(number).to_string();
                let effect = "only a copy has it: who may sign, or no longer may".to_owned();
                report.note(Finding::loss("identity.missing", object, effect), progress);
            }
        }
        Err(error) if error.is_damage() => note("identity.damaged", &error, layout::IDENTITIES),
        Err(error) => return Err(error).during(what),
    }
    let slot = layout::slot_key(repository.keys.slot);
    if !repository.list_keys(layout::KEYS).during(what)?.contains(&slot) {
        let effect = "the key slot in use is missing: only a copy opens with this key".to_owned();
        report.note(Finding::loss("slot.missing", slot.to_string(), effect), progress);
    }
    Ok(())
}
