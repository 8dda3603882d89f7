//! What is on its way: each channel gets its messages in their order, all channels at once, in bounded time.

use crate::notify::deliver::Channel;
use crate::notify::deliver::Deadline;
use crate::notify::disk;
use crate::notify::event::Event;
use crate::notify::notifier::Delivery;
use crate::notify::notifier::Letter;
use crate::notify::notifier::Notifier;
use crate::notify::notifier::Outcome;
use crate::notify::notifier::Surroundings;
use crate::notify::spool::Message;
use crate::notify::spool::Spool;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

impl Notifier {
    /// Sends what waits, then these letters; one process at a time.
    pub(crate) fn send(&mut self, letters: Vec<Letter>, now: i64) -> Vec<Delivery> {
        let mut all = Vec::new();
        let sending = match self.folder() {
            Some(folder) if folder.exists() => {
                disk::lock(&folder.join("sending.lock"), SENDER_WAIT).ok().flatten()
            }
            Some(_) | None => None,
        };
        let mut held = Vec::new();
        if let Some(spool) = self.spool() {
            let dropped = spool.drop_old(now).unwrap_or_default();
            let read = spool.read();
            self.warnings.extend(dropped);
            match read {
                Ok((messages, warnings)) => {
                    self.warnings.extend(warnings);
                    let messages =
                        messages.into_iter().map(|(path, message)| (Some(path), message));
                    if sending.is_some() { &mut all } else { &mut held }.extend(messages);
                }
                Err(error) => {
                    self.warnings.push(format!("cannot read what waits to be told: {error}"));
                }
            }
        }
        all.extend(letters);
        let mut deliveries: Vec<Delivery> = held
            .iter()
            .map(|(_path, message)| spooled(message, "another process is sending"))
            .collect();
        deliveries.extend(self.dispatch(all, ATTEMPTS_COUNT));
        deliveries
    }

    /// Sends letters, each channel by itself, and waits for all of them, but not for ever.
    pub(crate) fn dispatch(&mut self, letters: Vec<Letter>, attempts: u32) -> Vec<Delivery> {
        let deadline = Deadline::after(ALL_TIME_MAX);
        let mut queues: BTreeMap<String, Vec<Letter>> = BTreeMap::new();
        for letter in letters {
            queues.entry(letter.1.channel.clone()).or_default().push(letter);
        }
        let mut running = Vec::new();
        for (name, letters) in queues {
            let (sender, results) = mpsc::channel();
            if let Some(section) = self.section.channels.iter().find(|it| it.name.value == name) {
                let Surroundings { state: _, host, lookup } = self.surroundings.clone();
                let channel = Channel { section: section.clone(), lookup, host };
                let events: Vec<Event> =
                    letters.iter().map(|(_path, message)| message.event.clone()).collect();
                let body = move || channel.deliver(&events, attempts, deadline, &sender);
                // Without a thread nothing arrives, which is told below.
                thread::Builder::new().name("notify".to_owned()).spawn(body).ok();
            }
            running.push((letters, results));
        }
        // A little later than they: what they say is better than that they said nothing.
        let end = Deadline::after(deadline.left() + LAST_WORDS_TIME);
        let mut deliveries = Vec::new();
        for (letters, results) in running {
            let mut told: BTreeMap<usize, Result<(), String>> = BTreeMap::new();
            while told.len() < letters.len() {
                let Ok((number, result)) = results.recv_timeout(end.left()) else { break };
                told.insert(number, result);
            }
            for (number, letter) in letters.into_iter().enumerate() {
                let silence = || self.silence(&letter.1.channel);
                let result = told.remove(&number).unwrap_or_else(|| Err(silence()));
                deliveries.push(self.settle(letter, result));
            }
        }
        deliveries
    }

    fn silence(&self, channel: &str) -> String {
        if self.section.channels.iter().any(|section| section.name.value == channel) {
            "it took too long".to_owned()
        } else {
            "the configuration file has no such channel any more".to_owned()
        }
    }

    /// Takes a message from the spool, or notes why it stays.
    fn settle(&mut self, (path, mut message): Letter, result: Result<(), String>) -> Delivery {
        let (outcome, error) = match (result, path) {
            (Ok(()), path) => {
                if let Some(path) = path
                    && let Err(error) = std::fs::remove_file(&path)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    let why = format!("a message that was sent will be sent again: {error}");
                    self.warnings.push(why);
                }
                (Outcome::Delivered, None)
            }
            (Err(why), Some(path)) => {
                message.attempts = message.attempts.saturating_add(1);
                message.error = Some(why.clone());
                // It waits with or without the note; one that was dropped meanwhile does not come back.
                if path.exists() {
                    Spool::update(&path, &message).ok();
                }
                (Outcome::Spooled, Some(why))
            }
            (Err(why), None) => (Outcome::Failed, Some(why)),
        };
        let Message { channel, event, .. } = message;
        Delivery { channel, event: event.kind, subject: event.subject, outcome, error }
    }
}

fn spooled(message: &Message, why: &str) -> Delivery {
    Delivery {
        channel: message.channel.clone(),
        event: message.event.kind,
        subject: message.event.subject.clone(),
        outcome: Outcome::Spooled,
        error: Some(why.to_owned()),
    }
}

/// How long all channels together may hold up whoever tells something.
const ALL_TIME_MAX: Duration = Duration::from_secs(25);
const LAST_WORDS_TIME: Duration = Duration::from_secs(2);
/// How long another process that sends is waited for.
const SENDER_WAIT: Duration = Duration::from_secs(3);
const ATTEMPTS_COUNT: u32 = 3;
