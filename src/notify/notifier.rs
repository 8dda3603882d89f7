//! The notifier: which channels hear of an event, what waits, and who is told when nobody acknowledges.
//! Every message is in the spool before it is sent, so that a crash loses none; its file goes when it is out.

use crate::notify::alerts::Acknowledged;
use crate::notify::alerts::Alert;
use crate::notify::alerts::Alerts;
use crate::notify::deliver::Lookup;
use crate::notify::disk;
use crate::notify::event::Event;
use crate::notify::event::EventKind;
use crate::notify::spool::Message;
use crate::notify::spool::Spool;
use crate::notify::spool::Waiting;
use crate::settings::channel::ChannelKind;
use crate::settings::channel::ChannelSection;
use crate::settings::notify::NotifySection;
use crate::settings::notify::Occasion;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// What a notifier works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Where the host's memory is; without it nothing is remembered, and what is not sent is lost.
    pub(crate) state: Option<PathBuf>,
    /// The host's name.
    pub(crate) host: String,
    /// Finds secrets.
    pub(crate) lookup: Lookup,
}

/// Tells channels of events.
pub(crate) struct Notifier {
    pub(crate) section: NotifySection,
    pub(crate) surroundings: Surroundings,
    pub(crate) warnings: Vec<String>,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Delivery {
    /// The channel's name.
    pub(crate) channel: String,
    /// What was told.
    pub(crate) event: EventKind,
    /// Of whom.
    pub(crate) subject: String,
    /// Whether it arrived.
    pub(crate) outcome: Outcome,
    /// Why it did not.
    pub(crate) error: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The channel took it.
    Delivered,
    /// It waits for the next occasion.
    Spooled,
    /// It is lost: a ping of a start or a test, or there is no place where it could wait.
    Failed,
}

/// Whose alerts are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    All,
    Subject(String),
}

/// A message on its way: its file, if it has one.
pub(crate) type Letter = (Option<PathBuf>, Message);

impl Notifier {
    /// A notifier; nothing is read or made yet.
    pub(crate) const fn open(section: NotifySection, surroundings: Surroundings) -> Self {
        Self { section, surroundings, warnings: Vec::new() }
    }

    /// Whether there is any channel.
    pub(crate) const fn has_channels(&self) -> bool {
        !self.section.channels.is_empty()
    }

    /// Tells an event to everybody who is to hear of it, and whatever waited before.
    ///
    /// Blocks up to half a minute; fails never: see the deliveries and [`Self::take_warnings`].
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Delivery> {
        let now = event.time;
        let event = self.dressed(event);
        let lock = self.lock_state();
        let (mut alerts, is_remembered) = self.read_alerts(lock.is_some());
        let mut letters = Vec::new();
        for (event, levels) in self.audience(&mut alerts, &event) {
            letters.extend(self.post(&event, levels, now, is_remembered));
        }
        letters.extend(self.escalate(&mut alerts, now, is_remembered));
        self.write_alerts(&alerts, is_remembered);
        drop(lock);
        self.send(letters, now)
    }

    /// Sends what waits, and tells the next level of what nobody acknowledged. As [`Self::tell`].
    pub(crate) fn tick(&mut self, now: i64) -> Vec<Delivery> {
        let lock = self.lock_state();
        let (mut alerts, is_remembered) = self.read_alerts(lock.is_some());
        let before = alerts.clone();
        let letters = self.escalate(&mut alerts, now, is_remembered);
        if alerts != before {
            self.write_alerts(&alerts, is_remembered);
        }
        drop(lock);
        self.send(letters, now)
    }

    /// Tries channels: all of them, or the one of this name. Nothing waits afterwards.
    pub(crate) fn test(&mut self, now: i64, channel: Option<&str>) -> Vec<Delivery> {
        let event = Event::new(EventKind::Test, "test", now);
        let event = self.dressed(event);
        let channels = self.section.channels.iter();
        let chosen =
            channels.filter(|section| channel.is_none_or(|name| section.name.value == name));
        let letters =
            chosen.map(|section| (None, Message::new(&section.name.value, event.clone(), now)));
        self.dispatch(letters.collect(), TEST_ATTEMPTS_COUNT)
    }

    /// Acknowledges alerts; returns their subjects.
    ///
    /// Errors: there is no place where it could be remembered; nothing is open there.
    pub(crate) fn acknowledge(
        &mut self,
        whom: &Whom,
        note: Option<&str>,
        now: i64,
    ) -> Result<Vec<String>, String> {
        let lock = self.lock_state();
        let (mut alerts, is_remembered) = self.read_alerts(lock.is_some());
        if !is_remembered {
            return Err(self.warnings.pop().unwrap_or_default());
        }
        let mut subjects = Vec::new();
        for (subject, alert) in &mut alerts.alerts {
            if *whom == Whom::All || *whom == Whom::Subject(subject.clone()) {
                let note = note.map(str::to_owned);
                alert.acknowledged = Some(Acknowledged { time: now, note });
                subjects.push(subject.clone());
            }
        }
        if let (Whom::Subject(subject), true) = (whom, subjects.is_empty()) {
            return Err(format!("there is no open alert of `{subject}`"));
        }
        match self.alerts_path().map(|path| alerts.write(&path)) {
            Some(Err(error)) => Err(format!("cannot remember it: {error}")),
            Some(Ok(())) | None => Ok(subjects),
        }
    }

    /// What is open, by subject.
    pub(crate) fn open_alerts(&mut self) -> BTreeMap<String, Alert> {
        if self.folder().is_none_or(|folder| !folder.exists()) {
            return BTreeMap::new();
        }
        let lock = self.lock_state();
        self.read_alerts(lock.is_some()).0.alerts
    }

    /// How many messages wait, and since when.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.spool()?.waiting().ok().flatten()
    }

    /// What went wrong by the way; each is told once.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// What is told of an event, and to which levels; the alerts change accordingly.
    fn audience(&self, alerts: &mut Alerts, event: &Event) -> Vec<(Event, Levels)> {
        let mut told = Vec::new();
        let repeat_after = seconds(self.section.repeat_after);
        match event.kind {
            EventKind::Failure | EventKind::Missed => {
                let level = alerts.note_bad(event, repeat_after);
                let wants = self.section.on.contains(&occasion(event.kind));
                let level = level.filter(|_level| wants);
                told.push((event.clone(), Levels { pings: true, people: level.unwrap_or(0) }));
                if let Some(level) = level.filter(|_level| self.has_listener(event)) {
                    alerts.note_told(&event.subject, event.kind, level, event.time);
                }
            }
            EventKind::Succeeded | EventKind::Recovered => {
                if event.kind == EventKind::Succeeded {
                    told.push((event.clone(), Levels { pings: true, people: 0 }));
                }
                if let Some(alert) = alerts.alerts.remove(&event.subject)
                    && self.section.on.contains(&Occasion::Recovered)
                {
                    let recovered = recovery(event, &alert);
                    let people = alert.level.max(1);
                    told.push((recovered, Levels { pings: false, people }));
                }
            }
            EventKind::Monthly => {
                let wants = self.section.on.contains(&Occasion::Monthly);
                told.push((event.clone(), Levels { pings: false, people: u32::from(wants) }));
            }
            EventKind::Started => {
                told.push((event.clone(), Levels { pings: true, people: 0 }));
            }
            EventKind::Test => told.push((event.clone(), Levels { pings: true, people: u32::MAX })),
        }
        told
    }

    /// Puts into the spool what is due because nobody acknowledged.
    fn escalate(&mut self, alerts: &mut Alerts, now: i64, is_remembered: bool) -> Vec<Letter> {
        let after: Vec<i64> = self.section.escalation.iter().copied().map(seconds).collect();
        let mut letters = Vec::new();
        for (subject, level) in alerts.due(&after, now) {
            let Some(alert) = alerts.alerts.get(&subject) else { continue };
            let mut event = alert.last.clone();
            let minutes = now.saturating_sub(alert.since) / 60;
            event.title = format!("nobody acknowledged for {minutes} min: {}", event.title);
            event.escalated_to = Some(level);
            let kind = event.kind;
            let channels = self.section.channels.clone();
            for channel in channels.iter().filter(|channel| channel.level.value == level) {
                if hears_of(channel, &event) {
                    letters.extend(self.put(channel, &event, now, is_remembered));
                }
            }
            alerts.note_told(&subject, kind, level, now);
        }
        letters
    }

    /// Puts an event into the spool for every channel that hears of it.
    fn post(&mut self, event: &Event, to: Levels, now: i64, is_remembered: bool) -> Vec<Letter> {
        let channels = self.section.channels.clone();
        let hears = |channel: &&ChannelSection| {
            let is_asked = match channel.kind {
                ChannelKind::Ping(_) => to.pings,
                ChannelKind::Webhook(_) | ChannelKind::Smtp(_) | ChannelKind::Command(_) => {
                    channel.level.value <= to.people
                }
            };
            is_asked && hears_of(channel, event)
        };
        let mut letters = Vec::new();
        for channel in channels.iter().filter(hears) {
            letters.extend(self.put(channel, event, now, is_remembered));
        }
        letters
    }

    /// Puts a message into the spool; returns it if it cannot wait there.
    fn put(
        &mut self,
        channel: &ChannelSection,
        event: &Event,
        now: i64,
        is_remembered: bool,
    ) -> Option<Letter> {
        let message = Message::new(&channel.name.value, event.clone(), now);
        let Some(spool) = self.spool().filter(|_spool| is_remembered) else {
            return Some((None, message));
        };
        if matches!(channel.kind, ChannelKind::Ping(_)) {
            // A ping says how things are: older ones are of no use, and that of a start cannot wait.
            forget_pings(&spool, &message);
            if event.kind == EventKind::Started {
                return Some((None, message));
            }
        }
        match spool.add(&message) {
            Ok((_path, warnings)) => {
                self.warnings.extend(warnings);
                None
            }
            Err(error) => {
                self.warnings.push(format!("no notification can wait: {error}"));
                Some((None, message))
            }
        }
    }

    fn dressed(&self, mut event: Event) -> Event {
        if event.host.is_empty() {
            event.host.clone_from(&self.surroundings.host);
        }
        event.bounded()
    }

    fn has_listener(&self, event: &Event) -> bool {
        let people = self.section.channels.iter().filter(|channel| {
            channel.level.value == 1 && !matches!(channel.kind, ChannelKind::Ping(_))
        });
        people.into_iter().any(|channel| hears_of(channel, event))
    }

    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.surroundings.state.as_ref().map(|state| state.join("notify"))
    }

    pub(crate) fn spool(&self) -> Option<Spool> {
        self.folder().map(|folder| Spool::new(folder.join("spool")))
    }

    fn alerts_path(&self) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join("alerts.json"))
    }

    /// Keeps other processes from alerts and spool; `None` if they cannot be kept.
    fn lock_state(&mut self) -> Option<File> {
        let Some(folder) = self.folder() else {
            self.warnings.push("there is no state directory: no alert is remembered".to_owned());
            return None;
        };
        let locked = disk::create_folder(&folder)
            .and_then(|()| disk::lock(&folder.join("alerts.lock"), STATE_WAIT));
        match locked {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => {
                let folder = folder.display();
                self.warnings.push(format!("another process keeps the alerts in {folder} locked"));
                None
            }
            Err(error) => {
                let why = format!("cannot keep alerts in {}: {error}", folder.display());
                self.warnings.push(why);
                None
            }
        }
    }

    /// The alerts, and whether changes of them are remembered.
    fn read_alerts(&mut self, is_locked: bool) -> (Alerts, bool) {
        let Some(path) = self.alerts_path().filter(|_path| is_locked) else {
            return (Alerts::new(), false);
        };
        match Alerts::read(&path) {
            Ok(Ok(alerts)) => (alerts, true),
            Ok(Err(why)) => {
                self.warnings.push(why);
                (Alerts::new(), true)
            }
            Err(error) => {
                self.warnings.push(format!("cannot read {}: {error}", path.display()));
                (Alerts::new(), false)
            }
        }
    }

    fn write_alerts(&mut self, alerts: &Alerts, is_remembered: bool) {
        let Some(path) = self.alerts_path().filter(|_path| is_remembered) else { return };
        if let Err(error) = alerts.write(&path) {
            self.warnings.push(format!("cannot write {}: {error}", path.display()));
        }
    }
}

/// Who hears of an event.
#[derive(Debug, Clone, Copy)]
struct Levels {
    /// Whether services do that watch how runs go.
    pings: bool,
    /// Up to which level people do; 0 is nobody.
    people: u32,
}

fn forget_pings(spool: &Spool, newer: &Message) {
    let messages = spool.read().map(|(messages, _warnings)| messages).unwrap_or_default();
    for (path, message) in messages {
        let is_older = message.channel == newer.channel;
        if is_older && message.event.subject == newer.event.subject {
            // Fails if another process sent it.
            std::fs::remove_file(path).ok();
        }
    }
}

fn hears_of(channel: &ChannelSection, event: &Event) -> bool {
    channel.subjects.is_empty()
        || channel.subjects.contains(&event.subject)
        || event.kind == EventKind::Test
}

fn recovery(event: &Event, alert: &Alert) -> Event {
    let mut recovered = event.clone();
    if event.kind != EventKind::Recovered {
        let usual = Event::new(EventKind::Recovered, event.subject.clone(), event.time);
        (recovered.kind, recovered.title) = (usual.kind, usual.title);
    }
    let since = Event::new(EventKind::Failure, "", alert.since).moment();
    let times = if alert.count == 1 { "once".to_owned() } else { format!("{} times", alert.count) };
    let before = format!("It had failed {times} since {since}.");
    recovered.text = match recovered.text.as_str() {
        "" => before,
        text => format!("{text}\n\n{before}"),
    };
    recovered
}

const fn occasion(kind: EventKind) -> Occasion {
    match kind {
        EventKind::Missed => Occasion::Missed,
        EventKind::Monthly => Occasion::Monthly,
        EventKind::Recovered | EventKind::Succeeded => Occasion::Recovered,
        EventKind::Failure | EventKind::Test | EventKind::Started => Occasion::Failure,
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

const STATE_WAIT: Duration = Duration::from_secs(2);
const TEST_ATTEMPTS_COUNT: u32 = 1;
