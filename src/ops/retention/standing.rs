//! Which policy stood for a source, as plans say.

use crate::format::attest::plan::Plan;
use crate::ops::forget::policy::Every;
use crate::ops::forget::policy::Policy;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::PlanSpan;
use crate::repo::attest::Attestation;

/// A policy and the plan that has it.
pub(super) struct Standing<'a> {
    pub(super) policy: Policy,
    pub(super) plan: &'a Attestation<Plan>,
}

/// The policy that stood for a source: that of the newest plan with a job of it, or else of the newest plan that
/// has one, since a host that only forgets does so for all sources.
pub(super) fn standing<'a>(
    ledger: &Ledger,
    spans: &[PlanSpan<'a>],
    source: &str,
    at: i64,
) -> Option<Standing<'a>> {
    let stands = |span: &&PlanSpan<'_>| {
        let said = &span.plan.said;
        span.from <= at
            && span.until.is_none_or(|until| at < until)
            && !(said.keep.is_empty() && said.within.is_empty())
    };
    let has_job = |span: &PlanSpan<'_>| span.plan.said.jobs.iter().any(|job| job.source == source);
    let newest = spans.iter().filter(stands).max_by_key(|span| (has_job(span), span.from))?;
    let tags = ledger.kept_tags.get(source).cloned().unwrap_or_default();
    Some(Standing { policy: policy_of(&newest.plan.said, tags)?, plan: newest.plan })
}

/// `None` if this program does not know the time zone: days cannot be told.
fn policy_of(plan: &Plan, tags: Vec<String>) -> Option<Policy> {
    let mut policy = Policy::new().with_zone(plan.timezone.parse().ok()?);
    policy.tags = tags;
    for (word, count) in &plan.keep {
        // A later version may know more words.
        if let Some(every) = Every::of_word(word) {
            policy = policy.with_count(every, *count);
        }
    }
    for (word, period) in &plan.within {
        let word = word.strip_prefix("within-").unwrap_or("last");
        if let (Some(every), Ok(period)) = (Every::of_word(word), period.parse()) {
            policy = policy.with_period(every, period);
        }
    }
    Some(policy)
}
