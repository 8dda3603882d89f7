//! The head of the page, and the sentence that an owner reads first.

use crate::report::model::Level;
use crate::report::model::PeriodKind;
use crate::report::moment::long_date;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::words;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn head(&self, title: &str) -> Markup {
        let period = &self.report.period;
        let (first, last) = (self.zone.date(period.from), self.zone.date(period.until));
        let kind = match period.kind {
            PeriodKind::Month => "Backup report of a month",
            PeriodKind::Year => "Annual review of backups",
            PeriodKind::Span => "Backup report of a period",
        };
        html! {
            header {
                p .kicker { (kind) }
                h1 { (title) }
                dl .facts {
                    div { dt { "Period" } dd { (long_date(first)) " – " (long_date(last)) } }
                    div { dt { "Told until" } dd { (self.time(period.told_until)) } }
                    div { dt { "Time zone" } dd { (period.timezone) } }
                    div { dt { "Repository" } dd .id title=(self.report.repository) {
                        (self.report.repository.get(..16).unwrap_or(&self.report.repository)) "…"
                    } }
                }
                (self.notes())
            }
        }
    }

    /// What whoever reads the numbers must know of the period.
    fn notes(&self) -> Markup {
        let period = &self.report.period;
        html! {
            @if !period.is_whole {
                p .note {
                    strong { "The period is not told to its end. " }
                    @match period.newest_record {
                        Some(newest) => {
                            "The newest record is of " (self.time(newest)) "; what was due later is not counted, neither as come nor as missed."
                        }
                        None => "There is no record at all.",
                    }
                    " If time has passed since, that nothing was recorded is itself a finding."
                }
            }
            @if !period.other_timezones.is_empty() {
                p .note {
                    "Some plans use other time zones (" (period.other_timezones.join(", ")) "); days on this page are those of " (period.timezone) "."
                }
            }
        }
    }

    pub(super) fn verdict(&self) -> Markup {
        let verdict = &self.report.verdict;
        let (class, word) = match verdict.level {
            Level::Good => ("good", "In order"),
            Level::Unknown => ("unknown", "Not known"),
            Level::Attention => ("attention", "Needs attention"),
            Level::Bad => ("bad", "Not in order"),
        };
        html! {
            section id="verdict" class={ "verdict " (class) } aria-labelledby="verdict-title" {
                h2 id="verdict-title" { "Verdict" }
                p .sentence { (badge(verdict.level, word)) " " (verdict.sentence) }
                ul .points {
                    @for point in &verdict.points {
                        li class=(level_class(point.level)) {
                            h3 { a href={ "#" (point.section) } { (point.title) } }
                            p .figure { (point.figure) }
                            p .words { (badge(point.level, level_word(point.level))) " " (point.words) }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn findings(&self) -> Markup {
        let rows = self.report.findings.iter().map(|row| {
            let level = if row.is_loss { Level::Bad } else { Level::Attention };
            let word = if row.is_loss { "loss" } else { "notice" };
            let object = html! { span .id .break { (row.object) } };
            (
                None,
                vec![
                    object,
                    badge(level, word),
                    html! { (row.effect) },
                    html! { code { (row.code) } },
                ],
            )
        });
        html! {
            p {
                "Whatever these said is missing below, and counts as if it had never been: a run whose record cannot be read is told as missed. "
                code { "sbf-repo check" } " tells more of each."
            }
            (Grid {
                caption: "Records that cannot be read or do not count",
                columns: vec![words("Object"), words("Kind"), words("What follows"), words("Code")],
                rows: rows.collect(),
            }.draw())
        }
    }
}

const fn level_class(level: Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Unknown => "unknown",
        Level::Attention => "attention",
        Level::Bad => "bad",
    }
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::Good => "as planned",
        Level::Unknown => "not known",
        Level::Attention => "look at it",
        Level::Bad => "not as planned",
    }
}
