//! Is the data new enough, does it come back in time, and was that tried?

use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedDrill;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::elapsed;
use crate::ops::controls::asked::job_words;
use crate::ops::controls::asked::limit_words;
use crate::ops::controls::runs::complete;
use crate::ops::ledger::expected::seconds;
use crate::repo::attest::Attestation;
use std::collections::BTreeMap;

/// At the end the newest data of each job was not older than its objective.
pub(super) fn recovery_point(asked: &Asked<'_>) -> Control {
    let title = "at the end the newest data of every job was new enough";
    let mut answer = Answer::new("recovery-point", title);
    let mut looked = 0_usize;
    for job in asked.jobs() {
        let Some(limit) = job.job.rpo_seconds else { continue };
        looked += 1;
        let name = job_words(job.job);
        let Some(newest) = complete(asked, job.job).max_by_key(|known| known.data) else {
            let why = format!("{name} has no complete snapshot");
            answer.wrong(why, Some(job.plan.key.to_string()));
            continue;
        };
        let age = elapsed(newest.data, asked.until);
        if age > limit {
            let (age, limit) = (age_words(age), limit_words(limit));
            let why = format!("the newest data of {name} was {age} old, and may be {limit}");
            answer.wrong(why, Some(newest.evidence()));
        }
        answer.evidence(newest.evidence());
    }
    if looked == 0 {
        return answer.not_applicable("no job had an objective (`rpo`)");
    }
    answer.parameter("objective of each job", "its `rpo`".to_owned());
    answer.end(format!("{looked} jobs have data that is new enough"))
}

/// The last drill of each job that passed took no longer than its objective.
pub(super) fn restore_time(asked: &Asked<'_>) -> Control {
    let title = "the data of every job came back in time when that was last tried";
    let mut answer = Answer::new("restore-time", title);
    let mut looked = 0_usize;
    for job in asked.jobs() {
        let Some(limit) = job.job.rto_seconds else { continue };
        looked += 1;
        let name = job_words(job.job);
        let source = &job.job.source;
        let last = last_passed(asked, |drill| {
            drill.job.as_ref() == Some(&job.job.name) && drill.source == *source
        });
        let Some((drill, took)) =
            last.and_then(|drill| Some((drill, drill.said.rto_milliseconds?)))
        else {
            let why = format!("no drill showed how long {name} takes to come back");
            answer.wrong(why, Some(job.plan.key.to_string()));
            continue;
        };
        let took = took.div_ceil(1000);
        if took > limit {
            let (took, limit) = (age_words(took), limit_words(limit));
            let why = format!("{name} took {took} to come back, and may take {limit}");
            answer.wrong(why, Some(drill.key.to_string()));
        }
        answer.evidence(drill.key.as_str());
    }
    if looked == 0 {
        return answer.not_applicable("no job had an objective (`rto`)");
    }
    answer.parameter("objective of each job", "its `rto`".to_owned());
    answer.end(format!("{looked} jobs came back in time"))
}

/// Each drill that is planned passed so long before the end.
pub(super) fn drill_age(asked: &Asked<'_>) -> Control {
    let mut answer = Answer::new("drill-age", "every planned drill passed not too long ago");
    let mut drills = BTreeMap::new();
    for plan in &asked.plans {
        for drill in &plan.said.drills {
            if let Some(limit) = drill.age_seconds {
                let source = source_of(&plan.said, drill);
                drills.entry((drill.name.as_str(), source)).or_insert((limit, *plan));
            }
        }
    }
    if drills.is_empty() {
        return answer.not_applicable("no drill was planned that has to come again");
    }
    answer.parameter("age of each drill", "its `max_age`".to_owned());
    for ((name, source), (limit, plan)) in &drills {
        let is_it = |drill: &Drill| {
            drill.name == *name && source.is_none_or(|source| drill.source == source)
        };
        let Some(last) = last_passed(asked, is_it) else {
            let why = format!("the drill {name} never passed");
            answer.wrong(why, Some(plan.key.to_string()));
            continue;
        };
        let age = elapsed(seconds(&last.said.time), asked.until);
        if age > *limit {
            let (age, limit) = (age_words(age), limit_words(*limit));
            let why = format!("the drill {name} passed {age} ago, and is due every {limit}");
            answer.wrong(why, Some(last.key.to_string()));
        }
        answer.evidence(last.key.as_str());
    }
    answer.end(format!("{} drills passed in their time", drills.len()))
}

/// The source whose data a drill brings back, if its job says; hosts may have drills of one name.
fn source_of<'a>(plan: &'a Plan, drill: &PlannedDrill) -> Option<&'a str> {
    let named = drill.job.as_ref()?;
    let job = plan.jobs.iter().find(|job| job.name == *named)?;
    Some(job.source.as_str())
}

/// The newest drill that passed before the end.
fn last_passed<'a>(
    asked: &Asked<'a>,
    is_wanted: impl Fn(&Drill) -> bool,
) -> Option<&'a Attestation<Drill>> {
    let passed = asked.ledger.drills.iter().filter(|drill| {
        drill.said.outcome == Outcome::Pass
            && seconds(&drill.said.finished) <= asked.until
            && is_wanted(&drill.said)
    });
    passed.max_by_key(|drill| seconds(&drill.said.time))
}
