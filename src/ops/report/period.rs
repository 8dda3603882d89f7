//! Which time a report is about, and until when records tell of it.

use crate::ops::error::OpError;
use crate::ops::ledger::Ledger;
use crate::ops::ledger::expected::plan_spans;
use crate::ops::report::moment;
use crate::report::model::PeriodKind;
use crate::report::model::ReportPeriod;
use crate::report::moment::Moment;
use crate::report::moment::Zone;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// Which report is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportOptions {
    pub(crate) asked: Asked,
    /// Tell of all of it, even if no record is as new as its end: what was to come by then and did not is missed.
    pub(crate) whole: bool,
}

/// Which period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A year and a month.
    Month(i16, i8),
    Year(i16),
    /// From one day to another, both included.
    Days(Date, Date),
}

/// The time that a report is about.
#[derive(Debug, Clone)]
pub(super) struct Span {
    asked: Asked,
    pub(super) from: Moment,
    /// Its last second.
    until: Moment,
    /// Its last second, or the newest record's.
    pub(super) told_until: Moment,
    /// Until when outcomes are settled: the time of the newest record, also after the period.
    pub(super) settled: Moment,
    newest: Option<Moment>,
    pub(super) zone: Zone,
    others: Vec<String>,
}

impl Span {
    /// The period that is asked for, in the time zone of the plan that stood last in it.
    pub(super) fn of(ledger: &Ledger, options: &ReportOptions) -> Result<Self, OpError> {
        let (first, last) = options.asked.days()?;
        let (zone, others) = zone_of(ledger, first, last);
        let wrong = |_source| usage("the period is at the end of time");
        let from = zone.begin(first);
        let until = zone.begin(last.tomorrow().map_err(wrong)?).plus(-1);
        let newest = newest_record(ledger);
        if let Some(newest) = newest.filter(|newest| *newest < from && !options.whole) {
            return Err(usage(&format!(
                "the newest record is of {}, before the period: `--whole` tells of it all the same",
                zone.minute(newest)
            )));
        }
        let newest_or_from = newest.unwrap_or(from).max(from);
        let told_until = if options.whole { until } else { until.min(newest_or_from) };
        let settled = told_until.max(newest_or_from);
        Ok(Self { asked: options.asked, from, until, told_until, settled, newest, zone, others })
    }

    /// Whether a moment is of it.
    pub(super) fn has(&self, moment: Moment) -> bool {
        (self.from..=self.told_until).contains(&moment)
    }

    /// The days that are told, the last one perhaps in part.
    pub(super) fn days(&self) -> Vec<Date> {
        let (first, last) = (self.zone.date(self.from), self.zone.date(self.told_until));
        first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).collect()
    }

    /// How the report tells it.
    pub(super) fn words(&self) -> ReportPeriod {
        let (kind, label) = match self.asked {
            Asked::Month(year, month) => {
                let first = Date::new(year, month, 1).unwrap_or_default();
                (PeriodKind::Month, first.strftime("%B %Y").to_string())
            }
            Asked::Year(year) => (PeriodKind::Year, year.to_string()),
            Asked::Days(first, last) => (PeriodKind::Span, format!("{first} to {last}")),
        };
        ReportPeriod {
            kind,
            label,
            from: self.from,
            until: self.until,
            told_until: self.told_until,
            is_whole: self.told_until == self.until,
            newest_record: self.newest,
            timezone: self.zone.name().to_owned(),
            other_timezones: self.others.clone(),
        }
    }
}

impl Asked {
    /// Its first and last day.
    fn days(self) -> Result<(Date, Date), OpError> {
        let wrong = |_source| usage("there is no such month");
        match self {
            Self::Month(year, month) => {
                let first = Date::new(year, month, 1).map_err(wrong)?;
                Ok((first, first.last_of_month()))
            }
            Self::Year(year) => {
                let first = Date::new(year, 1, 1).map_err(wrong)?;
                Ok((first, first.last_of_year()))
            }
            Self::Days(first, last) if first <= last => Ok((first, last)),
            Self::Days(first, last) => {
                Err(usage(&format!("the period begins on {first}, after its end on {last}")))
            }
        }
    }
}

fn usage(why: &str) -> OpError {
    OpError::Usage { why: why.to_owned() }
}

/// The time zone of the plan that stood last in a period, and those of others that stood in it; UTC if there is none.
fn zone_of(ledger: &Ledger, first: Date, last: Date) -> (Zone, Vec<String>) {
    // Wherever the day begins: a day more at either end makes no other plan the last one for long.
    let utc = Zone::utc();
    let (from, until) = (utc.begin(first), utc.begin(last).plus(DAY_SECONDS));
    let spans = plan_spans(ledger);
    let stood = spans
        .iter()
        .filter(|span| span.from < until.0 && span.until.is_none_or(|end| from.0 < end));
    let zones: Vec<&str> = stood.map(|span| span.plan.said.timezone.as_str()).collect();
    let known: Vec<Zone> = zones.iter().filter_map(|name| Zone::named(name)).collect();
    let zone = known.last().cloned().unwrap_or(utc);
    let others: BTreeSet<&str> =
        zones.into_iter().filter(|name| *name != zone.name() && !name.is_empty()).collect();
    let others = others.into_iter().map(str::to_owned).collect();
    (zone, others)
}

/// The time of the newest record of all.
fn newest_record(ledger: &Ledger) -> Option<Moment> {
    fn of<'a>(times: impl Iterator<Item = &'a str>) -> Option<Moment> {
        times.filter_map(moment).max()
    }
    let newest = [
        of(ledger.runs.iter().map(|run| run.time.as_str())),
        of(ledger.checks.iter().map(|check| check.said.finished.as_str())),
        of(ledger.plans.iter().map(|plan| plan.said.time.as_str())),
        of(ledger.states.iter().map(|state| state.said.time.as_str())),
        of(ledger.drills.iter().map(|drill| drill.said.finished.as_str())),
        of(ledger.sign_offs.iter().map(|sign_off| sign_off.said.time.as_str())),
        of(ledger.incidents.iter().map(|incident| incident.said.time.as_str())),
        of(ledger.erasures.iter().map(|erasure| erasure.said.time.as_str())),
        of(ledger.replays.iter().map(|replay| replay.said.time.as_str())),
        of(ledger.deletions.iter().map(|deletion| deletion.said.time.as_str())),
        ledger.snapshots.iter().map(|snapshot| Moment(snapshot.finished)).max(),
    ];
    newest.into_iter().flatten().max()
}

const DAY_SECONDS: i64 = 86_400;
