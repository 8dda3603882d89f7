//! Identities, sessions and collections: is anything missing that others prove was there?

use crate::format::layout;
use crate::format::layout::SessionRef;
use crate::ops::check::CheckReport;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::progress::Progress;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::missing_finding;
use crate::repo::decision::stray_in_the_way;
use crate::repo::gc::audit::BrokenCollection;
use crate::repo::gc::audit::broken_collections;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::history::RepoErrorAt;
use crate::repo::repository::Repository;
use crate::repo::roster::announced;
use crate::repo::roster::missing_commits;
use std::collections::HashSet;
use std::sync::Arc;

/// Checks that the numbers of the identities have no gap and that the keys in use are certified.
pub(crate) fn check_identities(
    repository: &Repository,
    report: &mut CheckReport,
    progress: &dyn Progress,
) {
    let identities = &repository.identities;
    for key in &identities.missing {
        let effect = "who may sign, or no longer may, is not known".to_owned();
        report.note(Finding::loss("identity.missing", key.to_string(), effect), progress);
    }
    for key in &identities.foreign {
        let effect = "signed by another authority: an attempt to make a repository left it";
        let finding = Finding::notice("identity.foreign", key.to_string(), effect.to_owned());
        report.note(finding, progress);
    }
    for (key, word) in repository.keys.signing_keys() {
        if !identities.certify(key) {
            let object = layout::identity_key(identities.count + 1).to_string();
            let effect = format!("the certificate of the {word} key in use is missing");
            report.note(Finding::loss("identity.missing", object, effect), progress);
        }
    }
    let client = repository.client();
    if identities.holder(client).is_none() && !identities.is_removed(client) {
        let object = layout::identity_key(identities.count + 1).to_string();
        let effect = "the slot in use would be left out of the next `key rotate`".to_owned();
        report.note(Finding::loss("identity.missing", object, effect), progress);
    }
}

/// Checks that the registers of collections are whole and follow each other.
pub(crate) fn check_collections(
    repository: &Repository,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let broken = broken_collections(repository).during("cannot read the collections")?;
    for BrokenCollection { key, effect } in broken {
        let effect = format!("{effect}: what collections removed is not proven");
        report.note(Finding::loss("collection.broken", key.to_string(), effect), progress);
    }
    if let Some(stray) = stray_in_the_way(repository).during("cannot read the collections")? {
        let at = RepoErrorAt { key: stray.key(), error: Arc::new(stray.error()) };
        let finding = history_finding(&at);
        // It may have been in the way of the history, too.
        let is_known =
            |found: &Finding| (found.code, &found.object) == (finding.code, &finding.object);
        if !report.findings.iter().any(is_known) {
            report.note(finding, progress);
        }
    }
    Ok(())
}

/// Checks that every session that came to something was announced, and that no commit is missing
/// that a later one saw.
pub(crate) fn check_sessions(
    repository: &Repository,
    history: &History,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let what = "cannot read the sessions";
    let decided: HashSet<SessionRef> = history.outcomes.iter().copied().collect();
    let listed: HashSet<SessionRef> = announced(repository).during(what)?.into_iter().collect();
    let mut open: Vec<_> = listed.difference(&decided).collect();
    open.retain(|session| !history.is_unreadable(&session.outcome_key()));
    open.sort_unstable();
    let mut unannounced: Vec<_> = decided.difference(&listed).collect();
    unannounced.sort_unstable();
    // A sweep may have removed announcements since; then a newer base has what they came to.
    let moved = !unannounced.is_empty()
        && History::load(repository).during(what)?.verdict != history.verdict;
    unannounced.retain(|session| !moved && !repository.is_copied(**session));
    for session in unannounced {
        let key = session.announcement_key();
        let effect = "the session has an outcome and no announcement".to_owned();
        report.note(Finding::loss("session.missing", key.to_string(), effect), progress);
    }
    for session in open {
        let key = session.announcement_key();
        let effect = "a run that has not ended, or was cut off".to_owned();
        let remedy = "`sbf-repo session list` tells whose it is".to_owned();
        let found = Finding::notice("session.open", key.to_string(), effect);
        report.note(Finding { remedy, ..found }, progress);
    }
    let outcomes = repository.list_keys(layout::OUTCOMES).during(what)?;
    // After the outcomes: the plans of their epochs are there.
    let chain = Chain::load(repository).during(what)?;
    for key in outcomes {
        let Ok(session) = SessionRef::parse_outcome(&key) else { continue };
        if session.epoch > chain.plan.max(chain.verdict) {
            let effect = "it counts for nothing: no plan has its epoch".to_owned();
            report.note(Finding::notice("outcome.stray", key.to_string(), effect), progress);
        }
    }
    for missing in missing_commits(repository, history).during(what)? {
        report.note(missing_finding(&missing), progress);
    }
    Ok(())
}
