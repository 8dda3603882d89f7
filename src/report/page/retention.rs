//! Which snapshots satisfied the policy at the end of the period.

use crate::report::model::Level;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::nothing;
use crate::report::page::parts::short_id;
use crate::report::page::parts::words;
use crate::report::rows::RetentionRow;
use crate::report::rows::SlotRow;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn retention(&self) -> Markup {
        let rows = &self.report.retention;
        if rows.iter().all(|row| row.slots.is_empty() && row.beyond.is_empty()) {
            return nothing("No plan of this period says what is to be kept.");
        }
        html! {
            p {
                "Which snapshot satisfied each day, week, month and year that the policy keeps, at "
                (self.time(self.report.period.told_until)) "."
            }
            @for row in rows { (self.retention_of(row)) }
        }
    }

    fn retention_of(&self, row: &RetentionRow) -> Markup {
        let kinds: Vec<&[SlotRow]> =
            row.slots.chunk_by(|one, other| one.kind == other.kind).collect();
        let beyond = row.beyond.iter().map(|kept| {
            let why = if kept.is_overdue {
                badge(Level::Attention, "nothing: it should be gone")
            } else if kept.why.is_empty() {
                html! { "nothing: the next forget and prune remove it" }
            } else {
                html! { (kept.why) }
            };
            let cells = vec![
                short_id(&kept.snapshot),
                html! { (kept.data_time) },
                why,
                self.evidence_of([&kept.evidence]),
            ];
            (None, cells)
        });
        let beyond: Vec<_> = beyond.collect();
        let early = row.gone_early.iter().map(|gone| {
            let cells = vec![
                short_id(&gone.snapshot),
                html! { (gone.data_time) },
                html! { (gone.kept_by.join(", ")) },
                html! { (gone.words) },
                self.evidence_of([&gone.evidence]),
            ];
            (None, cells)
        });
        let early: Vec<_> = early.collect();
        html! {
            article .card {
                h3 { (row.source) }
                dl .slots {
                    @for slots in kinds {
                        div {
                            dt { (slots.first().map(|slot| slot.kind).unwrap_or_default()) " " span .sub { (kept_words(slots)) } }
                            dd { ul { @for slot in slots { (self.slot(slot)) } } }
                        }
                    }
                }
                @if !early.is_empty() {
                    (Grid {
                        caption: "Forgotten though the policy kept it",
                        columns: vec![words("Snapshot"), words("Data of"), words("Kept for"), words("What was done"), words("Evidence")],
                        rows: early,
                    }.draw())
                }
                @if !beyond.is_empty() {
                    (Grid {
                        caption: "Kept for longer than the policy says",
                        columns: vec![words("Snapshot"), words("Data of"), words("What keeps it"), words("Evidence")],
                        rows: beyond,
                    }.draw())
                }
            }
        }
    }

    fn slot(&self, slot: &SlotRow) -> Markup {
        let (class, word) = match (&slot.snapshot, slot.is_expected) {
            (Some(_), _) => ("kept", "kept"),
            (None, true) => ("lacking", "missing"),
            (None, false) => ("free", "nothing was due"),
        };
        let mark = match class {
            "kept" => "✓",
            "lacking" => "✕",
            _free => "·",
        };
        html! {
            li class={ "slot " (class) } {
                span aria-hidden="true" { (mark) } " " (slot.label)
                @match (&slot.snapshot, &slot.evidence) {
                    (Some(_), Some(key)) => { " " span .hidden { (word) " by " } (self.evidence_of([key])) },
                    (Some(id), None) => { " " span .hidden { (word) " by " } (short_id(id)) },
                    (None, _) => { " " span .sub { (word) } },
                }
            }
        }
    }
}

fn kept_words(slots: &[SlotRow]) -> String {
    let kept = slots.iter().filter(|slot| slot.snapshot.is_some()).count();
    let expected = slots.iter().filter(|slot| slot.snapshot.is_some() || slot.is_expected).count();
    format!("{kept} of {expected}")
}
