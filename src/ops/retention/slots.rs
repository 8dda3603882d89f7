//! Days, weeks, months and years that a policy keeps a snapshot of, by the calendar.

use crate::calendar::Calendar;
use crate::format::attest::plan::PlannedJob;
use crate::ops::forget::decide::Decision;
use crate::ops::forget::decide::Reason;
use crate::ops::forget::policy::Every;
use crate::ops::forget::policy::Policy;
use crate::ops::ledger::snapshots::KnownSnapshot;
use crate::ops::retention::GoneEarly;
use crate::ops::retention::RetentionSlot;
use crate::ops::retention::present::View;
use jiff::ToSpan as _;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// The slots of a policy, newest first in each kind, each with the snapshot that stands for it.
pub(super) fn slots(
    view: &View<'_>,
    (source, policy): (&str, &Policy),
    (decisions, early): (&[Decision], &[GoneEarly]),
    at: i64,
) -> Vec<RetentionSlot> {
    let jobs = JobSpan::all(view, source);
    let begin = jobs.iter().map(|job| job.from);
    let begin = begin.chain(view.made(source, at).map(|known| known.data)).min().unwrap_or(at);
    let filled = Filled { view, source, early, jobs, at };
    let mut slots = Vec::new();
    for every in [Every::Day, Every::Week, Every::Month, Every::Year] {
        let mut kept = kept(decisions, every);
        let calendar = of_calendar(policy, every, decisions, (begin, at));
        for slot in calendar {
            let snapshot = kept.remove(&slot.label);
            slots.push(filled.slot(every, slot, snapshot));
        }
        // Days without a snapshot do not count for a policy, so that it keeps older ones, too.
        for (label, snapshot) in kept.into_iter().rev() {
            let evidence = filled.evidence(&snapshot);
            let kind = every.word();
            let snapshot = Some(snapshot);
            slots.push(RetentionSlot {
                kind,
                label,
                snapshot,
                evidence,
                ..RetentionSlot::default()
            });
        }
    }
    slots
}

/// The snapshots that stand for slots, by the labels of these.
fn kept(decisions: &[Decision], wanted: Every) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for decision in decisions {
        for reason in &decision.reasons {
            if let Reason::Slot { every, slot } = reason
                && *every == wanted
            {
                kept.insert(slot.clone(), decision.candidate.snapshot.to_string());
            }
        }
    }
    kept
}

/// A slot by the calendar: from its first second to before its end.
struct CalendarSlot {
    label: String,
    start: i64,
    end: i64,
}

/// The slots that a policy keeps, newest first, as far as there was anything.
fn of_calendar(
    policy: &Policy,
    every: Every,
    decisions: &[Decision],
    (begin, at): (i64, i64),
) -> Vec<CalendarSlot> {
    let count = policy.counts.get(&every).copied().unwrap_or(0);
    let newest = decisions.iter().filter_map(|decision| decision.candidate.time).max();
    let within = policy.within.get(&every);
    let since = within.zip(newest).map(|(period, newest)| period.before(newest, &policy.zone));
    let mut slots = Vec::new();
    let mut moment = at;
    for number in 0..SLOTS_MAX {
        let Some(slot) = slot_of(policy, every, moment) else { break };
        let is_kept = number < count || since.is_some_and(|since| slot.end > since);
        if !is_kept || slot.end <= begin {
            break;
        }
        moment = slot.start.saturating_sub(1);
        slots.push(slot);
    }
    slots
}

/// The slot that holds a moment.
fn slot_of(policy: &Policy, every: Every, moment: i64) -> Option<CalendarSlot> {
    let zoned = policy.zone.at(moment)?;
    let zone = zoned.time_zone().clone();
    let day = zoned.date();
    let (first, next, form) = match every {
        Every::Day => (day, day.checked_add(1.day()).ok()?, "%Y-%m-%d"),
        Every::Week => {
            let into = i64::from(day.weekday().to_monday_zero_offset());
            let monday = day.checked_sub(into.days()).ok()?;
            (monday, monday.checked_add(1.week()).ok()?, "%G-W%V")
        }
        Every::Month => {
            let first = day.first_of_month();
            (first, first.checked_add(1.month()).ok()?, "%Y-%m")
        }
        Every::Year => {
            let first = day.first_of_year();
            (first, first.checked_add(1.year()).ok()?, "%Y")
        }
        Every::Snapshot | Every::Hour => return None,
    };
    let start = |day: Date| day.to_zoned(zone.clone()).ok().map(|day| day.timestamp().as_second());
    let label = first.strftime(form).to_string();
    Some(CalendarSlot { label, start: start(first)?, end: start(next)? })
}

/// A job of a plan, and when it stood.
struct JobSpan<'a> {
    job: &'a PlannedJob,
    calendar: Calendar,
    from: i64,
    until: i64,
    plan: String,
}

impl<'a> JobSpan<'a> {
    /// Those of a source that have a schedule.
    fn all(view: &View<'a>, source: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for span in &view.spans {
            for job in span.plan.said.jobs.iter().filter(|job| job.source == source) {
                let calendar = job.schedule.as_deref().and_then(|text| text.parse().ok());
                all.extend(calendar.map(|calendar| Self {
                    job,
                    calendar,
                    from: span.from,
                    until: span.until.unwrap_or(i64::MAX),
                    plan: span.plan.key.to_string(),
                }));
            }
        }
        all
    }
}

/// What slots are filled from.
struct Filled<'v, 'a> {
    view: &'v View<'a>,
    source: &'v str,
    early: &'v [GoneEarly],
    jobs: Vec<JobSpan<'a>>,
    at: i64,
}

impl Filled<'_, '_> {
    fn slot(&self, every: Every, slot: CalendarSlot, snapshot: Option<String>) -> RetentionSlot {
        let due = self.due(&slot);
        let mut filled = RetentionSlot {
            kind: every.word(),
            evidence: snapshot.as_deref().and_then(|snapshot| self.evidence(snapshot)),
            is_expected: due.is_some(),
            snapshot,
            label: slot.label,
            why: None,
        };
        if filled.snapshot.is_some() {
            return filled;
        }
        let made: Vec<&KnownSnapshot> = self
            .view
            .made(self.source, self.at)
            .filter(|known| (slot.start..slot.end).contains(&known.data) && !known.incomplete)
            .collect();
        let is_of_it = |known: &&&KnownSnapshot| {
            self.early.iter().any(|early| early.snapshot == known.snapshot)
        };
        match (made.last(), made.iter().rev().find(is_of_it)) {
            (_, Some(known)) => {
                let gone = self.early.iter().find(|early| early.snapshot == known.snapshot);
                filled.is_expected = true;
                filled.why = gone.map(|gone| format!("{} was {}", known.snapshot, gone.words()));
                filled.evidence = Some(known.evidence());
            }
            // The policy of then let it go: a later one that keeps more brings nothing back.
            (Some(known), None) => {
                filled.is_expected = false;
                filled.evidence = Some(known.evidence());
            }
            (None, None) if filled.is_expected => {
                filled.why = Some("no run made a complete snapshot in it".to_owned());
                filled.evidence = due;
            }
            (None, None) => {}
        }
        filled
    }

    /// The plan of a run that was to come in a slot and has had its time, unless another one may still come in it.
    fn due(&self, slot: &CalendarSlot) -> Option<String> {
        let mut due = None;
        for JobSpan { job, calendar, from, until, plan } in &self.jobs {
            let (first, end) = (slot.start.max(*from), slot.end.min(*until));
            let last = calendar.last(end.saturating_sub(1)).filter(|last| *last >= first);
            let Some(last) = last else { continue };
            let grace = i64::try_from(job.grace_seconds).unwrap_or(i64::MAX);
            if last.saturating_add(grace) > self.at {
                return None;
            }
            due = Some(plan.clone());
        }
        due
    }

    /// The key of the record that says that there is a snapshot.
    fn evidence(&self, snapshot: &str) -> Option<String> {
        let mut made = self.view.made(self.source, self.at);
        made.find(|known| known.snapshot == snapshot).map(KnownSnapshot::evidence)
    }
}

/// Ten years of days.
const SLOTS_MAX: u32 = 3660;
