//! `forget`: a policy decides which snapshots of each source no longer count.
//! What is forgotten stays stored until a collection removes it.

pub mod checkpoints;
pub mod decide;
pub mod guard;
pub mod policy;
pub mod simulate;
pub mod some;
pub mod undo;

use crate::format::mark;
use crate::id::RecordId;
use crate::id::SnapshotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::forget::decide::Candidate;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::decide::decide;
use crate::ops::forget::guard::Consent;
use crate::ops::forget::guard::Refusal;
use crate::ops::forget::policy::Policy;
use crate::ops::hold::held_words;
use crate::ops::hold::is_over;
use crate::ops::hold::release_over;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::unreadable::history_finding;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::history::RepoErrorAt;
use crate::repo::labels::Labels;
use crate::repo::mark_writer::check_forgets;
use crate::repo::mark_writer::store_forget;
use crate::repo::marks::Marks;
use crate::repo::policies::AcceptedPolicies;
use crate::repo::policies::AcceptedPolicy;
use crate::repo::policies::store_policy;
use crate::repo::repository::Repository;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeMap;

/// What to forget.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// What is kept.
    pub policy: Policy,
    /// Only of these sources; of all if there are none.
    pub sources: Vec<String>,
    /// What may be done that was not accepted before.
    pub consent: Consent,
    /// Why, for people.
    pub reason: Option<String>,
}

impl ForgetOptions {
    /// Forgets what `policy` does not keep, of all sources, if the policy was accepted before.
    pub fn new(policy: Policy) -> Self {
        Self { policy, sources: Vec::new(), consent: Consent::None, reason: None }
    }
}

/// What would be forgotten, and why everything else is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForgetPlan {
    /// One for each source, by name.
    pub sources: Vec<SourcePlan>,
    /// What is damaged.
    pub findings: Vec<Finding>,
    marks: Marks,
    policy: Map<String, Value>,
    reason: Option<String>,
}

/// What would be forgotten of a source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourcePlan {
    /// The source's name.
    pub source: String,
    /// Its snapshots, newest first.
    pub decisions: Vec<Decision>,
    /// Why nothing of it is forgotten, if something forbids it.
    pub refusal: Option<Refusal>,
    accepted: Option<AcceptedPolicy>,
    consent: Consent,
}

impl SourcePlan {
    /// The snapshots that would be forgotten.
    pub fn dropped(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| !decision.is_kept())
    }
}

impl ForgetPlan {
    /// How many snapshots would be forgotten, those of refused sources left out.
    pub fn dropped_count(&self) -> usize {
        let allowed = self.sources.iter().filter(|source| source.refusal.is_none());
        allowed.map(|source| source.dropped().count()).sum()
    }

    /// Whether something forbids that a source's snapshots are forgotten.
    pub fn is_refused(&self) -> bool {
        self.sources.iter().any(|source| source.refusal.is_some())
    }
}

/// Plans what a policy forgets; changes nothing.
///
/// Errors: [`OpError::Usage`] if the policy keeps nothing; [`OpError::NoSnapshot`] if a source that
/// is asked for has none; [`OpError::Refused`] if it cannot be read what is held.
pub fn plan(repository: &Repository, options: &ForgetOptions) -> Result<ForgetPlan, OpError> {
    let is_suspicious = |ended: &Result<ForgetPlan, OpError>| {
        is_missing_there(ended) || ended.as_ref().is_ok_and(|plan| !plan.findings.is_empty())
    };
    unless_moved(repository, || plan_once(repository, options), is_suspicious)
}

fn plan_once(repository: &Repository, options: &ForgetOptions) -> Result<ForgetPlan, OpError> {
    let ForgetOptions { policy, sources, consent, reason } = options;
    if policy.is_empty() {
        let why = "the policy keeps nothing; give at least one `--keep-…` option".to_owned();
        return Err(OpError::Usage { why });
    }
    let history = History::load(repository).during("cannot read what is valid")?;
    history.check_not_back().during("cannot change what counts")?;
    let marks = Marks::load(repository).during("cannot read the marks on snapshots")?;
    let labels = Labels::load(repository).during("cannot read the tags")?;
    let accepted = AcceptedPolicies::load(repository).during("cannot read the policies")?;
    check_keeps_known(&marks, *consent)?;
    check_tags_known(&labels, policy, *consent)?;
    let mut findings: Vec<Finding> = history.unreadable.iter().map(history_finding).collect();
    let records = marks.unreadable.iter().chain(&labels.unreadable).chain(&accepted.unreadable);
    findings.extend(records.map(record_finding));
    let now = repository.environment.now().0;
    let mut groups: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for live in &history.snapshots {
        if sources.is_empty() || sources.contains(&live.source) {
            let candidate = candidate(repository, live, (&marks, &labels), now, &mut findings)?;
            groups.entry(live.source.clone()).or_default().push(candidate);
        }
    }
    if let Some(missing) = sources.iter().find(|source| !groups.contains_key(*source)) {
        return Err(OpError::NoSnapshot { selector: format!("--source {missing}") });
    }
    let form = policy.form();
    let sources = groups.into_iter().map(|(source, candidates)| {
        let decisions = decide(policy, candidates);
        let accepted = accepted.of(&source).cloned();
        let refusal = guard::check(&decisions, &form, accepted.as_ref(), *consent);
        SourcePlan { source, decisions, refusal, accepted, consent: *consent }
    });
    let sources = sources.collect();
    Ok(ForgetPlan { sources, findings, marks, policy: form, reason: reason.clone() })
}

/// Does what was planned; sources that something forbids to touch are left out.
///
/// Returns the records of what is forgotten, by source.
pub fn execute(
    repository: &Repository,
    plan: &ForgetPlan,
) -> Result<BTreeMap<String, RecordId>, OpError> {
    check_forgets(repository).during("cannot forget snapshots")?;
    let time = time_words(repository.environment.now().0, 0);
    let mut records = BTreeMap::new();
    for source in plan.sources.iter().filter(|source| source.refusal.is_none()) {
        let mut dropped: Vec<SnapshotId> =
            source.dropped().map(|decision| decision.candidate.snapshot).collect();
        dropped.sort_unstable();
        if !dropped.is_empty() {
            release_over(repository, &plan.marks, &dropped)?;
            let forget = mark::Forget {
                snapshots: dropped,
                reason: plan.reason.clone(),
                time: Some(time.clone()),
                source: Some(source.source.clone()),
                policy: Some(plan.policy.clone()),
                ..mark::Forget::default()
            };
            let record = store_forget(repository, &forget).during("cannot store the forget")?;
            records.insert(source.source.clone(), record);
        }
        // After the forget: a crash between them only means that the policy is asked about again.
        record_policy(repository, plan, source, &time)?;
    }
    Ok(records)
}

fn record_policy(
    repository: &Repository,
    plan: &ForgetPlan,
    source: &SourcePlan,
    time: &str,
) -> Result<(), OpError> {
    let mut contradicting: Vec<SnapshotId> =
        guard::contradicting(&source.decisions).into_iter().collect();
    let changed = match &source.accepted {
        // Nothing was dropped and nobody said that this policy is meant.
        None if source.consent == Consent::None => return Ok(()),
        None => true,
        Some(accepted) => {
            if source.consent != Consent::Force {
                contradicting.retain(|snapshot| accepted.contradicting.contains(snapshot));
            }
            accepted.policy != plan.policy || accepted.contradicting != contradicting
        }
    };
    if changed {
        let policy = mark::Policy {
            source: source.source.clone(),
            time: time.to_owned(),
            policy: plan.policy.clone(),
            contradicting,
        };
        store_policy(repository, &policy).during("cannot record the policy")?;
    }
    Ok(())
}

fn candidate(
    repository: &Repository,
    live: &LiveSnapshot,
    (marks, labels): (&Marks, &Labels),
    now: i64,
    findings: &mut Vec<Finding>,
) -> Result<Candidate, OpError> {
    let manifest = match live.manifest(repository) {
        Ok(manifest) => Some(manifest),
        Err(error) if error.is_damage() => {
            let effect = "its manifest cannot be read";
            findings.push(Finding::damaged_manifest(live.snapshot, effect, &error));
            None
        }
        Err(error) => return Err(error).during("cannot read a manifest"),
    };
    let holds = marks.held_by(&live.snapshot);
    let held = holds.iter().find(|held| !is_over(&held.hold, now));
    let stated = manifest.map(|manifest| manifest.predicate);
    let time = stated.as_ref().and_then(|stated| parse_time(&stated.times.data));
    let tags = stated.as_ref().map(|stated| stated.tags.as_slice()).unwrap_or_default();
    // One that stands for another has its time, and was received when it was made: that
    // contradicts nothing.
    let is_rewritten = labels.replaced_by(live.snapshot).is_some();
    Ok(Candidate {
        snapshot: live.snapshot,
        time: time.map(|(seconds, _nanoseconds)| seconds),
        nanoseconds: time.map_or(0, |(_seconds, nanoseconds)| nanoseconds),
        received: if is_rewritten { 0 } else { live.received },
        tags: labels.tag_words_of(live.snapshot, live.client, tags),
        is_incomplete: stated.is_none_or(|stated| stated.incomplete),
        hold: held.map(|held| held_words(&held.hold)),
    })
}

/// Refuses while it is not known what holds and undos keep.
pub(crate) fn check_keeps_known(marks: &Marks, consent: Consent) -> Result<(), OpError> {
    let unknown = marks.unreadable.first().filter(|_first| marks.keeps_unknown);
    match unknown {
        Some(first) if consent != Consent::Force => {
            let why = format!("`{}` cannot be read, so what must be kept is not known", first.key);
            Err(OpError::Refused { why })
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses while a policy keeps what has a tag, and it is not known what has.
fn check_tags_known(labels: &Labels, policy: &Policy, consent: Consent) -> Result<(), OpError> {
    let needs_tags = labels.tags_unknown && !policy.tags.is_empty();
    match labels.unreadable.first().filter(|_first| needs_tags && consent != Consent::Force) {
        Some(first) => {
            let why =
                format!("`{}` cannot be read, so what `--keep-tag` keeps is not known", first.key);
            Err(OpError::Refused { why })
        }
        None => Ok(()),
    }
}

/// What follows from a record that is not obeyed.
pub(crate) fn record_finding(at: &RepoErrorAt) -> Finding {
    let effect = format!("it is not obeyed: {}", chain_words(at.error.as_ref()));
    Finding::loss("record.damaged", at.key.to_string(), effect)
}
