//! Controls: what auditors ask, each answered from signed records.

use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::nothing;
use crate::report::page::parts::outcome_badge;
use crate::report::page::parts::words;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn controls(&self) -> Markup {
        if self.report.controls.is_empty() {
            return nothing("No control was evaluated.");
        }
        let rows = self.report.controls.iter().map(|row| {
            let what = html! {
                (row.words)
                @if !row.parameters.is_empty() {
                    span .sub {
                        @for (number, (name, value)) in row.parameters.iter().enumerate() {
                            @if number > 0 { "; " } (name) ": " (value)
                        }
                    }
                }
            };
            let cells = vec![
                html! { (row.title) span .sub { (row.id) } },
                outcome_badge(row.outcome),
                what,
                self.evidence_of(&row.evidence),
            ];
            (None, cells)
        });
        html! {
            p { "Each statement holds or does not, from the records that are named beside it. This is evidence for controls, not a judgement of them." }
            (Grid {
                caption: "Controls at the end of the period",
                columns: vec![words("Statement"), words("Outcome"), words("What was found"), words("Evidence")],
                rows: rows.collect(),
            }.draw())
        }
    }
}
