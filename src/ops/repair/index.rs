//! `repair index`: lists again what segments listed that are missing or damaged.

use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::heal::Watched;
use crate::ops::progress::Progress;
use crate::ops::repair::RepairOptions;
use crate::ops::repair::check_rights;
use crate::repo::index::lost::Survey;
use crate::repo::repair::index::look;
use crate::repo::repair::index::relist;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use serde::Serialize;

/// What is wrong with the index, and what was done.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct IndexReport {
    /// Whether anything was written.
    pub applied: bool,
    /// Segments that count and cannot be read, with why.
    pub lost: Vec<LostSegment>,
    /// Packs that no other segment lists: those to read, or those that were listed again.
    pub packs: Vec<String>,
    /// Their stored bytes.
    pub bytes: u64,
    /// Packs that could not be listed again.
    pub findings: Vec<Finding>,
}

/// A segment that cannot be read.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LostSegment {
    /// Its key.
    pub segment: String,
    /// Why.
    pub why: String,
}

impl IndexReport {
    /// Whether there is something to do that was not done.
    pub const fn is_planned(&self) -> bool {
        !self.applied && !self.packs.is_empty()
    }
}

/// Lists again the packs that only lost segments listed, or says which those are.
pub fn repair_index(
    repository: &Repository,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<IndexReport, OpError> {
    let what = "cannot repair the index";
    check_rights(repository, options, what)?;
    let Survey { loaded, unlisted } = look(repository).during(what)?;
    let mut report = IndexReport::default();
    for at in &loaded.unreadable {
        let (segment, why) = (at.key.to_string(), chain_words(at.error.as_ref()));
        report.lost.push(LostSegment { segment, why });
    }
    if report.lost.is_empty() || unlisted.is_empty() {
        return Ok(report);
    }
    let mut packs = unlisted;
    if options.apply {
        progress.begin("reading packs", to_u64(packs.len()), packs.values().sum());
        let relisted = relist(repository, &Watched(progress)).during(what)?;
        report.applied = true;
        packs = relisted.packs;
        for (pack, error) in relisted.damaged {
            let effect = format!("it is damaged itself, and not listed: {}", chain_words(&error));
            let finding = Finding::loss("pack.damaged", pack.key().to_string(), effect);
            report.findings.push(finding);
        }
        for pack in relisted.baseless {
            let effect =
                "it needs chunks that are not stored any more, and is not listed".to_owned();
            let finding = Finding::loss("pack.baseless", pack.key().to_string(), effect);
            report.findings.push(finding);
        }
    }
    report.bytes = packs.values().sum();
    report.packs = packs.keys().map(|pack| pack.key().to_string()).collect();
    Ok(report)
}
