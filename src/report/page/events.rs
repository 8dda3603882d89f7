//! Who read contents, changed keys or removed something, and who may sign.

use crate::report::model::Level;
use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::badge;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::number;
use crate::report::page::parts::short_id;
use crate::report::page::parts::size;
use crate::report::page::parts::words;
use crate::report::rows::EventGroup;
use crate::report::rows::EventRow;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn events(&self) -> Markup {
        html! {
            @for (group, name, none) in GROUPS {
                h3 { (name) }
                (self.events_of(group, name, none))
            }
            h3 { "Keys that could sign" }
            (self.key_rows())
        }
    }

    fn events_of(&self, group: EventGroup, caption: &str, none: &str) -> Markup {
        let rows = self.report.events.iter().filter(|row| row.group == group);
        let rows: Vec<_> = rows.map(|row| (None, self.event(row))).collect();
        if rows.is_empty() {
            return nothing(none);
        }
        Grid {
            caption,
            columns: vec![
                fixed("Begun"),
                words("What"),
                words("By"),
                number("Bytes"),
                words("Outcome"),
                words("Why"),
                words("Evidence"),
            ],
            rows,
        }
        .draw()
    }

    fn event(&self, row: &EventRow) -> Vec<Markup> {
        let outcome = match row.exit_code {
            Some(0) => badge(Level::Good, "done"),
            Some(code) => badge(Level::Attention, &format!("exit code {code}")),
            None => badge(Level::Unknown, "end not recorded"),
        };
        let why = [row.reason.as_deref(), row.ticket.as_deref()];
        let why: Vec<&str> = why.into_iter().flatten().collect();
        vec![
            self.time(row.time),
            html! {
                (row.operation)
                @if let Some(subject) = &row.subject { " " (subject) }
                @if row.snapshots > 0 { span .sub { (row.snapshots) " snapshots" } }
            },
            html! { "user " (row.user) span .sub { (row.host) ", client " (short_id(&row.client)) } },
            html! { (size(row.bytes)) },
            outcome,
            html! { @if why.is_empty() { "–" } @else { (why.join("; ")) } },
            self.evidence_of([&row.evidence]),
        ]
    }

    fn key_rows(&self) -> Markup {
        if self.report.keys.is_empty() {
            return nothing("No key could sign in this period.");
        }
        let rows = self.report.keys.iter().map(|key| {
            let change = match (key.is_new, key.is_ended) {
                (true, true) => "new, and ended",
                (true, false) => "new in this period",
                (false, true) => "ended in this period",
                (false, false) => "–",
            };
            let until = key.until.map_or_else(|| html! { "no end" }, |until| self.time(until));
            let from = if key.from.0 > 0 {
                self.time(key.from)
            } else {
                html! { "the beginning" }
            };
            let cells =
                vec![short_id(&key.subject), html! { (key.role) }, from, until, html! { (change) }];
            (None, cells)
        });
        Grid {
            caption: "Certificates of signing keys",
            columns: vec![
                words("Client"),
                words("Role"),
                fixed("From"),
                fixed("Until"),
                words("Change"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }
}

const GROUPS: [(EventGroup, &str, &str); 4] = [
    (
        EventGroup::Read,
        "Contents that were read",
        "Nobody restored, dumped, mounted or served anything.",
    ),
    (EventGroup::Keys, "Changes of keys", "No key was made, removed or rotated."),
    (
        EventGroup::Removal,
        "Forgetting, collecting and holding",
        "Nothing was forgotten, collected, held or released.",
    ),
    (EventGroup::Other, "Other events", "Nothing else was recorded."),
];
