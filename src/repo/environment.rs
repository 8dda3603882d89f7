//! The clock and the randomness of a run, so that tests can repeat it; and which process it is.

use std::fmt;

/// A process, for people who wonder whose a session is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessName {
    /// Name of its host; empty if it is not told.
    pub host: String,
    /// Its number on that host; 0 if it is not told.
    pub number: u32,
}

impl ProcessName {
    /// The process with this number on this host.
    pub const fn new(host: String, number: u32) -> Self {
        Self { host, number }
    }
}

/// Where time and randomness come from.
pub trait Environment: Send + Sync + fmt::Debug {
    /// Seconds and nanoseconds since 1970 by the wall clock. Never a reason to delete.
    fn now(&self) -> (i64, u32);

    /// Fills a buffer with bytes nobody can guess.
    fn fill_random(&self, buffer: &mut [u8]);

    /// Which process this is, as announcements of sessions tell it.
    fn process(&self) -> ProcessName {
        ProcessName::default()
    }
}

/// The operating system's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemEnvironment;

impl SystemEnvironment {
    /// The operating system's.
    pub const fn new() -> Self {
        Self
    }
}

impl Environment for SystemEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the clock of the other modules")]
    fn now(&self) -> (i64, u32) {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
            Err(before) => (-i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX), 0),
        }
    }

    #[expect(clippy::expect_used, reason = "without randomness nothing here is safe")]
    fn fill_random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }

    fn process(&self) -> ProcessName {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        ProcessName::new(host, std::process::id())
    }
}

/// The time of the wall clock in RFC 3339, UTC.
pub(crate) fn now_words(environment: &dyn Environment) -> String {
    let (seconds, nanoseconds) = environment.now();
    time_words(seconds, nanoseconds)
}

/// A time in RFC 3339, UTC.
pub(crate) fn time_words(seconds: i64, nanoseconds: u32) -> String {
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or(0);
    jiff::Timestamp::new(seconds, nanoseconds)
        .map_or_else(|_source| seconds.to_string(), |time| time.to_string())
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>(environment: &dyn Environment) -> [u8; N] {
    let mut bytes = [0; N];
    environment.fill_random(&mut bytes);
    bytes
}
