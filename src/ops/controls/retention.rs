//! Was everything there that the policy keeps?

use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::retention::GRACE_SECONDS;
use crate::ops::retention::retention_over;

/// At the end of each day of the period, no slot lacked a snapshot that a run was to make, and none was forgotten early; at the
/// end none was kept for longer than the grace.
pub(super) fn retention(asked: &Asked<'_>) -> Control {
    let title = "every snapshot that the policy keeps was there, and no other";
    let mut answer = Answer::new("retention", title);
    let over = retention_over(asked.ledger, (asked.from, asked.until), GRACE_SECONDS);
    let sources: Vec<_> = over.at_end.sources.iter().filter(|one| one.plan.is_some()).collect();
    if sources.is_empty() && over.lacks.is_empty() {
        return answer.not_applicable("no plan had a policy, or there was no source");
    }
    answer.parameter("days", over.days.to_string());
    for lack in over.lacks {
        let why = lack.why.map(|why| format!(" ({why})")).unwrap_or_default();
        let words = format!("{} lacked {}{why}", lack.source, lack.what);
        answer.wrong(words, lack.evidence);
    }
    for kept in sources.iter().flat_map(|one| one.beyond.iter().filter(|kept| kept.is_overdue)) {
        let words = format!("snapshot {} of {} should be gone", kept.snapshot, kept.data_time);
        answer.wrong(words, Some(kept.evidence.clone()));
    }
    for source in &sources {
        source.plan.iter().for_each(|plan| answer.evidence(plan.as_str()));
    }
    for slot in sources.iter().flat_map(|source| &source.slots) {
        slot.evidence.iter().for_each(|key| answer.evidence(key.as_str()));
    }
    answer.end(format!("nothing was missing at the end of {} days, and nothing overdue", over.days))
}
