//! `copy`: chosen snapshots go to another repository with keys and names of its own.

mod carry;
mod earlier;
mod known;
mod mover;
mod one;
mod plan;
pub mod report;
mod steps;
mod tree;

use crate::ops::copy::carry::Carrier;
use crate::ops::copy::carry::carry_erasures;
use crate::ops::copy::known::Known;
use crate::ops::copy::one::Copier;
use crate::ops::copy::plan::Chosen;
use crate::ops::copy::plan::Present;
use crate::ops::copy::plan::Standing;
use crate::ops::copy::plan::choose;
use crate::ops::copy::report::CopiedSnapshot;
use crate::ops::copy::report::CopyOptions;
use crate::ops::copy::report::CopyReport;
use crate::ops::copy::report::CopyState;
use crate::ops::copy::report::Run;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::location::Location;
use crate::ops::progress::Progress;
use crate::ops::restore::open_reader;
use crate::ops::select::Selector;
use crate::repo::repository::Repository;

/// Copies the snapshots that selectors name, or all, from `source` to `target`; calls `tell` with
/// each as soon as it is known what became of it.
///
/// What `target` has is not stored again: neither its snapshots nor their chunks. A snapshot in
/// which something is damaged is not copied; the others are.
/// Errors: [`OpError::Usage`] if both are the same repository; whatever keeps a command from going
/// on. Snapshots that were copied until then count.
pub fn copy(
    source: &Repository,
    target: &Repository,
    selectors: &[Selector],
    options: &CopyOptions,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(&CopiedSnapshot),
) -> Result<CopyReport, OpError> {
    if source.id() == target.id() {
        return Err(itself(&target.location()));
    }
    let what = "cannot write to the other repository";
    target.check_makes_snapshots().during(what)?;
    target.check_writable().during(what)?;
    let mut choice = choose(source, selectors)?;
    if let Some(count) = options.newest_count.filter(|_count| selectors.is_empty()) {
        choice.keep_newest(count);
    }
    let mut present = Present::load(source, target)?;
    let mut report = CopyReport { location: target.location(), ..CopyReport::default() };
    report.findings.extend(choice.findings);
    report.findings.append(&mut present.findings);
    let carrier = Carrier::load(source, target, &mut report)?;
    if options.run == Run::Copy {
        // First: no copy is there for a moment without what must be erased in it.
        carry_erasures(source, target, &mut report)?;
    }
    choice.chosen.iter_mut().for_each(|chosen| carrier.tag(chosen));
    let reader = open_reader(source)?;
    let mut run = Copier::new(source, &choice.history, &reader, target, options, progress)?;
    let mut known = Known::new();
    for chosen in &choice.chosen {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let copied = match (present.standing(source, chosen), options.run) {
            (Some(Standing::Live(copy)), _) => {
                told(chosen, CopyState::Present).with_copy(copy.to_string())
            }
            (Some(Standing::Forgotten(_)), _) if selectors.is_empty() => {
                told(chosen, CopyState::Forgotten)
            }
            (_, Run::Dry) => told(chosen, CopyState::WouldCopy),
            (_, Run::Copy) => {
                let (copied, findings) = run.copy(chosen, &mut present.pairs, &mut known)?;
                report.findings.extend(findings);
                copied
            }
        };
        let is_there = matches!(copied.state, CopyState::Copied | CopyState::Present);
        if let Some(copy) = copied.copy.as_ref().and_then(|copy| copy.parse().ok())
            && is_there
            && options.run == Run::Copy
        {
            carrier.carry(chosen, copy, &mut report)?;
        }
        report.bytes_read += copied.bytes_read;
        report.bytes_new += copied.bytes_new;
        report.bytes_stored += copied.bytes_stored;
        tell(&copied);
        report.snapshots.push(copied);
    }
    Ok(report)
}

/// Refuses to copy a repository into itself, before its key is asked for a second time.
pub fn check_other_place(source: &Repository, target: &Location) -> Result<(), OpError> {
    let place = target.to_string();
    if source.location() == place { Err(itself(&place)) } else { Ok(()) }
}

fn itself(place: &str) -> OpError {
    let why = format!(
        "{place} is the repository that is copied from, or a copy of it with the same keys, as \
         `sbf-repo mirror` keeps them"
    );
    OpError::Usage { why }
}

fn told(chosen: &Chosen, state: CopyState) -> CopiedSnapshot {
    CopiedSnapshot {
        snapshot: chosen.live.snapshot.to_string(),
        source: chosen.live.source.clone(),
        time: chosen.manifest.predicate.times.data.clone(),
        state,
        copy: None,
        files_read: 0,
        bytes_read: 0,
        bytes_new: 0,
        bytes_stored: 0,
    }
}

impl CopiedSnapshot {
    fn with_copy(self, copy: String) -> Self {
        Self { copy: Some(copy), ..self }
    }
}
