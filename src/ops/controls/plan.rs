//! Is it planned what is backed up, and when?

use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use std::collections::BTreeSet;

/// A plan stands at the end, and its jobs cover every source of the period.
pub(super) fn plan(asked: &Asked<'_>) -> Control {
    let mut answer = Answer::new("plan", "a plan says what is backed up, and when");
    answer.parameter("sources", "each that was backed up in the period has a job".to_owned());
    let (from, until) = (asked.from, asked.until);
    let made = asked.ledger.snapshots.iter().filter(|known| known.finished <= until);
    let mut made = made.peekable();
    if made.peek().is_none() && asked.spans.iter().all(|span| span.from > until) {
        return answer.not_applicable("nothing was backed up, and nothing was planned");
    }
    for plan in &asked.plans {
        answer.evidence(plan.key.as_str());
    }
    let jobs = asked.jobs();
    let mut starts = 0;
    for job in &jobs {
        if job.job.schedule.is_some() || job.job.trigger.is_some() {
            starts += 1;
        } else {
            let why = format!("nothing says when {} runs", job.job.name);
            answer.wrong(why, Some(job.plan.key.to_string()));
        }
    }
    if jobs.is_empty() {
        answer.wrong("no plan with a job stood at the end".to_owned(), None);
        return answer.end(String::new());
    }
    let planned: BTreeSet<&str> = jobs.iter().map(|job| job.job.source.as_str()).collect();
    let mut told = BTreeSet::new();
    for known in made.filter(|known| known.finished >= from) {
        if !planned.contains(known.source.as_str()) && told.insert(known.source.as_str()) {
            let why = format!("{} is backed up, and no job says so", known.source);
            answer.wrong(why, Some(known.evidence()));
        }
    }
    answer.end(format!("{starts} jobs have a schedule or a trigger"))
}
