//! Runs that were to come: the calendar, and a row each.

use crate::report::model::Level;
use crate::report::model::RunCounts;
use crate::report::model::RunState;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::words;
use crate::report::words::duration;
use crate::report::words::percent;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;
use std::collections::HashSet;

impl Page<'_> {
    pub(super) fn runs(&self) -> Markup {
        let runs = &self.report.runs;
        html! {
            @if !runs.is_planned {
                (nothing("No plan was recorded in this period: nothing was expected. What was made all the same is listed below; no rate can be told."))
            } @else {
                p .lead { (success_words(&runs.total)) }
                (self.calendars())
                (self.jobs())
                h3 { "Each run" }
                (self.run_rows())
            }
            (self.other_snapshots())
        }
    }

    fn jobs(&self) -> Markup {
        let rows = self.report.runs.jobs.iter().map(|job| {
            let begins = match (job.schedules.as_slice(), job.triggers.as_slice()) {
                ([], []) => "by hand".to_owned(),
                ([], triggers) => format!("on {}", triggers.join(", ")),
                (schedules, _) => schedules.join("; "),
            };
            let RunCounts {
                expected,
                succeeded,
                late,
                incomplete,
                failed,
                missed,
                open: _,
                success_hundredths,
            } = job.counts;
            let rate = success_hundredths.map_or_else(|| "–".to_owned(), percent);
            let cells = [expected, succeeded, late, incomplete, failed, missed];
            let cells = cells.iter().map(|count| html! { (count) });
            let first = [html! { (job.job) }, html! { (begins) }];
            (None, first.into_iter().chain(cells).chain([html! { (rate) }]).collect())
        });
        Grid {
            caption: "Runs by job",
            columns: vec![
                words("Job"),
                words("Runs"),
                number("Expected"),
                number("Succeeded"),
                number("Late"),
                number("Incomplete"),
                number("Failed"),
                number("Missed"),
                number("Rate"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }

    fn run_rows(&self) -> Markup {
        if self.report.runs.list.is_empty() {
            return nothing("No run was due in this period.");
        }
        let rows = self.report.runs.list.iter().enumerate().map(|(number, run)| {
            let after = run.finished.map(|finished| duration(finished.since(run.due)));
            let cells = vec![
                self.time(run.due),
                html! { (run.job) },
                run_badge(run.outcome),
                html! { (after.unwrap_or_else(|| "–".to_owned())) },
                self.evidence_of(&run.evidence),
            ];
            (Some(format!("r{number}")), cells)
        });
        Grid {
            caption: "Runs that were to come, and what became of each",
            columns: vec![
                fixed("Due"),
                words("Job"),
                words("Outcome"),
                number("Ended after"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }

    /// Numbers of the snapshots that no run of a schedule made.
    pub(super) fn unscheduled(&self) -> Vec<usize> {
        let runs = self.report.runs.list.iter();
        let of_runs: HashSet<&str> = runs.filter_map(|run| run.snapshot.as_deref()).collect();
        let rows = self.report.snapshots.iter().enumerate();
        rows.filter(|(_, row)| !of_runs.contains(row.snapshot.as_str())).map(|(at, _)| at).collect()
    }

    fn other_snapshots(&self) -> Markup {
        let numbers = self.unscheduled();
        if numbers.is_empty() {
            return html! {};
        }
        let rows = numbers.into_iter().filter_map(|number| {
            let row = self.report.snapshots.get(number)?;
            let state = if row.incomplete { "incomplete" } else { row.state.word() };
            let cells = vec![
                self.time(row.finished),
                html! { (row.source) },
                html! { (state) },
                html! { (human_bytes(row.bytes)) },
                html! { (human_bytes(row.bytes_stored)) },
                self.evidence_of([&row.evidence]),
            ];
            Some((Some(format!("s{number}")), cells))
        });
        html! {
            h3 { "Snapshots beside the schedule" }
            (Grid {
                caption: "Snapshots that a trigger or a person made",
                columns: vec![
                    fixed("Complete"),
                    words("Source"),
                    words("State"),
                    number("Files"),
                    number("Stored"),
                    words("Evidence"),
                ],
                rows: rows.collect(),
            }.draw())
        }
    }
}

fn success_words(counts: &RunCounts) -> Markup {
    let Some(share) = counts.success_hundredths else {
        return html! { "A plan stood, and no run was due. A rate of nothing is no rate." };
    };
    html! {
        strong { (percent(share)) } " of the runs that were expected succeeded: "
        (counts.succeeded) " of " (counts.expected) "."
        @if counts.open > 0 { " " (counts.open) " more had time left when the newest record was made, and are not counted." }
    }
}

fn run_badge(state: RunState) -> Markup {
    match state {
        RunState::Succeeded => badge(Level::Good, "succeeded"),
        RunState::Open => badge(Level::Unknown, "had time"),
        RunState::Late => badge(Level::Attention, "late"),
        RunState::Incomplete => badge(Level::Attention, "incomplete"),
        RunState::Failed => badge(Level::Bad, "failed"),
        RunState::Missed => badge(Level::Bad, "missed"),
    }
}
