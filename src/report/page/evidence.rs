//! Evidence: every record that something is told from has a number, a short name and its key.

use crate::report::model::Report;
use crate::report::page::Page;
use maud::Markup;
use maud::html;
use std::collections::BTreeMap;
use std::collections::HashMap;

/// The keys of records that a report names, in the order of the page.
pub(super) struct Evidence<'a> {
    numbers: HashMap<&'a str, usize>,
    keys: Vec<&'a str>,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let mut evidence = Self { numbers: HashMap::new(), keys: Vec::new() };
        let runs = report.runs.list.iter().flat_map(|row| &row.evidence);
        let snapshots = report.snapshots.iter().map(|row| &row.evidence);
        let points = report.recovery_points.iter().flat_map(|row| &row.evidence);
        let incidents = report.incidents.iter().flat_map(|row| &row.evidence);
        let states = report.growth.states.iter().map(|row| &row.evidence);
        let copies = report.growth.copies.iter().map(|row| &row.evidence);
        let slots = report.retention.iter().flat_map(|row| &row.slots);
        let slots = slots.filter_map(|slot| slot.evidence.as_ref());
        let beyond = report.retention.iter().flat_map(|row| &row.beyond).map(|row| &row.evidence);
        let coverage = report.verification.coverage.iter().map(|coverage| &coverage.evidence);
        let checks = report.verification.checks.iter().map(|row| &row.evidence);
        let drills = report.drills.iter().map(|row| &row.evidence);
        let signed = report.drills.iter().flat_map(|row| &row.sign_offs).map(|row| &row.evidence);
        let events = report.events.iter().map(|row| &row.evidence);
        let erasures = report.erasures.iter().flat_map(|row| &row.evidence);
        let deletions = report.deletions.iter().flat_map(|row| &row.evidence);
        let controls = report.controls.iter().flat_map(|row| &row.evidence);
        let first =
            runs.chain(snapshots).chain(points).chain(incidents).chain(states).chain(copies);
        let second = slots.chain(beyond).chain(coverage).chain(checks).chain(drills).chain(signed);
        let third = events.chain(erasures).chain(deletions).chain(controls);
        for key in first.chain(second).chain(third) {
            evidence.add(key);
        }
        evidence
    }

    /// The keys by what is before their last part, each with its number.
    fn folders(&self) -> BTreeMap<&'a str, Vec<(usize, &'a str)>> {
        let mut folders: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for (number, key) in (1..).zip(&self.keys) {
            let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
            folders.entry(folder).or_default().push((number, name));
        }
        folders
    }

    fn add(&mut self, key: &'a str) {
        if !self.numbers.contains_key(key) {
            self.numbers.insert(key, self.keys.len() + 1);
            self.keys.push(key);
        }
    }
}

impl Page<'_> {
    /// Links to the records of a row.
    pub(super) fn evidence_of<'k>(&self, keys: impl IntoIterator<Item = &'k String>) -> Markup {
        html! {
            span .evidence {
                @for key in keys {
                    @match self.evidence.numbers.get(key.as_str()) {
                        Some(number) => a href={ "#e" (number) } title=(key) { (short_name(key)) },
                        None => span .id { (key) },
                    }
                    " "
                }
            }
        }
    }

    /// All of them with their keys.
    pub(super) fn evidence_list(&self) -> Markup {
        let keys = &self.evidence.keys;
        let list = html! {
            @for (folder, names) in self.evidence.folders() {
                p .id .break { (folder) "/" }
                ol .keys .short[names.iter().all(|(_, name)| name.len() <= NUMBER_LETTERS)] {
                    @for (number, name) in names { li id={ "e" (number) } value=(number) { (name) } }
                }
            }
        };
        html! {
            p {
                "The keys of the records in the repository that this page is made of, each sealed and signed by the client whose "
                "id is part of its key. " code { "sbf-repo evidence export" } " writes them with their signatures for those who "
                "verify them with stock tools; files there have the same names."
            }
            @if keys.is_empty() {
                p .nothing { "Nothing on this page is told from a record." }
            } @else if keys.len() > KEYS_COUNT_MAX {
                details { summary { (keys.len()) " keys of records" } (list) }
            } @else {
                (list)
            }
        }
    }
}

/// A key in a few letters: `manifest 7d1c02e4`, `audit 12 · 9f2c`.
fn short_name(key: &str) -> String {
    let parts: Vec<&str> = key.split('/').collect();
    let numbered = |kind: &str, client: &str, number: &str| {
        let number = number.trim_start_matches('0');
        format!("{kind}\u{a0}{number}\u{a0}·\u{a0}{}", client.get(..4).unwrap_or(client))
    };
    match parts.as_slice() {
        ["manifests", _client, snapshot] => {
            format!("manifest\u{a0}{}", snapshot.get(..8).unwrap_or(snapshot))
        }
        ["records", kind, client, number] => numbered(kind, client, number),
        ["audit", client, number] => numbered("audit", client, number),
        [kind, id] => format!("{kind}\u{a0}{}", id.get(..8).unwrap_or(id)),
        _ => key.to_owned(),
    }
}

/// Letters of a record’s number.
const NUMBER_LETTERS: usize = 12;
/// More keys fold: whoever prints a year has the table of the population beside it.
const KEYS_COUNT_MAX: usize = 300;
