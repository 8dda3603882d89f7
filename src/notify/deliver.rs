//! One channel's messages, in their order: attempts, time-outs, and when it is given up for now.

use crate::notify::event::Event;
#[cfg(feature = "cloud")]
use crate::notify::http::ping;
#[cfg(feature = "cloud")]
use crate::notify::http::webhook;
#[cfg(not(feature = "cloud"))]
use crate::notify::offline as smtp;
#[cfg(not(feature = "cloud"))]
use crate::notify::offline::ping;
#[cfg(not(feature = "cloud"))]
use crate::notify::offline::webhook;
use crate::notify::program;
use crate::notify::redact::Secrets;
#[cfg(feature = "cloud")]
use crate::notify::smtp;
use crate::settings::At;
use crate::settings::channel::Address;
use crate::settings::channel::ChannelKind;
use crate::settings::channel::ChannelSection;
use crate::settings::channel::check_url;
use crate::settings::secret::Secret;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Finds what stands behind a secret's name, until a deadline; its error says why it cannot.
pub(crate) type Lookup = Arc<dyn Fn(&Secret, Deadline) -> Result<String, String> + Send + Sync>;

/// A moment after which nothing is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answers, or not now: it may help to try again.
    Unreachable(String),
    /// The answer is no.
    Refused(String),
}

/// A channel to which messages go.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) section: ChannelSection,
    pub(crate) lookup: Lookup,
    /// This host's name.
    pub(crate) host: String,
}

impl Deadline {
    /// So long from now.
    #[expect(clippy::disallowed_methods, reason = "elapsed time of a wait, no time of day")]
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// How long it is until then.
    #[expect(clippy::disallowed_methods, reason = "elapsed time of a wait, no time of day")]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is past.
    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The earlier one of this and so long from now.
    pub(crate) fn or_after(self, time: Duration) -> Self {
        Self(self.0.min(Self::after(time).0))
    }
}

impl Channel {
    /// Sends events in their order and tells how each went; stops where the channel seems to be down.
    pub(crate) fn deliver(
        &self,
        events: &[Event],
        attempts: u32,
        deadline: Deadline,
        told: &Sender<(usize, Result<(), String>)>,
    ) {
        let (mut refusals, mut down) = (0, None);
        for (number, event) in events.iter().enumerate() {
            let result = match &down {
                Some(why) => Err(format!("not tried, as the channel is down: {why}")),
                None => match self.send(event, attempts, deadline) {
                    Ok(()) => {
                        refusals = 0;
                        Ok(())
                    }
                    Err(Trouble::Refused(why)) => {
                        refusals += 1;
                        down = (refusals == REFUSALS_COUNT_MAX).then(|| why.clone());
                        Err(why)
                    }
                    Err(Trouble::Unreachable(why)) => {
                        down = Some(why.clone());
                        Err(why)
                    }
                },
            };
            if told.send((number, result)).is_err() {
                return;
            }
        }
    }

    /// Sends one event, with a few attempts.
    fn send(&self, event: &Event, attempts: u32, deadline: Deadline) -> Result<(), Trouble> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            match self.attempt(event, deadline.or_after(self.section.timeout)) {
                Err(Trouble::Unreachable(_)) if attempt < attempts && deadline.left() > pause => {
                    thread::sleep(pause);
                    pause *= 3;
                    attempt += 1;
                }
                ended => return ended,
            }
        }
    }

    fn attempt(&self, event: &Event, deadline: Deadline) -> Result<(), Trouble> {
        match &self.section.kind {
            ChannelKind::Command(argv) => program::tell(argv, event, deadline)
                .map_err(|why| Trouble::Unreachable(Secrets::default().hide(&why))),
            ChannelKind::Webhook(section) => {
                let url = self.address(&section.url, deadline)?;
                let authorization = self.secret(section.authorization.as_ref(), deadline)?;
                webhook(section, &url, authorization.as_deref(), event, deadline)
            }
            ChannelKind::Ping(url) => {
                let url = self.address(url, deadline)?;
                ping(&url, event, deadline)
            }
            ChannelKind::Smtp(section) => {
                let secret = section.login.as_ref().map(|(_user, secret)| secret);
                let password = self.secret(secret, deadline)?;
                smtp::send(section, &self.host, password.as_deref(), event, deadline)
            }
        }
    }

    /// A URL, looked up.
    fn address(&self, address: &Address, deadline: Deadline) -> Result<String, Trouble> {
        match address {
            Address::Plain(url) => Ok(url.clone()),
            Address::Named(At { value, .. }) => {
                let url = (self.lookup)(value, deadline).map_err(Trouble::Unreachable)?;
                let url = url.trim().to_owned();
                check_url(&url).map_err(Trouble::Unreachable)?;
                Ok(url)
            }
        }
    }

    fn secret(
        &self,
        secret: Option<&At<Secret>>,
        deadline: Deadline,
    ) -> Result<Option<String>, Trouble> {
        let looked_up = secret.map(|at| (self.lookup)(&at.value, deadline));
        looked_up.transpose().map_err(Trouble::Unreachable)
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// So many refusals one after the other mean the channel and not the message.
const REFUSALS_COUNT_MAX: u32 = 3;
