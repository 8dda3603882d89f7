//! Is there a second copy, and is it up to date?

use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedCopy;
use crate::format::attest::state::State;
use crate::format::attest::state::StatedCopy;
use crate::ops::controls::Control;
use crate::ops::controls::asked::Answer;
use crate::ops::controls::asked::Asked;
use crate::ops::controls::asked::age_words;
use crate::ops::controls::asked::limit_words;
use crate::repo::attest::Attestation;
use std::collections::BTreeMap;

/// Each copy that is planned was seen, and was not further behind than it may be.
pub(super) fn second_copy(asked: &Asked<'_>) -> Control {
    let title = "every planned second copy is there and up to date";
    let mut answer = Answer::new("second-copy", title);
    let mut copies: BTreeMap<&str, (&PlannedCopy, &Attestation<Plan>)> = BTreeMap::new();
    for plan in &asked.plans {
        for copy in &plan.said.copies {
            copies.entry(&copy.name).or_insert((copy, plan));
        }
    }
    if copies.is_empty() {
        return answer.not_applicable("no second copy was planned");
    }
    answer.parameter("lag of each copy", "its `max_lag`".to_owned());
    let mut places = Vec::new();
    for (name, (copy, plan)) in &copies {
        let kind = seen(asked, name).map_or("not seen", |(_state, seen)| &seen.store.kind);
        places.push(format!("{name}: {} ({kind})", copy.location));
        judge(asked, &mut answer, copy, plan);
    }
    answer.parameter("copies", places.join(", "));
    answer.end(format!("{} copies are there and up to date", copies.len()))
}

fn judge(asked: &Asked<'_>, answer: &mut Answer, copy: &PlannedCopy, plan: &Attestation<Plan>) {
    let name = &copy.name;
    let Some((state, seen)) = seen(asked, name) else {
        // What a role could not look at, another may have seen.
        let failed = asked.states().find_map(|state| Some((state, of(state, name)?)));
        let failed = failed.filter(|(state, _seen)| asked.is_recent(&state.said.time));
        let why = match &failed {
            Some((_state, StatedCopy { error: Some(error), .. })) => {
                format!("nobody could look at the copy {name}: {error}")
            }
            Some(_) | None => format!("nobody looked at the copy {name} near the end"),
        };
        let key = failed.map_or(&plan.key, |(state, _seen)| &state.key);
        answer.wrong(why, Some(key.to_string()));
        return;
    };
    let key = Some(state.key.to_string());
    match (seen.behind_seconds, copy.lag_seconds) {
        (None, _) => {
            answer.wrong(format!("the copy {name} lacks a source, or was never complete"), key);
        }
        (Some(behind), Some(limit)) if behind > limit => {
            let (behind, limit) = (age_words(behind), limit_words(limit));
            let why = format!("the copy {name} was {behind} behind, and may be {limit}");
            answer.wrong(why, key);
        }
        (Some(_), _) => answer.evidence(state.key.as_str()),
    }
}

/// The newest state, near the end, of somebody who could look at a copy.
fn seen<'a>(asked: &Asked<'a>, name: &str) -> Option<(&'a Attestation<State>, &'a StatedCopy)> {
    let recent = asked.states().take_while(|state| asked.is_recent(&state.said.time));
    let mut seen = recent.filter_map(|state| Some((state, of(state, name)?)));
    seen.find(|(_state, copy)| copy.error.is_none())
}

fn of<'a>(state: &'a Attestation<State>, name: &str) -> Option<&'a StatedCopy> {
    state.said.copies.iter().find(|copy| copy.name == name)
}
