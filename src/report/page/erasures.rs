//! What must stay erased, and what was deleted for good.

use crate::report::model::Level;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::words;
use crate::report::rows::ErasureRow;
use crate::report::words::grouped;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn erasures(&self) -> Markup {
        if self.report.erasures.is_empty() {
            return nothing("No erasure is recorded.");
        }
        let rows = self.report.erasures.iter().map(|row| (None, self.erasure(row)));
        html! {
            p {
                "What the sources erased while older snapshots may still hold it: whoever restores one of those must erase it again."
            }
            (Grid {
                caption: "Erasures that are recorded, and what became of them in the period",
                columns: vec![
                    words("Reference"),
                    words("Sources"),
                    fixed("Erased at"),
                    number("Snapshots that may hold it"),
                    words("After restores"),
                    words("Why"),
                    words("Evidence"),
                ],
                rows: rows.collect(),
            }.draw())
        }
    }

    fn erasure(&self, row: &ErasureRow) -> Vec<Markup> {
        let restores = match (row.replayed, row.pending) {
            (0, 0) => html! { "no restore brought it back" },
            (done, 0) => badge(Level::Good, &format!("erased again {done} times")),
            (done, pending) => {
                badge(Level::Bad, &format!("erased again {done} times, {pending} times not yet"))
            }
        };
        let why = [row.reason.as_deref(), row.ticket.as_deref()];
        let why: Vec<&str> = why.into_iter().flatten().collect();
        vec![
            html! { (row.subject) },
            html! { (row.sources.join(", ")) },
            self.time(row.erased_at),
            html! {
                (row.holding)
                @if let Some(newest) = row.newest_holding { span .sub { "the newest of " (self.time(newest)) } }
            },
            restores,
            html! { @if why.is_empty() { "–" } @else { (why.join("; ")) } },
            self.evidence_of(&row.evidence),
        ]
    }

    pub(super) fn deletions(&self) -> Markup {
        if self.report.deletions.is_empty() {
            return nothing("No deletion was certified in this period.");
        }
        let rows = self.report.deletions.iter().map(|row| {
            let versions = match row.versions {
                None => html! { "–" },
                Some((0, _)) => html! { "none" },
                Some((count, Some(free))) => html! { (count) " versions until " (self.time(free)) },
                Some((count, None)) => html! { (count) " versions, no rule says until when" },
            };
            let cells = vec![
                html! { (row.verdict) },
                self.time_or_dash(row.decided),
                match row.gone {
                    Some(gone) => self.time(gone),
                    None => badge(Level::Attention, "not certified as gone"),
                },
                html! { (row.snapshots) span .sub { (row.by_policy) " by policy" } },
                html! { (grouped(row.packs)) },
                html! { (human_bytes(row.bytes)) },
                versions,
                self.evidence_of(&row.evidence),
            ];
            (None, cells)
        });
        Grid {
            caption: "Certificates of deletion",
            columns: vec![
                number("Verdict"),
                fixed("Decided"),
                fixed("Gone"),
                number("Snapshots"),
                number("Packs"),
                number("Bytes"),
                words("Still kept by the store"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }
}
