//! What is told: one thing that happened to a job.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// What it is.
    pub(crate) kind: EventKind,
    /// The job or source, or a task such as `maintenance:prune`.
    pub(crate) subject: String,
    /// Where it happened; the notifier sets it if it is empty.
    pub(crate) host: String,
    /// When, in seconds since 1970.
    pub(crate) time: i64,
    /// One line.
    pub(crate) title: String,
    /// More lines, if there is more to say; no secrets.
    pub(crate) text: String,
    /// How the job's process ended.
    pub(crate) exit_code: Option<u8>,
    /// The snapshot that was made.
    pub(crate) snapshot: Option<String>,
    /// Which run it was; a UUID for services that measure how long runs take.
    pub(crate) run: Option<String>,
    /// For programs.
    pub(crate) details: Value,
    /// The level that is told because nobody acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) escalated_to: Option<u32>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A job failed.
    Failure,
    /// A job that had failed or was missed succeeded.
    Recovered,
    /// A job did not run when it was to.
    Missed,
    /// The summary of a month.
    Monthly,
    /// Somebody tries the channels.
    Test,
    /// A job starts; only pings are told.
    Started,
    /// A job succeeded; only pings are told, unless its alert is open.
    Succeeded,
}

impl Event {
    /// An event of a subject with the usual title and nothing else.
    pub(crate) fn new(kind: EventKind, subject: impl Into<String>, time: i64) -> Self {
        let subject = subject.into();
        Self {
            kind,
            title: usual_title(kind, &subject),
            subject,
            host: String::new(),
            time,
            text: String::new(),
            exit_code: None,
            snapshot: None,
            run: None,
            details: Value::Null,
            escalated_to: None,
        }
    }

    /// The same, no longer than channels and the spool take: the end of the text counts.
    pub(crate) fn bounded(mut self) -> Self {
        self.title = start_of(&self.title.replace(['\r', '\n'], " "), TITLE_LETTERS_MAX);
        self.text = end_of(&self.text, TEXT_LETTERS_MAX);
        self.subject = start_of(&self.subject, TITLE_LETTERS_MAX);
        if self.details.to_string().len() > DETAILS_BYTES_MAX {
            self.details = Value::from("left out: too long");
        }
        self
    }

    /// The time in RFC 3339.
    pub(crate) fn moment(&self) -> String {
        jiff::Timestamp::from_second(self.time).map(|time| time.to_string()).unwrap_or_default()
    }

    /// Title, text and what else people want to know, in lines.
    pub(crate) fn words(&self) -> String {
        let mut text = self.text.trim_end().to_owned();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        for (name, value) in self.facts() {
            // Writing into a string does not fail.
            let _ignored = writeln!(text, "{name}: {value}");
        }
        text.trim_end().to_owned()
    }

    /// Names and values for people.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("job", self.subject.clone()), ("host", self.host.clone())];
        facts.push(("time", self.moment()));
        facts.extend(self.exit_code.map(|code| ("exit code", code.to_string())));
        facts.extend(self.snapshot.clone().map(|snapshot| ("snapshot", snapshot)));
        facts.extend(self.run.clone().map(|run| ("run", run)));
        facts.retain(|(_name, value)| !value.is_empty());
        facts
    }
}

impl EventKind {
    /// As JSON says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovered => "recovered",
            Self::Missed => "missed",
            Self::Monthly => "monthly",
            Self::Test => "test",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
        }
    }

    /// Whether somebody is to act.
    pub(crate) const fn is_bad(self) -> bool {
        matches!(self, Self::Failure | Self::Missed)
    }
}

fn usual_title(kind: EventKind, subject: &str) -> String {
    match kind {
        EventKind::Failure => format!("backup of {subject} failed"),
        EventKind::Recovered => format!("backup of {subject} works again"),
        EventKind::Missed => format!("backup of {subject} did not run"),
        EventKind::Monthly => format!("backups of the month: {subject}"),
        EventKind::Test => "test of notifications: nothing happened".to_owned(),
        EventKind::Started => format!("backup of {subject} starts"),
        EventKind::Succeeded => format!("backup of {subject} succeeded"),
    }
}

/// The first letters of a text.
pub(crate) fn start_of(text: &str, letters_max: usize) -> String {
    if text.char_indices().nth(letters_max).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters_max.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The last letters of a text: where programs say what went wrong.
pub(crate) fn end_of(text: &str, letters_max: usize) -> String {
    let count = text.chars().count();
    if count <= letters_max {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count.saturating_sub(letters_max) + 1).collect();
    format!("…{kept}")
}

const TITLE_LETTERS_MAX: usize = 200;
const TEXT_LETTERS_MAX: usize = 8_000;
const DETAILS_BYTES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_bounded_and_keeps_the_end_of_its_text() {
        let mut event = Event::new(EventKind::Failure, "x".repeat(1_000), 0);
        event.text = format!("{}end", "ä".repeat(20_000));
        event.title = "a\nb".repeat(1_000);
        event.details = Value::from("y".repeat(100_000));
        let event = event.bounded();
        assert!(event.text.ends_with("end") && event.text.starts_with('…'));
        assert_eq!(event.text.chars().count(), TEXT_LETTERS_MAX);
        assert_eq!(event.title.chars().count(), TITLE_LETTERS_MAX);
        assert!(!event.title.contains('\n'));
        assert!(event.details.to_string().len() < 100);
    }
}
