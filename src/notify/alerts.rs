//! What is open: per subject, since when, who was told, and whether somebody takes care.

use crate::notify::disk;
use crate::notify::event::Event;
use crate::notify::event::EventKind;
use crate::notify::event::start_of;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Every open alert, by subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alerts {
    version: u32,
    pub(crate) alerts: BTreeMap<String, Alert>,
}

/// One that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// When it was opened, in seconds since 1970.
    pub(crate) since: i64,
    /// How often it happened.
    pub(crate) count: u64,
    /// What happened last.
    pub(crate) last: Event,
    /// When people were told last, by kind.
    pub(crate) told: BTreeMap<String, i64>,
    /// The highest level that was told; 0 if nobody was.
    pub(crate) level: u32,
    /// Who takes care of it.
    pub(crate) acknowledged: Option<Acknowledged>,
}

/// Somebody takes care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    /// Since when, in seconds since 1970.
    pub(crate) time: i64,
    /// What they say.
    pub(crate) note: Option<String>,
}

impl Alerts {
    /// Reads them; `Err` says what is wrong with the file, which was renamed.
    pub(crate) fn read(path: &Path) -> io::Result<Result<Self, String>> {
        let decoded = match disk::read(path, FILE_BYTES_MAX) {
            Ok(None) => return Ok(Ok(Self::new())),
            Ok(Some(bytes)) => serde_json::from_slice::<Self>(&bytes)
                .map_err(|error| error.to_string())
                .and_then(|alerts| match alerts.version {
                    VERSION => Ok(alerts),
                    other => Err(format!("its version is {other}")),
                }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        if let Err(why) = decoded {
            let aside = path.with_extension("damaged");
            std::fs::rename(path, &aside)?;
            return Ok(Err(format!(
                "the list of open alerts was not readable ({why}) and is now {}: what was open is not known",
                aside.display()
            )));
        }
        Ok(decoded)
    }

    /// None are open.
    pub(crate) fn new() -> Self {
        Self { version: VERSION, alerts: BTreeMap::new() }
    }

    /// Writes them durably.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        disk::replace(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Notes something bad; returns the highest level that is to be told of it, if any is.
    ///
    /// What goes on is told again after `repeat_after` seconds; whoever was told before is.
    pub(crate) fn note_bad(&mut self, event: &Event, repeat_after: i64) -> Option<u32> {
        let mut shown = event.clone();
        shown.text = start_of(&shown.text, TEXT_LETTERS_MAX);
        if !self.alerts.contains_key(&event.subject) && self.alerts.len() >= ALERTS_COUNT_MAX {
            // It is told all the same, each time.
            return Some(1);
        }
        let alert = self.alerts.entry(event.subject.clone()).or_insert_with(|| Alert {
            since: event.time,
            count: 0,
            last: shown.clone(),
            told: BTreeMap::new(),
            level: 0,
            acknowledged: None,
        });
        alert.count = alert.count.saturating_add(1);
        alert.last = shown;
        let told = alert.told.get(event.kind.word()).copied();
        // A clock that went back must not silence anybody.
        let is_due = told.is_none_or(|told| !(0..repeat_after).contains(&(event.time - told)));
        is_due.then(|| alert.level.max(1))
    }

    /// Notes that people were told of a subject.
    pub(crate) fn note_told(&mut self, subject: &str, kind: EventKind, level: u32, time: i64) {
        if let Some(alert) = self.alerts.get_mut(subject) {
            alert.told.insert(kind.word().to_owned(), time);
            alert.level = alert.level.max(level);
        }
    }

    /// The subjects whose next level is to be told, and that level; `after` is in seconds.
    pub(crate) fn due(&self, after: &[i64], now: i64) -> Vec<(String, u32)> {
        let mut due = Vec::new();
        for (subject, alert) in &self.alerts {
            if alert.acknowledged.is_some() || alert.level == 0 {
                continue;
            }
            for (level, delay) in (2_u32..).zip(after) {
                if level > alert.level && now.saturating_sub(alert.since) >= *delay {
                    due.push((subject.clone(), level));
                }
            }
        }
        due
    }
}

const VERSION: u32 = 1;
const FILE_BYTES_MAX: u64 = 16 << 20;
const ALERTS_COUNT_MAX: usize = 1_000;
/// Of each text; the whole of it was sent.
const TEXT_LETTERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(time: i64) -> Event {
        Event::new(EventKind::Failure, "db", time)
    }

    #[test]
    fn what_goes_on_is_told_again_only_after_a_while_or_when_it_is_another_thing() {
        let mut alerts = Alerts::new();
        assert_eq!(alerts.note_bad(&failure(0), 100), Some(1));
        alerts.note_told("db", EventKind::Failure, 1, 0);
        assert_eq!(alerts.note_bad(&failure(99), 100), None);
        assert_eq!(alerts.note_bad(&Event::new(EventKind::Missed, "db", 99), 100), Some(1));
        assert_eq!(alerts.note_bad(&failure(100), 100), Some(1));
        assert_eq!(alerts.note_bad(&failure(-5), 100), Some(1), "the clock went back");
        assert_eq!(alerts.alerts["db"].count, 5);
        assert_eq!(alerts.alerts["db"].since, 0);
    }

    #[test]
    fn levels_are_due_one_after_the_other_until_somebody_acknowledges() {
        let mut alerts = Alerts::new();
        alerts.note_bad(&failure(0), 100);
        assert_eq!(alerts.due(&[10, 20], 30), [], "nobody was told at all");
        alerts.note_told("db", EventKind::Failure, 1, 0);
        assert_eq!(alerts.due(&[10, 20], 9), []);
        assert_eq!(alerts.due(&[10, 20], 10), [("db".to_owned(), 2)]);
        alerts.note_told("db", EventKind::Failure, 2, 10);
        assert_eq!(alerts.due(&[10, 20], 25), [("db".to_owned(), 3)]);
        let acknowledged = Some(Acknowledged { time: 21, note: None });
        alerts.alerts.get_mut("db").unwrap().acknowledged = acknowledged;
        assert_eq!(alerts.due(&[10, 20], 25), []);
    }

    #[test]
    fn a_damaged_file_is_told_kept_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        for text in ["{", "{\"version\":2,\"alerts\":{}}", "\0\0"] {
            disk::replace(&path, text.as_bytes()).unwrap();
            let why = Alerts::read(&path).unwrap().unwrap_err();
            assert!(why.contains("alerts.damaged"), "{why}");
            let kept = std::fs::read_to_string(folder.path().join("alerts.damaged"));
            assert_eq!(kept.unwrap(), text);
            assert_eq!(Alerts::read(&path).unwrap(), Ok(Alerts::new()));
        }
    }
}
