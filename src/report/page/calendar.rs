//! Calendars of runs: a month as on a wall, a year as columns of weeks.

use crate::report::model::JobRuns;
use crate::report::model::RunRow;
use crate::report::model::RunState;
use crate::report::page::Page;
use jiff::civil::Date;
use jiff::civil::Weekday;
use maud::Markup;
use maud::html;
use std::collections::BTreeMap;

/// What happened on a day.
#[derive(Default)]
struct Day<'a> {
    /// Runs with their numbers in the report.
    runs: Vec<(usize, &'a RunRow)>,
    /// Numbers of snapshots that no schedule made.
    others: Vec<usize>,
}

impl Page<'_> {
    /// The calendars of all jobs; those of many fold.
    pub(super) fn calendars(&self) -> Markup {
        let jobs = &self.report.runs.jobs;
        let others = self.unscheduled();
        let is_long = self.weeks().len() > WEEKS_COUNT_WALL;
        let draw = |job: &JobRuns| {
            let days = self.days_of(job, &others);
            if is_long { self.columns(job, &days) } else { self.wall(job, &days) }
        };
        let class = if is_long { "calendars long" } else { "calendars" };
        let (first, rest) = jobs.split_at_checked(JOBS_COUNT_MAX).unwrap_or((jobs, &[]));
        html! {
            (legend())
            div class=(class) { @for job in first { (draw(job)) } }
            @if !rest.is_empty() {
                details {
                    summary { "Calendars of " (rest.len()) " more jobs" }
                    div class=(class) { @for job in rest { (draw(job)) } }
                }
            }
        }
    }

    fn days_of<'a>(&'a self, job: &JobRuns, others: &[usize]) -> BTreeMap<Date, Day<'a>> {
        let mut days: BTreeMap<Date, Day<'_>> = BTreeMap::new();
        for (number, run) in self.report.runs.list.iter().enumerate() {
            if run.job == job.job && run.source == job.source {
                days.entry(self.zone.date(run.due)).or_default().runs.push((number, run));
            }
        }
        for number in others {
            if let Some(row) =
                self.report.snapshots.get(*number).filter(|row| row.source == job.source)
            {
                days.entry(self.zone.date(row.finished)).or_default().others.push(*number);
            }
        }
        days
    }

    /// The Mondays of the weeks of the period.
    fn weeks(&self) -> Vec<Date> {
        let period = &self.report.period;
        let (first, last) = (self.zone.date(period.from), self.zone.date(period.until));
        let back = first.weekday().to_monday_zero_offset();
        let monday = first.checked_sub(jiff::Span::new().days(back)).unwrap_or(first);
        monday.series(jiff::Span::new().weeks(1)).take_while(|day| *day <= last).collect()
    }

    fn has_day(&self, day: Date) -> bool {
        let period = &self.report.period;
        (self.zone.date(period.from)..=self.zone.date(period.until)).contains(&day)
    }

    /// A row a week.
    fn wall(&self, job: &JobRuns, days: &BTreeMap<Date, Day<'_>>) -> Markup {
        html! {
            table .wall {
                caption { (job_words(job)) }
                thead { tr {
                    @for (short, long) in WEEKDAYS { th scope="col" abbr=(long) { (short) } }
                } }
                tbody {
                    @for monday in self.weeks() {
                        tr { @for day in monday.series(jiff::Span::new().days(1)).take(7) { (self.cell(day, days)) } }
                    }
                }
            }
        }
    }

    /// A column a week.
    fn columns(&self, job: &JobRuns, days: &BTreeMap<Date, Day<'_>>) -> Markup {
        let weeks = self.weeks();
        html! {
            div .scroll role="region" aria-label={ "Calendar of " (job.job) } tabindex="0" {
                table .year {
                    caption { (job_words(job)) }
                    thead { tr {
                        td .outside {}
                        @for (month, weeks) in self.months(&weeks) { th scope="colgroup" colspan=(weeks) { (month) } }
                    } }
                    tbody {
                        @for (number, (short, long)) in WEEKDAYS.iter().enumerate() {
                            tr {
                                th scope="row" abbr=(long) { (short) }
                                @for monday in &weeks { (self.cell(later(*monday, number), days)) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The months of some weeks, each with the number of weeks that begin in it.
    fn months(&self, weeks: &[Date]) -> Vec<(String, usize)> {
        let period = &self.report.period;
        let [first, last] = [period.from, period.until].map(|moment| self.zone.date(moment));
        let mut months: Vec<(String, usize)> = Vec::new();
        for monday in weeks {
            // A week is of the month of its Thursday, as of ISO 8601, but of none that is not told.
            let named = later(*monday, 3).clamp(first, last);
            let name = named.strftime("%b").to_string();
            match months.last_mut() {
                Some((last, weeks)) if *last == name => *weeks += 1,
                Some(_) | None => months.push((name, 1)),
            }
        }
        months
    }

    fn cell(&self, date: Date, days: &BTreeMap<Date, Day<'_>>) -> Markup {
        if !self.has_day(date) {
            return html! { td .outside {} };
        }
        let number = html! { span .day aria-hidden="true" { (date.day()) } };
        let said = date.strftime("%-d %B").to_string();
        if !days.contains_key(&date) && date > self.zone.date(self.report.period.told_until) {
            return html! { td .untold { (number) span .hidden { (said) ": not told" } } };
        }
        let Some(day) = days.get(&date) else {
            return html! { td .none { (number) span .hidden { (said) ": nothing was due" } } };
        };
        let Some((first, worst)) = day.runs.iter().max_by_key(|(_, run)| run.outcome) else {
            let first = day.others.first().copied().unwrap_or_default();
            return html! {
                td .made { a href={ "#s" (first) } {
                    (number) span .mark aria-hidden="true" { "•" }
                    span .hidden { (said) ": " (day.others.len()) " made by hand or by a trigger" }
                } }
            };
        };
        let good = day.runs.iter().filter(|(_, run)| run.outcome == RunState::Succeeded).count();
        html! {
            td class=(worst.outcome.word()) { a href={ "#r" (first) } {
                (number)
                span .mark aria-hidden="true" {
                    (mark(worst.outcome))
                    @if day.runs.len() > 1 { small { (good) "/" (day.runs.len()) } }
                }
                span .hidden {
                    (said) ": " (worst.outcome.word())
                    @if day.runs.len() > 1 { ", " (good) " of " (day.runs.len()) " runs succeeded" }
                }
            } }
        }
    }
}

fn legend() -> Markup {
    let states = [
        (RunState::Succeeded, "succeeded"),
        (RunState::Late, "late"),
        (RunState::Incomplete, "incomplete"),
        (RunState::Failed, "failed"),
        (RunState::Missed, "missed: never came"),
        (RunState::Open, "still had time"),
    ];
    html! {
        ul .legend aria-label="Marks in the calendars" {
            @for (state, words) in states {
                li { span class={ "swatch " (state.word()) } { (mark(state)) } " " (words) }
            }
            li { span .swatch .made { "•" } " made by a trigger or by hand" }
        }
    }
}

const fn mark(state: RunState) -> &'static str {
    match state {
        RunState::Succeeded => "✓",
        RunState::Open => "…",
        RunState::Late => "L",
        RunState::Incomplete => "I",
        RunState::Failed => "F",
        RunState::Missed => "M",
    }
}

fn job_words(job: &JobRuns) -> Markup {
    let counts = &job.counts;
    html! {
        strong { (job.job) }
        @if job.source != job.job { " (source " (job.source) ")" }
        span .sub {
            @if counts.expected > 0 {
                (counts.succeeded) " of " (counts.expected) " runs"
            } @else {
                "nothing expected by schedule"
            }
            @if job.unscheduled > 0 { "; " (job.unscheduled) " more made" }
        }
    }
}

fn later(monday: Date, days: usize) -> Date {
    let days = i64::try_from(days).unwrap_or(0);
    monday.checked_add(jiff::Span::new().days(days)).unwrap_or(monday)
}

const WEEKDAYS: [(&str, &str); 7] = [
    ("Mo", "Monday"),
    ("Tu", "Tuesday"),
    ("We", "Wednesday"),
    ("Th", "Thursday"),
    ("Fr", "Friday"),
    ("Sa", "Saturday"),
    ("Su", "Sunday"),
];
const _: () = assert!(Weekday::Monday.to_monday_zero_offset() == 0);
/// Jobs whose calendars are seen at once.
const JOBS_COUNT_MAX: usize = 9;
/// More weeks become columns.
const WEEKS_COUNT_WALL: usize = 7;
