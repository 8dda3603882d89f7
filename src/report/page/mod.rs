//! The page: one file of HTML that needs nothing else, for screens and for paper. One file a section.

mod calendar;
mod controls;
mod drills;
mod erasures;
mod events;
mod evidence;
mod growth;
mod method;
mod objectives;
mod parts;
mod retention;
mod runs;
mod verdict;
mod verification;

use crate::report::model::Report;
use crate::report::moment::Zone;
use crate::report::page::evidence::Evidence;
use maud::DOCTYPE;
use maud::Markup;
use maud::PreEscaped;
use maud::html;

/// What every section needs.
struct Page<'a> {
    report: &'a Report,
    zone: Zone,
    evidence: Evidence<'a>,
}

/// The page of a report.
pub(crate) fn page(report: &Report) -> String {
    let zone = Zone::named(&report.period.timezone).unwrap_or_else(Zone::utc);
    let evidence = Evidence::of(report);
    Page { report, zone, evidence }.whole().into_string()
}

impl Page<'_> {
    fn whole(&self) -> Markup {
        let title = format!("Backup report, {}", self.report.period.label);
        let sections = self.sections();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(self.report.tool);
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a .skip href="#main" { "Skip to the report" }
                    (self.head(&title))
                    nav aria-label="Sections" {
                        ol { @for (id, name, _) in &sections { li { a href={ "#" (id) } { (name) } } } }
                    }
                    main id="main" {
                        (self.verdict())
                        @for (id, name, body) in &sections {
                            section id=(id) aria-labelledby={ (id) "-title" } {
                                h2 id={ (id) "-title" } { (name) }
                                (body)
                            }
                        }
                    }
                    footer {
                        p {
                            "Repository " span .id { (self.report.repository) } ". Made by " (self.report.tool)
                            " from signed records alone. It is evidence for what it tells, and no statement that any rule is met."
                        }
                    }
                }
            }
        }
    }

    fn sections(&self) -> Vec<(&'static str, &'static str, Markup)> {
        let mut sections = Vec::new();
        if !self.report.findings.is_empty() {
            sections.push(("records", "Records that cannot be read", self.findings()));
        }
        sections.extend([
            ("runs", "Expected and actual runs", self.runs()),
            ("recovery-points", "Age of data (RPO)", self.recovery_points()),
            ("recovery-time", "Time to recover (RTO)", self.recovery_time()),
            ("growth", "Growth, reduction and copies", self.growth()),
            ("retention", "Retention", self.retention()),
            ("verification", "Verification", self.verification()),
            ("drills", "Drills", self.drills()),
            ("events", "Restores and key events", self.events()),
            ("erasures", "Erasures", self.erasures()),
            ("deletions", "Deletions", self.deletions()),
            ("controls", "Controls", self.controls()),
            ("sign-off", "Sign-off", Self::sign_off()),
            ("method", "How each number was made", Self::method()),
            ("evidence", "Evidence", self.evidence_list()),
        ]);
        sections
    }
}

const STYLE: &str = include_str!("../style.css");
