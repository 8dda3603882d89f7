//! What could not be sent yet: one file a message, in the order in which they came.

use crate::notify::disk;
use crate::notify::event::Event;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// A folder of messages; whoever changes it holds the lock of the state.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// A message for one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    version: u32,
    /// The channel's name.
    pub(crate) channel: String,
    /// When it was put here, in seconds since 1970.
    pub(crate) since: i64,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it was not sent.
    pub(crate) error: Option<String>,
    /// What is told.
    pub(crate) event: Event,
}

/// Messages with their files, and what was wrong with others.
type Read = (Vec<(PathBuf, Message)>, Vec<String>);

/// How much waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// How many messages.
    pub(crate) count: u64,
    /// Since when the oldest waits, in seconds since 1970.
    pub(crate) since: i64,
    /// Of which channels, and why the oldest of each was not sent.
    pub(crate) channels: BTreeMap<String, Option<String>>,
}

impl Message {
    /// A message that was not tried yet.
    pub(crate) fn new(channel: &str, event: Event, now: i64) -> Self {
        let channel = channel.to_owned();
        Self { version: VERSION, channel, since: now, attempts: 0, error: None, event }
    }
}

impl Spool {
    /// The spool in this folder; nothing is made yet.
    pub(crate) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Every message with its file, the oldest first; what is wrong with others, which were renamed.
    pub(crate) fn read(&self) -> io::Result<Read> {
        let (mut messages, mut warnings) = (Vec::new(), Vec::new());
        for (_number, path) in self.paths()? {
            let read = disk::read(&path, MESSAGE_BYTES_MAX).map_err(|error| error.to_string());
            let decoded = read.and_then(|bytes| {
                let bytes = bytes.unwrap_or_default();
                serde_json::from_slice::<Message>(&bytes).map_err(|error| error.to_string())
            });
            match decoded {
                Ok(message) if message.version == VERSION => messages.push((path, message)),
                Ok(message) => warnings.push(self.put_aside(&path, &message.version.to_string())),
                Err(_) if !path.exists() => {}
                Err(why) => warnings.push(self.put_aside(&path, &why)),
            }
        }
        Ok((messages, warnings))
    }

    /// Adds a message durably; the oldest of its channel makes room. Returns its file, and what was lost.
    pub(crate) fn add(&self, message: &Message) -> io::Result<(PathBuf, Vec<String>)> {
        disk::create_folder(&self.folder)?;
        let (messages, mut warnings) = self.read()?;
        let theirs: Vec<_> =
            messages.iter().filter(|(_path, old)| old.channel == message.channel).collect();
        let excess = (theirs.len() + 1).saturating_sub(CHANNEL_MESSAGES_COUNT_MAX);
        for (path, old) in theirs.into_iter().take(excess) {
            std::fs::remove_file(path)?;
            warnings.push(format!(
                "{CHANNEL_MESSAGES_COUNT_MAX} messages wait for channel `{}`: that of {} about {} is dropped",
                old.channel,
                old.event.moment(),
                old.event.subject
            ));
        }
        let last = self.paths()?.last().map_or(0, |(number, _path)| *number);
        let path = self.folder.join(format!("{:012}.json", last + 1));
        disk::replace(&path, &serde_json::to_vec(message)?)?;
        Ok((path, warnings))
    }

    /// Notes that a message was tried.
    pub(crate) fn update(path: &Path, message: &Message) -> io::Result<()> {
        disk::replace(path, &serde_json::to_vec(message)?)
    }

    /// Drops messages that nobody wants any more; says which.
    pub(crate) fn drop_old(&self, now: i64) -> io::Result<Vec<String>> {
        let (messages, mut warnings) = self.read()?;
        for (path, message) in messages {
            if now.saturating_sub(message.since) > AGE_SECONDS_MAX {
                std::fs::remove_file(path)?;
                warnings.push(format!(
                    "the message for channel `{}` of {} about {} waited for {AGE_DAYS_MAX} days and is dropped",
                    message.channel,
                    message.event.moment(),
                    message.event.subject
                ));
            }
        }
        Ok(warnings)
    }

    /// How much waits; nothing is changed.
    pub(crate) fn waiting(&self) -> io::Result<Option<Waiting>> {
        let mut waiting: Option<Waiting> = None;
        for (_number, path) in self.paths()? {
            let Ok(Some(bytes)) = disk::read(&path, MESSAGE_BYTES_MAX) else { continue };
            let Ok(message) = serde_json::from_slice::<Message>(&bytes) else { continue };
            let sum = waiting.get_or_insert(Waiting {
                count: 0,
                since: message.since,
                channels: BTreeMap::new(),
            });
            sum.count += 1;
            sum.since = sum.since.min(message.since);
            let error = sum.channels.entry(message.channel).or_default();
            if error.is_none() {
                *error = message.error;
            }
        }
        Ok(waiting)
    }

    fn paths(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_ours = path.extension().is_some_and(|extension| extension == "json");
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let Some(number) = number.filter(|number| is_ours && *number < u64::MAX) {
                paths.push((number, path));
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn put_aside(&self, path: &Path, why: &str) -> String {
        let aside = self.folder.join("message.damaged");
        let moved = std::fs::rename(path, &aside);
        let (path, aside) = (path.display(), aside.display());
        match moved {
            Ok(()) => {
                format!("the waiting message {path} was not readable ({why}) and is now {aside}")
            }
            Err(error) => format!("the waiting message {path} is not readable ({why}; {error})"),
        }
    }
}

const VERSION: u32 = 1;
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
const CHANNEL_MESSAGES_COUNT_MAX: usize = 50;
const AGE_DAYS_MAX: i64 = 7;
const AGE_SECONDS_MAX: i64 = AGE_DAYS_MAX * 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::event::EventKind;

    fn message(channel: &str, since: i64) -> Message {
        Message::new(channel, Event::new(EventKind::Failure, "db", since), since)
    }

    #[test]
    fn messages_come_back_in_order_and_the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        assert_eq!(spool.waiting().unwrap(), None);
        spool.add(&message("other", 5)).unwrap();
        let count = i64::try_from(CHANNEL_MESSAGES_COUNT_MAX).unwrap();
        let warnings: Vec<String> =
            (0..count + 2).flat_map(|n| spool.add(&message("chat", n)).unwrap().1).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let times: Vec<i64> = spool.read().unwrap().0.iter().map(|(_, m)| m.since).collect();
        let expected: Vec<i64> = [5].into_iter().chain(2..count + 2).collect();
        assert_eq!(times, expected);
        let waiting = spool.waiting().unwrap().unwrap();
        assert_eq!((waiting.since, waiting.channels.len()), (2, 2));
    }

    #[test]
    fn old_messages_are_dropped_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().to_owned());
        spool.add(&message("chat", 0)).unwrap();
        assert_eq!(spool.drop_old(AGE_SECONDS_MAX).unwrap(), Vec::<String>::new());
        let told = spool.drop_old(AGE_SECONDS_MAX + 1).unwrap();
        assert!(told[0].contains("7 days"), "{told:?}");
        assert_eq!(spool.waiting().unwrap(), None);
    }

    #[test]
    fn damaged_messages_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().to_owned());
        let (path, _) = spool.add(&message("chat", 0)).unwrap();
        disk::replace(&path, b"{\"version\"").unwrap();
        spool.add(&message("chat", 1)).unwrap();
        let (messages, _warnings) = spool.read().unwrap();
        assert_eq!(messages.len(), 1);
        assert!(folder.path().join("message.damaged").exists());
    }
}
