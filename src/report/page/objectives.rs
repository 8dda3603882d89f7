//! How old data became, and how long it took to recover, against what plans allow.

use crate::report::model::IncidentRow;
use crate::report::model::Level;
use crate::report::model::RecoveryPoint;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::short_id;
use crate::report::page::parts::words;
use crate::report::svg::Bar;
use crate::report::svg::Chart;
use crate::report::svg::Line;
use crate::report::svg::Unit;
use crate::report::words::duration;
use crate::report::words::milliseconds;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn recovery_points(&self) -> Markup {
        let points = &self.report.recovery_points;
        if points.is_empty() {
            return nothing("Nothing was planned, and no snapshot was made.");
        }
        let rows = points.iter().map(|point| {
            let cells = vec![
                html! { (point.source) },
                html! { (target_words(point.target_seconds)) },
                html! { (point.worst_seconds.map_or_else(|| "–".to_owned(), duration)) },
                self.time_or_dash(point.worst_at),
                html! { (point.end_seconds.map_or_else(|| "–".to_owned(), duration)) },
                over_badge(point),
                self.evidence_of(&point.evidence),
            ];
            (None, cells)
        });
        let charts = points.iter().enumerate().filter(|(_, point)| point.line.len() > 1);
        html! {
            p {
                "How old the newest complete copy of each source became: what would have been lost if the source had failed at that moment."
            }
            (Grid {
                caption: "Age of the newest complete copy, by source",
                columns: vec![
                    words("Source"),
                    number("Allowed"),
                    number("Oldest"),
                    fixed("That was at"),
                    number("At the end"),
                    words("Outcome"),
                    words("Evidence"),
                ],
                rows: rows.collect(),
            }.draw())
            div .charts { @for (number, point) in charts.take(CHARTS_COUNT_MAX) { (self.age_chart(number, point)) } }
        }
    }

    fn age_chart(&self, number: usize, point: &RecoveryPoint) -> Markup {
        let target = point.target_seconds.and_then(|target| i64::try_from(target).ok());
        let limit = target.map(|target| (target, format!("allowed {}", duration(target))));
        let oldest = point.worst_seconds.map_or_else(|| "not known".to_owned(), duration);
        let title = format!("Age of {}", point.source);
        let chart = Chart {
            id: &format!("age-{number}"),
            title: &title,
            description: format!(
                "The age grows until a complete snapshot makes it small again. At most it was {oldest}; allowed is {}.",
                target_words(point.target_seconds)
            ),
            x: self.axis(),
            x_ticks: self.ticks(),
            unit: Unit::Seconds,
            limit,
        };
        let points = point.line.iter().map(|(moment, age)| (moment.0, *age)).collect();
        html! {
            figure {
                figcaption { (title) }
                (chart.lines(&[Line { class: "one", points, is_filled: true }]))
            }
        }
    }

    pub(super) fn recovery_time(&self) -> Markup {
        let incidents = &self.report.incidents;
        html! {
            @if incidents.is_empty() {
                (nothing("No incident was recorded in this period."))
            } @else {
                @for incident in incidents { (self.incident(incident)) }
            }
            (self.drill_times())
        }
    }

    fn incident(&self, row: &IncidentRow) -> Markup {
        let target = row.target_seconds.and_then(|target| i64::try_from(target).ok());
        let is_slow = row.seconds.zip(target).is_some_and(|(took, may)| took > may);
        let (level, word) = match (row.is_open, is_slow) {
            (true, _) => (Level::Bad, "not over"),
            (false, true) => (Level::Attention, "slower than its target"),
            (false, false) => (Level::Good, "recovered"),
        };
        html! {
            article .card {
                h3 { "Incident " (short_id(&row.incident)) " " (badge(level, word)) }
                @for words in &row.words { p { (words) } }
                dl .facts {
                    div { dt { "Began" } dd { (self.time_or_dash(row.began)) } }
                    div { dt { "Ended" } dd { (self.time_or_dash(row.ended)) } }
                    div { dt { @if row.is_open { "So far" } @else { "Time to recover" } }
                        dd { (row.seconds.map_or_else(|| "–".to_owned(), duration)) } }
                    div { dt { "Target" } dd { (target_words(row.target_seconds)) } }
                    div { dt { "Data lost" } dd { (row.lost_seconds.map_or_else(|| "–".to_owned(), duration)) } }
                    @if !row.sources.is_empty() { div { dt { "Sources" } dd { (row.sources.join(", ")) } } }
                    @if let Some(ticket) = &row.ticket { div { dt { "Ticket" } dd { (ticket) } } }
                    div { dt { "Evidence" } dd { (self.evidence_of(&row.evidence)) } }
                }
            }
        }
    }

    /// How long drills took: what recovery would take.
    fn drill_times(&self) -> Markup {
        let timed: Vec<_> = self
            .report
            .drills
            .iter()
            .filter_map(|drill| Some((drill, i64::try_from(drill.rto_milliseconds?).ok()?)))
            .collect();
        let Some(longest) = timed.iter().map(|(_, time)| *time).max() else {
            return html! {};
        };
        let rows = timed.iter().map(|(drill, _)| {
            let cells = vec![
                self.time(drill.time),
                html! { (drill.name) },
                html! { (drill.rto_milliseconds.map_or_else(|| "–".to_owned(), milliseconds)) },
                html! { (target_words(drill.rto_target_seconds)) },
                self.evidence_of([&drill.evidence]),
            ];
            (None, cells)
        });
        let bars: Vec<Bar<'_>> = timed
            .iter()
            .map(|(drill, time)| Bar { class: "one", x: drill.time.0, value: whole_seconds(*time) })
            .collect();
        let chart = Chart {
            id: "drill-times",
            title: "Time to recover in drills",
            description: format!(
                "A bar for each of {} drills; the longest took {}.",
                timed.len(),
                milliseconds(longest.unsigned_abs())
            ),
            x: self.axis(),
            x_ticks: self.ticks(),
            unit: Unit::Seconds,
            limit: None,
        };
        html! {
            h3 { "Measured in drills" }
            div .charts {
                figure { figcaption { "Time to recover in drills" } (chart.bars(&bars, 40)) }
                (Grid {
                    caption: "From the beginning of a drill to its last check",
                    columns: vec![fixed("Drill of"), words("Name"), number("Took"), number("Allowed"), words("Evidence")],
                    rows: rows.collect(),
                }.draw())
            }
        }
    }

    /// The ends of the horizontal axis of charts over the period.
    pub(super) const fn axis(&self) -> (i64, i64) {
        let period = &self.report.period;
        (period.from.0, period.until.0)
    }

    /// Its labels: each week of a month, each second month of a year.
    pub(super) fn ticks(&self) -> Vec<(i64, String)> {
        let period = &self.report.period;
        let (first, last) = (self.zone.date(period.from), self.zone.date(period.until));
        let days = last.since(first).map_or(0, |span| span.get_days());
        let (step, format) = if days > TICKS_DAYS_MAX {
            (jiff::Span::new().months(2), "%b")
        } else {
            (jiff::Span::new().days(7), "%-d %b")
        };
        let begins = first.series(step).take_while(|day| *day <= last).take(TICKS_COUNT_MAX);
        begins.map(|day| (self.zone.begin(day).0, day.strftime(format).to_string())).collect()
    }
}

/// Milliseconds as seconds, rounded up: what took a moment is no bar of nothing.
fn whole_seconds(milliseconds: i64) -> i64 {
    milliseconds / 1000 + i64::from(milliseconds % 1000 > 0)
}

fn target_words(seconds: Option<u64>) -> String {
    let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
    seconds.map_or_else(|| "not said".to_owned(), duration)
}

fn over_badge(point: &RecoveryPoint) -> Markup {
    match (point.target_seconds, point.over_count) {
        (_, 1..) => {
            let times = if point.over_count == 1 {
                "once".to_owned()
            } else {
                format!("{} times", point.over_count)
            };
            badge(
                Level::Bad,
                &format!("older {times}, for {} in all", duration(point.over_seconds)),
            )
        }
        (None, 0) => badge(Level::Unknown, "no target"),
        (Some(_), 0) if point.worst_seconds.is_none() => badge(Level::Unknown, "no copy"),
        (Some(_), 0) => badge(Level::Good, "within its target"),
    }
}

/// Charts of ages that are drawn; the table has all.
const CHARTS_COUNT_MAX: usize = 8;
/// Longer periods have a label a month.
const TICKS_DAYS_MAX: i32 = 62;
const TICKS_COUNT_MAX: usize = 24;
