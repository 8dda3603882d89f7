//! Stores: immutable objects by key, whatever they mean. Every object is created once.
//! Durability rules: ARCHITECTURE.md, "Durability".

#![cfg_attr(
    not(any(test, feature = "testing")),
    expect(unreachable_pub, reason = "public where `testing` shows it")
)]

#[cfg(feature = "cloud")]
pub(crate) mod cloud;
pub(crate) mod fallback;
pub(crate) mod held;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod memory;
pub(crate) mod on_demand;
pub(crate) mod ordered;
pub(crate) mod pace;
pub(crate) mod paced;
pub(crate) mod posix;
pub(crate) mod probe;
mod shared;
pub(crate) mod vfs;

use crate::key::ObjectKey;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// Objects by key. All calls block; all may be used from many threads at once.
///
/// A call that returned `Ok` for a create or a delete has made it durable.
pub trait Store: Send + Sync + fmt::Debug {
    /// Creates the object if no object has its key; otherwise fails with
    /// [`StoreErrorKind::AlreadyExists`] and changes nothing.
    ///
    /// Atomic: no reader ever sees a part of `body`. Any other error leaves the outcome unknown:
    /// the object may exist with exactly this body, now or later.
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError>;

    /// [`Store::create`] in a class of storage, where a store has classes.
    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        _class: StorageClass,
    ) -> Result<(), StoreError> {
        self.create(key, body)
    }

    /// Reads a whole object of at most `length_max` bytes.
    ///
    /// Errors: [`StoreErrorKind::NotFound`]; [`StoreErrorKind::Corrupt`] if it is longer.
    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads exactly the bytes `range` of an object into `buffer`, which is cleared first.
    ///
    /// Errors: [`StoreErrorKind::NotFound`]; [`StoreErrorKind::Corrupt`] if the object is shorter.
    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError>;

    /// The length of an object in bytes.
    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError>;

    /// Every object under `prefix` (without a slash at its end; empty for all), sorted by key.
    ///
    /// Contains at least every object whose creation was acknowledged before the call.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes an object; succeeds if there is none.
    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Makes everything durable that this process saw in the store, also what others wrote,
    /// before it acts destructively on it. A no-op where a visible object is durable; elsewhere
    /// [`StoreErrorKind::NotFound`] if there is none.
    fn settle(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Removes what processes that ended left half-written; returns how much there was.
    ///
    /// Stores where nothing can be left half-written have nothing to do.
    fn sweep(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// What was asked of the store so far, if it is asked over a network.
    fn traffic(&self) -> Option<Traffic> {
        None
    }

    /// What the store says about itself; what it does not say is `None`.
    fn features(&self) -> Result<StoreFeatures, StoreError> {
        Ok(StoreFeatures::default())
    }

    /// As whom it is used, if it asks; a store may have to be asked for that.
    ///
    /// Errors: there are no credentials.
    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        Ok(None)
    }

    /// What it does with old versions of objects and with locks, if it has any of that.
    fn versioned(&self) -> Option<&dyn Versioned> {
        None
    }

    /// Creates objects from now on without the condition that none has their key, where a store
    /// refuses conditions ([`StoreErrorKind::Unsupported`]): what was there before may be replaced.
    fn give_up_conditions(&self) {}

    /// Stores that have the same objects under the same keys, for what turns out to be damaged.
    fn copies(&self) -> &[Arc<dyn Store>] {
        &[]
    }

    /// Says that the copy of this number gave what this store did not.
    fn note_help(&self, _copy: usize) {}

    /// Where the store is, for messages: a path or a URL without credentials.
    fn location(&self) -> String;
}

/// A store that may keep what is deleted or replaced, and may lock objects against both.
pub trait Versioned: Send + Sync {
    /// What it keeps of objects that are no longer there.
    fn old_versions(&self) -> Result<OldVersions, StoreError>;

    /// For how many days objects are locked when they are created, if they are.
    fn lock_days(&self) -> Option<u32>;

    /// Until when an object is locked, if it is.
    fn locked_until(&self, key: &ObjectKey) -> Result<Option<SystemTime>, StoreError>;

    /// Locks an object until a time that is not before its present one.
    fn lock_until(&self, key: &ObjectKey, until: SystemTime) -> Result<(), StoreError>;
}

/// What a store keeps of objects that are no longer there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OldVersions {
    /// How many versions.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the newest of them was replaced or deleted.
    pub newest: Option<SystemTime>,
    /// After how many days the store itself frees them, if it does.
    pub end_after_days: Option<u32>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub length: u64,
    /// When the store received it, by the store's clock; a hint, never a reason to delete.
    pub received: Option<SystemTime>,
}

/// Requests to a store over a network, and the bytes of their bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All requests, repeated ones and those for credentials included.
    pub requests: u64,
    /// Requests to create an object.
    pub creates: u64,
    /// Requests for an object, a part of one, or its length.
    pub reads: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Requests to delete.
    pub deletes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// What a store says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFeatures {
    /// Whether it keeps what is deleted or replaced as older versions.
    pub versioning: Option<bool>,
    /// Whether objects can be locked against deletion.
    pub object_lock: Option<bool>,
}

/// What an object is stored as, where that has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// Read by restores and checks only.
    Data,
    /// Read often.
    Metadata,
}

/// As whom a store is used, and how that was decided. Never a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreIdentity {
    /// Where the credentials come from: a variable, a profile, a file, a service.
    pub source: String,
    /// Both ends of the access key, where there is one.
    pub access_key: Option<String>,
    /// Who that is, in the words of the store's provider, where it is known.
    pub identity: Option<String>,
    /// When the credentials end that are used, if they do; they are renewed before.
    pub expires: Option<String>,
}

/// What a store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Store::create`].
    Create,
    /// [`Store::read`], [`Store::read_range`] or [`Store::length`].
    Read,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
    /// [`Store::settle`].
    Settle,
    /// An object was to be kept until a later day.
    Lock,
    /// Opening the store itself.
    Open,
}

/// Why a store call failed. Closed: callers match all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// An object has this key already.
    AlreadyExists,
    /// The credentials are valid and lack the right.
    Denied,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The store asks for fewer requests.
    Throttled,
    /// The store cannot be reached or failed; a later try may succeed.
    Unavailable,
    /// No space or quota is left.
    Full,
    /// The object's length is not what it must be, or no object can be what stands in its place.
    Corrupt,
    /// Bytes of the object cannot be read. If others can, it is damaged; else the store failed.
    Unreadable,
    /// The store does not know what is asked.
    Unsupported,
    /// Anything else.
    Other,
}

/// A failed store call.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {}", operation_words(*.operation), object_words(.key, .location))]
pub struct StoreError {
    /// What was asked.
    pub operation: Operation,
    /// The object's key, or the prefix of a listing.
    pub key: String,
    /// The store's location.
    pub location: String,
    /// What a caller may branch on.
    pub kind: StoreErrorKind,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error of a call on `key`, or on a prefix, in the store at `location`.
    pub fn new(
        operation: Operation,
        key: &str,
        location: &str,
        kind: StoreErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let (key, location) = (key.to_owned(), location.to_owned());
        Self { operation, key, location, kind, source: source.into() }
    }
}

/// Checks the prefix of a listing: empty, or the first segments of a key.
pub(crate) fn check_prefix(prefix: &str, location: &str) -> Result<(), StoreError> {
    if prefix.is_empty() {
        return Ok(());
    }
    match ObjectKey::new(prefix) {
        Ok(_) => Ok(()),
        Err(error) => {
            let kind = StoreErrorKind::Other;
            Err(StoreError::new(Operation::List, prefix, location, kind, error))
        }
    }
}

/// The whole store, if no object is meant.
fn object_words(key: &str, location: &str) -> String {
    if key.is_empty() { format!("`{location}`") } else { format!("`{key}` in {location}") }
}

fn operation_words(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Read => "read",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Settle => "make durable",
        Operation::Lock => "lock",
        Operation::Open => "open",
    }
}
