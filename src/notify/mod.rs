//! Notifications: tells people and programs what happened, and remembers what is open.
//! Invariant: no failure in here fails what it tells of; what cannot be sent waits in the state directory.
//!
//! ```text
//! let mut notifier = Notifier::open(&section, surroundings);
//! notifier.tell(Event::new(EventKind::Started, "app-db", now))     -> Vec<Delivery>
//! notifier.tick(now)             sends what waits, escalates       -> Vec<Delivery>
//! notifier.test(now, channel)    a test event, now, to each        -> Vec<Delivery>
//! notifier.acknowledge(whom, note, now)                            -> Vec<String>
//! notifier.open_alerts()                                           -> BTreeMap<String, Alert>
//! notifier.waiting()                                               -> Option<Waiting>
//! notifier.take_warnings()       what went wrong by the way        -> Vec<String>
//! ```
//!
//! A `Failure` or `Missed` opens the alert of its subject, `Succeeded` or `Recovered` closes it: whoever runs
//! jobs tells `Started`, then `Succeeded` or `Failure`, and people hear of the recovery by themselves.

mod alerts;
mod deliver;
mod disk;
mod event;
#[cfg(feature = "cloud")]
mod http;
#[cfg(feature = "cloud")]
mod mail;
mod notifier;
#[cfg(not(feature = "cloud"))]
mod offline;
mod outbox;
mod program;
mod redact;
#[cfg(feature = "cloud")]
mod smtp;
mod spool;
mod templates;

pub(crate) use crate::notify::alerts::Alert;
pub(crate) use crate::notify::event::Event;
pub(crate) use crate::notify::event::EventKind;
pub(crate) use crate::notify::notifier::Delivery;
pub(crate) use crate::notify::notifier::Notifier;
pub(crate) use crate::notify::notifier::Outcome;
pub(crate) use crate::notify::notifier::Surroundings;
pub(crate) use crate::notify::notifier::Whom;
pub(crate) use crate::notify::program::output_of;
pub(crate) use crate::notify::spool::Waiting;
