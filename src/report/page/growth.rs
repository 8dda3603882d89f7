//! How a repository grew, what runs stored, and how copies stood.

use crate::report::model::CopyRow;
use crate::report::model::Level;
use crate::report::model::StatePoint;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::words;
use crate::report::svg::Bar;
use crate::report::svg::Chart;
use crate::report::svg::Line;
use crate::report::svg::Unit;
use crate::report::words::duration;
use crate::report::words::grouped;
use crate::report::words::ratio;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn growth(&self) -> Markup {
        html! {
            (self.states())
            h3 { "What runs stored" }
            (self.stored_by_day())
            h3 { "Second copies" }
            (self.copies())
        }
    }

    fn states(&self) -> Markup {
        let states = &self.report.growth.states;
        let (Some(first), Some(last)) = (states.first(), states.last()) else {
            return nothing("No record of this period says how much the repository held.");
        };
        let reduction = ratio(last.source_bytes, last.stored_bytes);
        html! {
            p .lead {
                "At the end " strong { (human_bytes(last.stored_bytes)) } " were stored for "
                strong { (human_bytes(last.source_bytes)) } " of files in " (last.snapshots) " snapshots"
                @if let Some(reduction) = reduction { ": " (reduction) " less, by deduplication and compression together" }
                "."
            }
            div .charts {
                (self.state_chart(["stored", "Stored bytes", "one"], [first, last], |state| state.stored_bytes))
                (self.state_chart(["source", "Bytes of all snapshots’ files", "two"], [first, last], |state| state.source_bytes))
            }
            (self.state_rows())
        }
    }

    fn state_chart(
        &self,
        [id, title, class]: [&str; 3],
        [first, last]: [&StatePoint; 2],
        value: fn(&StatePoint) -> u64,
    ) -> Markup {
        let chart = Chart {
            id,
            title,
            description: format!(
                "From {} at first to {} at last.",
                human_bytes(value(first)),
                human_bytes(value(last))
            ),
            x: self.axis(),
            x_ticks: self.ticks(),
            unit: Unit::Bytes,
            limit: None,
        };
        let states = self.report.growth.states.iter();
        let points = states.map(|state| (state.time.0, signed(value(state)))).collect();
        html! { figure { figcaption { (title) } (chart.lines(&[Line { class, points, is_filled: true }])) } }
    }

    /// A state a week: the last of each seven days, and the last of all.
    fn state_rows(&self) -> Markup {
        let states = &self.report.growth.states;
        let every = if states.len() > DAYS_COUNT_MAX { MONTH_DAYS } else { WEEK_DAYS };
        let last = states.len().saturating_sub(1);
        let chosen = states.iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
        let rows = chosen.map(|(_, state)| {
            let cells = vec![
                self.time(state.time),
                html! { (grouped(state.snapshots)) },
                html! { (human_bytes(state.source_bytes)) },
                html! { (grouped(state.packs)) },
                html! { (human_bytes(state.stored_bytes)) },
                html! { (ratio(state.source_bytes, state.stored_bytes).unwrap_or_else(|| "–".to_owned())) },
                self.evidence_of([&state.evidence]),
            ];
            (None, cells)
        });
        Grid {
            caption: "How the repository stood",
            columns: vec![
                fixed("Seen"),
                number("Snapshots"),
                number("Their files"),
                number("Packs"),
                number("Stored"),
                number("Reduction"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }

    fn stored_by_day(&self) -> Markup {
        let days = &self.report.growth.days;
        let stored: u64 = days.iter().map(|day| day.bytes_stored).fold(0, u64::saturating_add);
        let bytes: u64 = days.iter().map(|day| day.bytes).fold(0, u64::saturating_add);
        let snapshots: u64 = days.iter().map(|day| day.snapshots).sum();
        if snapshots == 0 {
            return nothing("No snapshot was made in this period.");
        }
        let most = days.iter().max_by_key(|day| day.bytes_stored);
        let bars = days.iter().filter(|day| day.snapshots > 0).filter_map(|day| {
            let date: jiff::civil::Date = day.day.parse().ok()?;
            let noon = self.zone.begin(date).0.saturating_add(HALF_DAY_SECONDS);
            Some(Bar { class: "one", x: noon, value: signed(day.bytes_stored) })
        });
        let bars: Vec<Bar<'_>> = bars.collect();
        let chart = Chart {
            id: "stored-by-day",
            title: "Bytes stored a day",
            description: most.map_or_else(String::new, |day| {
                format!(
                    "{} in all; most on {}: {}.",
                    human_bytes(stored),
                    day.day,
                    human_bytes(day.bytes_stored)
                )
            }),
            x: self.axis(),
            x_ticks: self.ticks(),
            unit: Unit::Bytes,
            limit: None,
        };
        html! {
            p {
                (snapshots) " snapshots of " (human_bytes(bytes)) " of files stored " strong { (human_bytes(stored)) } "; the rest was there already or compressed away."
            }
            div .charts {
                figure { figcaption { "Bytes stored a day" } (chart.bars(&bars, days.len())) }
                (self.spans_of_days())
            }
        }
    }

    /// Sums of weeks, or of months for long periods.
    fn spans_of_days(&self) -> Markup {
        let days = &self.report.growth.days;
        let is_long = days.len() > DAYS_COUNT_MAX;
        let spans: Vec<_> = if is_long {
            days.chunk_by(|one, other| {
                one.day.get(..MONTH_LETTERS) == other.day.get(..MONTH_LETTERS)
            })
            .collect()
        } else {
            days.chunks(WEEK_DAYS).collect()
        };
        let rows = spans.into_iter().filter_map(|span| {
            let (first, last) = (span.first()?, span.last()?);
            let sum = |value: fn(&crate::report::model::DayBytes) -> u64| {
                span.iter().map(value).fold(0, u64::saturating_add)
            };
            let cells = vec![
                html! { (first.day) @if first.day != last.day { " – " (last.day.get(5..).unwrap_or(&last.day)) } },
                html! { (sum(|day| day.snapshots)) },
                html! { (human_bytes(sum(|day| day.bytes))) },
                html! { (human_bytes(sum(|day| day.bytes_stored))) },
            ];
            Some((None, cells))
        });
        Grid {
            caption: if is_long {
                "What runs stored, by month"
            } else {
                "What runs stored, by seven days"
            },
            columns: vec![
                fixed("Days"),
                number("Snapshots"),
                number("Their files"),
                number("Stored"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }

    fn copies(&self) -> Markup {
        let copies = &self.report.growth.copies;
        if copies.is_empty() {
            return nothing("No second copy was planned or seen.");
        }
        let rows = copies.iter().map(|copy| {
            let locked = match (copy.versions, copy.locked_days) {
                (_, Some(days)) => format!("locked for {days} days"),
                (Some(true), None) => "keeps versions".to_owned(),
                (Some(false), None) => "neither versions nor locks".to_owned(),
                (None, None) => "not known".to_owned(),
            };
            let cells = vec![
                html! { (copy.name) },
                html! { (copy.kind) },
                html! { (copy.behind_seconds.map_or_else(|| "–".to_owned(), lag)) },
                html! { (copy.lag_seconds.map_or_else(|| "not said".to_owned(), lag)) },
                copy_badge(copy),
                html! { (locked) },
                self.evidence_of([&copy.evidence]),
            ];
            (None, cells)
        });
        Grid {
            caption: "Second copies, as they were last seen in the period",
            columns: vec![
                words("Copy"),
                words("Store"),
                number("Behind"),
                number("Allowed"),
                words("Outcome"),
                words("Against deletion"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }
}

fn lag(seconds: u64) -> String {
    duration(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn copy_badge(copy: &CopyRow) -> Markup {
    match (&copy.error, copy.behind_seconds, copy.lag_seconds) {
        (Some(error), ..) => badge(Level::Bad, &format!("could not be looked at: {error}")),
        (None, None, _) => badge(Level::Attention, "not complete or not seen"),
        (None, Some(behind), Some(may)) if behind > may => badge(Level::Bad, "too far behind"),
        (None, Some(_), Some(_)) => badge(Level::Good, "within its target"),
        (None, Some(_), None) => badge(Level::Unknown, "no target"),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const WEEK_DAYS: usize = 7;
const MONTH_DAYS: usize = 30;
/// Longer periods are told by month.
const DAYS_COUNT_MAX: usize = 62;
/// `2026-10`
const MONTH_LETTERS: usize = 7;
const HALF_DAY_SECONDS: i64 = 43_200;
