//! What people are told of runs, and of what is missed.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::jobs::memory;
use crate::cli::jobs::memory::LastRun;
use crate::cli::jobs::memory::Running;
use crate::cli::jobs::memory::TASKS;
use crate::cli::notify;
use crate::cli::words;
use crate::notify::Delivery;
use crate::notify::Event;
use crate::notify::EventKind;
use crate::notify::Notifier;
use crate::ops::status::Missed;
use crate::ops::status::Status;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Tells of one run; nothing if nobody is to be told.
pub(crate) struct Told {
    notifier: Option<Notifier>,
    subject: String,
    /// Whose memory is used.
    place: Option<String>,
    /// A UUID, so that services can measure how long the run took.
    run: Option<String>,
    /// What became of what was told.
    pub(crate) deliveries: Vec<Delivery>,
}

impl Told {
    /// Tells that the run of a job, or of a task, begins.
    pub(crate) fn begin(context: &Context, subject: String) -> Result<Self, Failure> {
        let notifier = Some(notify::notifier(context)?).filter(Notifier::has_channels);
        let place = context.place_word();
        let mut told = Self { notifier, subject, place, run: run_id(), deliveries: Vec::new() };
        let started = told.event(EventKind::Started);
        told.tell(started);
        Ok(told)
    }

    /// Tells how it ended.
    pub(crate) fn end(&mut self, exit: Exit, snapshot: Option<&str>, trouble: Option<&str>) {
        let kind = if exit == Exit::Success { EventKind::Succeeded } else { EventKind::Failure };
        let mut event = self.event(kind);
        trouble.unwrap_or_default().clone_into(&mut event.text);
        event.exit_code = Some(exit.code());
        event.snapshot = snapshot.map(str::to_owned);
        self.tell(event);
    }

    /// Tells what is missed, and what is missed no more; once a month, how things stand.
    pub(crate) fn stand(&mut self, status: &Status) {
        let Some(notifier) = &mut self.notifier else { return };
        let mut by_subject: BTreeMap<&str, Vec<&Missed>> = BTreeMap::new();
        for missed in &status.missed {
            by_subject.entry(missed.subject.as_deref().unwrap_or(WHOLE)).or_default().push(missed);
        }
        let alerts = notifier.open_alerts();
        let is_missed = |kind| kind == EventKind::Missed;
        let over = alerts.iter().filter(|(subject, alert)| {
            is_missed(alert.last.kind) && !by_subject.contains_key(subject.as_str())
        });
        let mut events: Vec<Event> = over
            .map(|(subject, _)| Event::new(EventKind::Recovered, subject.clone(), Context::now()))
            .collect();
        for (subject, missed) in by_subject {
            let mut event = Event::new(EventKind::Missed, subject, Context::now());
            let words: Vec<&str> = missed.iter().map(|missed| missed.words.as_str()).collect();
            event.text = words.join("\n");
            event.details = json!(missed);
            events.push(event);
        }
        events.extend(monthly(self.place.as_deref(), status));
        for event in events {
            self.tell(event);
        }
    }

    /// Warns of what did not arrive.
    pub(crate) fn warn(&mut self, context: &Context) {
        if let Some(notifier) = &mut self.notifier {
            notify::warn(&context.output, notifier, &self.deliveries);
        }
    }

    fn event(&self, kind: EventKind) -> Event {
        let mut event = Event::new(kind, self.subject.clone(), Context::now());
        event.run.clone_from(&self.run);
        event
    }

    fn tell(&mut self, event: Event) {
        if let Some(notifier) = &mut self.notifier {
            self.deliveries.extend(notifier.tell(event));
        }
    }
}

/// The summary of a month that is over, unless it was told; of none on a host that is new.
fn monthly(place: Option<&str>, status: &Status) -> Option<Event> {
    let now = Context::now();
    let month = |seconds: i64| {
        let date =
            jiff::Timestamp::from_second(seconds).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
        Some((date.year(), date.month()))
    };
    let last = memory::last(place, TASKS, MONTHLY);
    if last.as_ref().is_some_and(|last| month(last.started) == month(now)) {
        return None;
    }
    // Whoever tells it at this moment remembers it.
    let running = Running::begin(place, TASKS, MONTHLY).ok()?;
    running.end(&LastRun { started: now, ended: now, ..LastRun::default() }).ok()?;
    last?;
    let mut event = Event::new(EventKind::Monthly, WHOLE, now);
    let mut text = String::new();
    for (name, source) in &status.sources {
        let age = source.age_seconds.map(|age| words::duration(Duration::from_secs(age)));
        let age = age.unwrap_or_else(|| "none".to_owned());
        let snapshots = words::count(source.snapshots, "snapshot");
        // Writing into a string does not fail.
        let _ignored = writeln!(text, "{name}: {snapshots}, the newest complete one is {age} old");
    }
    if let Some(coverage) = &status.coverage {
        let share = words::percent(coverage.covered_bytes, coverage.bytes);
        let _ignored = writeln!(text, "{share} of the stored bytes were read in full");
    }
    let _ignored = writeln!(
        text,
        "{} missed",
        words::count(crate::units::to_u64(status.missed.len()), "objective")
    );
    event.text = text;
    event.details = json!(status);
    Some(event)
}

/// A random UUID.
fn run_id() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    // Version 4, variant 1: RFC 9562.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&at) { "-" } else { "" };
        let _ignored = write!(text, "{dash}{byte:02x}");
    }
    Some(text)
}

/// The subject of what concerns no job.
const WHOLE: &str = "repository";
const MONTHLY: &str = "monthly";
