//! Drills: what was brought back, what was compared, and who stands for it.

use crate::report::page::Page;
use crate::report::page::parts::Grid;
use crate::report::page::parts::fixed;
use crate::report::page::parts::nothing;
use crate::report::page::parts::or_dash;
use crate::report::page::parts::outcome_badge;
use crate::report::page::parts::words;
use crate::report::rows::DrillRow;
use crate::report::words::duration;
use crate::report::words::milliseconds;
use crate::units::human_bytes;
use maud::Markup;
use maud::html;

impl Page<'_> {
    pub(super) fn drills(&self) -> Markup {
        let drills = &self.report.drills;
        if drills.is_empty() {
            return nothing(
                "No drill was recorded in this period: nobody has shown that data comes back.",
            );
        }
        let (first, rest) = drills.split_at_checked(DRILLS_COUNT_MAX).unwrap_or((drills, &[]));
        html! {
            @for drill in first { (self.drill(drill)) }
            @if !rest.is_empty() {
                details {
                    summary { (rest.len()) " more drills" }
                    @for drill in rest { (self.drill(drill)) }
                }
            }
        }
    }

    fn drill(&self, drill: &DrillRow) -> Markup {
        let checks = drill.checks.iter().map(|check| {
            (
                None,
                vec![
                    html! { (check.name) },
                    outcome_badge(check.outcome),
                    html! { (check.detail) },
                ],
            )
        });
        let from = match &drill.copy {
            Some(copy) => format!("copy {copy}"),
            None => "the repository".to_owned(),
        };
        html! {
            article .card {
                h3 { (drill.name) ", " (self.time(drill.time)) " " (outcome_badge(drill.outcome)) }
                dl .facts {
                    div { dt { "Source" } dd { (drill.source) } }
                    div { dt { "Brought back from" } dd { (from) ", " (drill.cache) " cache" @if drill.from_kit { ", with the recovery kit alone" } } }
                    div { dt { "Into" } dd { (drill.target) " on " (drill.host) ", " (drill.scratch) " afterwards" } }
                    div { dt { "Bytes" } dd { (human_bytes(drill.bytes)) } }
                    div { dt { "Time to recover" } dd { (drill.rto_milliseconds.map_or_else(|| "not reached".to_owned(), milliseconds)) (allowed(drill.rto_target_seconds)) } }
                    div { dt { "Age of its data" } dd { (seconds(drill.rpo_seconds)) (allowed(drill.rpo_target_seconds)) } }
                    div { dt { "Evidence" } dd { (self.evidence_of([&drill.evidence])) } }
                }
                @if !drill.phases.is_empty() {
                    p .sub { "Phases: " @for (number, (name, time)) in drill.phases.iter().enumerate() {
                        @if number > 0 { ", " } (name) " " (milliseconds(*time))
                    } "." }
                }
                @if !drill.environment.is_empty() {
                    p .sub { "Ran on: " @for (number, (name, value)) in drill.environment.iter().enumerate() {
                        @if number > 0 { ", " } (name) " " (value)
                    } "." }
                }
                @if !drill.checks.is_empty() {
                    (Grid {
                        caption: "What was checked",
                        columns: vec![words("Check"), words("Outcome"), words("What was found")],
                        rows: checks.collect(),
                    }.draw())
                }
                (self.sign_offs(drill))
            }
        }
    }

    fn sign_offs(&self, drill: &DrillRow) -> Markup {
        if drill.sign_offs.is_empty() {
            return html! { p .nothing { "Nobody signed this drill off." } };
        }
        let rows = drill.sign_offs.iter().map(|sign_off| {
            let cells = vec![
                html! { (sign_off.by) },
                or_dash(sign_off.function.as_deref()),
                self.time(sign_off.time),
                or_dash(sign_off.words.as_deref()),
                self.evidence_of([&sign_off.evidence]),
            ];
            (None, cells)
        });
        Grid {
            caption: "Signed off",
            columns: vec![
                words("By"),
                words("Function"),
                fixed("At"),
                words("Words"),
                words("Evidence"),
            ],
            rows: rows.collect(),
        }
        .draw()
    }

    pub(super) fn sign_off() -> Markup {
        let who = ["Prepared by", "Reviewed by", "Approved by"];
        html! {
            p { "For those who sign on paper. The file itself is signed by " code { "report --sign" } ", which writes the signature beside it." }
            div .scroll role="region" aria-label="Sign-off" tabindex="0" {
                table .signing {
                    caption { "Signatures" }
                    thead { tr { th scope="col" { "Role" } th scope="col" { "Name and function" } th scope="col" { "Date" } th scope="col" { "Signature" } } }
                    tbody { @for role in who { tr { th scope="row" { (role) } td {} td {} td {} } } }
                }
            }
        }
    }
}

fn seconds(seconds: Option<u64>) -> String {
    seconds.map_or_else(
        || "not known".to_owned(),
        |time| duration(i64::try_from(time).unwrap_or(i64::MAX)),
    )
}

fn allowed(target: Option<u64>) -> String {
    target.map_or_else(String::new, |target| format!(" (allowed {})", seconds(Some(target))))
}

/// Drills that are seen at once.
const DRILLS_COUNT_MAX: usize = 16;
