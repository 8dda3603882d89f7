//! How much was read in full, and by which checks.

use crate::report::model::Level;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::words;
use crate::report::words::duration;
use crate::report::words::grouped;
use crate::report::words::percent;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn verification(&self) -> Markup {
        html! {
            (self.coverage())
            (self.checks())
        }
    }

    fn coverage(&self) -> Markup {
        let verification = &self.report.verification;
        let target = verification.target_seconds.and_then(|target| i64::try_from(target).ok());
        let target = target.map_or_else(|| "not said".to_owned(), duration);
        let Some(coverage) = &verification.coverage else {
            return html! {
                (nothing("No record of this period says how much of what is stored was read in full."))
                p { "Everything is to be read within: " (target) "." }
            };
        };
        let age = coverage.oldest.map(|oldest| self.report.period.told_until.since(oldest));
        html! {
            dl .facts {
                div { dt { "Read in full" } dd .figure { (coverage.hundredths.map_or_else(|| "nothing stored".to_owned(), percent)) } }
                div { dt { "Bytes" } dd { (human_bytes(coverage.read_bytes)) " of " (human_bytes(coverage.bytes)) } }
                div { dt { "Packs" } dd { (grouped(coverage.read_packs)) " of " (grouped(coverage.packs)) } }
                div { dt { "Longest unread" } dd { (age.map_or_else(|| "–".to_owned(), duration)) } }
                div { dt { "Allowed" } dd { (target) } }
                div { dt { "As of" } dd { (self.time(coverage.time)) " " (self.evidence_of([&coverage.evidence])) } }
            }
        }
    }

    fn checks(&self) -> Markup {
        let checks = &self.report.verification.checks;
        if checks.is_empty() {
            return nothing("No check read data in this period.");
        }
        let rows = checks.iter().map(|check| {
            let found = if check.damaged + check.findings == 0 {
                badge(Level::Good, "nothing wrong")
            } else {
                badge(
                    Level::Bad,
                    &format!("{} damaged packs, {} findings", check.damaged, check.findings),
                )
            };
            let cells = vec![
                self.time(check.time),
                html! { (check.host) },
                html! { (grouped(check.packs)) },
                html! { (human_bytes(check.bytes)) },
                html! { (duration(check.seconds)) },
                found,
                self.evidence_of([&check.evidence]),
            ];
            (None, cells)
        });
        Grid {
            caption: "Checks that read data in full",
            columns: vec![
                fixed("Begun"),
                words("Host"),
                number("Packs"),
                number("Read"),
                number("Took"),
                words("Outcome"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }
}
