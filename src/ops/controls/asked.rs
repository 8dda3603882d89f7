//! What every control looks at, and how answers are put together.

use crate::format::attest::plan::Plan;
use crate::format::attest::plan::PlannedJob;
use crate::format::attest::state::State;
use crate::ops::controls::Control;
use crate::ops::controls::ControlOutcome;
use crate::ops::controls::EVIDENCE_COUNT_MAX;
use crate::ops::evidence::export::Period;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::PlanSpan;
use crate::ops::ledger::expected::plan_spans;
use crate::ops::ledger::expected::plans_at;
use crate::ops::ledger::expected::seconds;
use crate::repo::attest::Attestation;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The ledger and a period of it.
pub(super) struct Asked<'a> {
    pub(super) ledger: &'a Ledger,
    /// The first and the last second.
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) spans: Vec<PlanSpan<'a>>,
    /// The plans that stand at the end, the newest first.
    pub(super) plans: Vec<&'a Attestation<Plan>>,
}

/// A job of a plan that stands at the end; of several plans that have it, the newest.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) job: &'a PlannedJob,
    pub(super) plan: &'a Attestation<Plan>,
}

/// A job as answers name it: with its source, unless that has the same name.
pub(super) fn job_words(job: &PlannedJob) -> String {
    let PlannedJob { name, source, .. } = job;
    if name == source { name.clone() } else { format!("{name} ({source})") }
}

impl<'a> Asked<'a> {
    pub(super) fn new(ledger: &'a Ledger, period: Period) -> Self {
        let spans = plan_spans(ledger);
        let until = period.until.unwrap_or_else(|| newest(ledger));
        let first = spans.iter().map(|span| span.from).min();
        let from = period.from.or(first).unwrap_or(until).min(until);
        let mut plans = plans_at(ledger, until);
        plans.sort_by_key(|plan| std::cmp::Reverse(seconds(&plan.said.time)));
        Self { ledger, from, until, spans, plans }
    }

    /// Jobs that are planned at the end, by name and source: hosts may have jobs of one name.
    pub(super) fn jobs(&self) -> Vec<Job<'a>> {
        let mut jobs: BTreeMap<(&str, &str), Job<'a>> = BTreeMap::new();
        for plan in &self.plans {
            for job in &plan.said.jobs {
                jobs.entry((&job.name, &job.source)).or_insert(Job { job, plan });
            }
        }
        jobs.into_values().collect()
    }

    /// The least that plans of the end say, with the plan that says it.
    pub(super) fn least(
        &self,
        of: impl Fn(&Plan) -> Option<u64>,
    ) -> Option<(u64, &'a Attestation<Plan>)> {
        let said = self.plans.iter().filter_map(|plan| Some((of(&plan.said)?, *plan)));
        said.min_by_key(|(seconds, _plan)| *seconds)
    }

    /// States that somebody saw until the end, the newest first.
    pub(super) fn states(&self) -> impl Iterator<Item = &'a Attestation<State>> {
        let states = self.ledger.states.iter().rev();
        let until = self.until;
        states.filter(move |state| seconds(&state.said.time) <= until)
    }

    /// The newest state, unless it is too old to say how things stand.
    pub(super) fn state(&self) -> Option<&'a Attestation<State>> {
        self.states().next().filter(|state| self.is_recent(&state.said.time))
    }

    /// Whether something was seen near the end.
    pub(super) fn is_recent(&self, time: &str) -> bool {
        self.until.saturating_sub(seconds(time)) <= STATE_SECONDS
    }
}

/// The last time of which anything tells.
fn newest(ledger: &Ledger) -> i64 {
    let runs = ledger.runs.iter().map(|run| seconds(&run.time));
    let snapshots = ledger.snapshots.iter().map(|known| known.finished);
    let states = ledger.states.iter().map(|state| seconds(&state.said.time));
    let plans = ledger.plans.iter().map(|plan| seconds(&plan.said.time));
    runs.chain(snapshots).chain(states).chain(plans).max().unwrap_or(0)
}

/// An answer in the making: it fails with the first thing that is wrong.
pub(super) struct Answer {
    control: Control,
    wrong: Vec<String>,
    wrong_evidence: Vec<String>,
}

impl Answer {
    pub(super) fn new(id: &'static str, title: &'static str) -> Self {
        let (parameters, words, evidence) = (BTreeMap::new(), String::new(), Vec::new());
        let outcome = ControlOutcome::NotApplicable;
        let control = Control { id, title, outcome, parameters, words, evidence };
        Self { control, wrong: Vec::new(), wrong_evidence: Vec::new() }
    }

    /// What was compared with.
    pub(super) fn parameter(&mut self, name: &'static str, words: String) {
        self.control.parameters.insert(name, words);
    }

    /// A record that says what was compared or found.
    pub(super) fn evidence(&mut self, key: impl Into<String>) {
        self.control.evidence.push(key.into());
    }

    /// Something that is not as it should be, and the record that says so.
    pub(super) fn wrong(&mut self, words: String, key: Option<String>) {
        self.wrong.push(words);
        self.wrong_evidence.extend(key);
    }

    /// Nothing was planned that it could be held to.
    pub(super) fn not_applicable(mut self, words: &str) -> Control {
        words.clone_into(&mut self.control.words);
        self.ended(ControlOutcome::NotApplicable)
    }

    /// It holds, unless something was found to be wrong.
    pub(super) fn end(mut self, words: String) -> Control {
        if self.wrong.is_empty() {
            self.control.words = words;
            return self.ended(ControlOutcome::Pass);
        }
        let more = self.wrong.len().saturating_sub(WRONG_COUNT_MAX);
        self.wrong.truncate(WRONG_COUNT_MAX);
        self.control.words = self.wrong.join("; ");
        if more > 0 {
            self.control.words.push_str("; and others: ");
            self.control.words.push_str(&more.to_string());
        }
        self.ended(ControlOutcome::Fail)
    }

    fn ended(mut self, outcome: ControlOutcome) -> Control {
        self.control.outcome = outcome;
        let found = std::mem::take(&mut self.control.evidence);
        let mut seen = BTreeSet::new();
        let keys = self.wrong_evidence.into_iter().chain(found);
        let keys = keys.filter(|key| seen.insert(key.clone()));
        self.control.evidence = keys.take(EVIDENCE_COUNT_MAX).collect();
        self.control
    }
}

/// A limit in words, in the largest unit that says all of it.
pub(super) fn limit_words(seconds: u64) -> String {
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    in_unit(seconds, unit)
}

/// An age in words: to the day from three days on, to the hour from one hour on.
pub(super) fn age_words(seconds: u64) -> String {
    let is_long = |unit: u64| seconds >= if unit == DAY_SECONDS { 3 * unit } else { unit };
    in_unit(seconds, UNITS.iter().find(|(unit, _)| is_long(*unit)))
}

fn in_unit(seconds: u64, unit: Option<&(u64, &str)>) -> String {
    let (unit, word) = unit.unwrap_or(&(1, "s"));
    format!("{}{word}", seconds / unit)
}

const DAY_SECONDS: u64 = 86_400;
const UNITS: [(u64, &str); 3] = [(DAY_SECONDS, "d"), (3600, "h"), (60, "min")];

/// Seconds between two times; 0 if the later is not later.
pub(super) fn elapsed(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// Things that are wrong and are told in words; the rest is counted.
const WRONG_COUNT_MAX: usize = 5;
/// How old what somebody saw may be to tell how things stand: a week, for jobs that run once in one, and a day.
pub(super) const STATE_SECONDS: i64 = 8 * 86_400;
