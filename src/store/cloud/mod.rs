//! A store in a bucket of S3, Google Cloud Storage or Azure, through `object_store`.
//! Invariant: whoever is told that an object was created has a store that acknowledged these bytes.

mod amazon;
mod connect;
mod credentials;
mod failure;
pub(crate) mod first_version;
mod identity;
pub(crate) mod location;
mod notes;
mod runtime;
pub(crate) mod s3_calls;
pub(crate) mod settings;
mod versioned;
pub(crate) mod versions;
mod wire;

use crate::key::ObjectKey;
use crate::store::Listed;
use crate::store::Operation;
use crate::store::StorageClass;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::StoreFeatures;
use crate::store::StoreIdentity;
use crate::store::Traffic;
use crate::store::Versioned;
use crate::store::cloud::connect::Connected;
use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::failure::Failure;
use crate::store::cloud::identity::Identity;
use crate::store::cloud::location::CloudLocation;
use crate::store::cloud::notes::Notes;
use crate::store::cloud::s3_calls::S3Calls;
use crate::store::cloud::settings::CloudSettings;
use crate::store::cloud::wire::Wire;
use crate::units::to_u64;
use crate::units::to_usize;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::Attribute;
use object_store::GetOptions;
use object_store::GetRange;
use object_store::ObjectMeta;
use object_store::ObjectStore;
use object_store::ObjectStoreExt as _;
use object_store::PutMode;
use object_store::PutOptions;
use object_store::PutPayload;
use object_store::path::Path;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Objects of a bucket under one prefix.
///
/// Every call blocks its thread; the requests run on threads of their own, so that any number of
/// threads may call. A bucket's objects appear whole or not at all, and durable.
pub(crate) struct CloudStore {
    store: Arc<dyn ObjectStore>,
    wire: Arc<Wire>,
    /// What only S3 has.
    pub(crate) s3: Option<S3Calls>,
    identity: Identity,
    location: CloudLocation,
    /// Whether objects are created on the condition that none has their key.
    is_conditional: AtomicBool,
}

impl CloudStore {
    /// Prepares the store; no request is made.
    ///
    /// Errors: [`StoreErrorKind::Other`] if the settings make no sense.
    pub(crate) fn connect(
        location: &CloudLocation,
        settings: &CloudSettings,
    ) -> Result<Self, StoreError> {
        let Connected { store, wire, s3, identity } = connect::connect(location, settings)
            .map_err(|source| {
                let wrong = CredentialError::within(source.as_ref());
                let kind = wrong.map_or(StoreErrorKind::Other, |wrong| wrong.kind);
                StoreError::new(Operation::Open, "", &location.to_string(), kind, source)
            })?;
        let is_conditional = AtomicBool::new(true);
        Ok(Self { store, wire, s3, identity, location: location.clone(), is_conditional })
    }

    fn path(&self, key: &str) -> Path {
        let root = self.location.prefix.as_str();
        match (root.is_empty(), key.is_empty()) {
            (true, _) => Path::from(key),
            (false, true) => Path::from(root),
            (false, false) => Path::from(format!("{root}/{key}")),
        }
    }

    fn put(
        &self,
        key: &ObjectKey,
        body: &Bytes,
        class: Option<StorageClass>,
    ) -> Result<(), Failure> {
        let path = self.path(key.as_str());
        let is_conditional = self.is_conditional.load(Ordering::Relaxed);
        if !is_conditional {
            match self.head(&path, None) {
                Ok(_meta) => return Err(Failure::exists()),
                Err(failure) if failure.kind() == StoreErrorKind::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        let mode = if is_conditional { PutMode::Create } else { PutMode::Overwrite };
        let mut options = PutOptions { mode, ..PutOptions::default() };
        if let Some(class) = class.and_then(|class| self.location.storage_class(class)) {
            options.attributes.insert(Attribute::StorageClass, class.to_owned().into());
        }
        let payload = PutPayload::from(body.clone());
        let mut notes = Notes::of_body(self.location.kind, body);
        notes.lock = self.lock_of(key);
        ask_noted(notes, self.store.put_opts(&path, payload, options)).map(|_put| ())
    }

    /// What is stored under a key, if that has at most so many bytes.
    fn get(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        length_max: u64,
    ) -> Result<Bytes, Failure> {
        let path = self.path(key.as_str());
        let version = version.map(str::to_owned);
        let options = GetOptions { version, ..GetOptions::default() };
        let got = ask(async {
            let got = self.store.get_opts(&path, options).await?;
            let length = got.meta.size;
            if length > length_max {
                return Ok(Err(Failure::wrong_length(length, 0..length_max)));
            }
            let bytes = got.bytes().await?;
            if to_u64(bytes.len()) != length {
                return Ok(Err(Failure::wrong_length(to_u64(bytes.len()), 0..length)));
            }
            Ok(Ok(bytes))
        });
        got.and_then(|checked| checked)
    }

    fn get_range(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        range: Range<u64>,
    ) -> Result<Bytes, Failure> {
        let path = self.path(key.as_str());
        if range.start >= range.end {
            // No request asks for nothing: whether the object is so long is what is left to say.
            let length = self.head(&path, version)?.size;
            let fits = range.start == range.end && range.end <= length;
            return if fits { Ok(Bytes::new()) } else { Err(Failure::wrong_length(length, range)) };
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            version: version.map(str::to_owned),
            ..GetOptions::default()
        };
        let got = ask(async {
            let got = self.store.get_opts(&path, options).await?;
            let length = got.meta.size;
            if got.range != range {
                return Ok(Err(Failure::wrong_length(length, range.clone())));
            }
            let bytes = got.bytes().await?;
            if to_u64(bytes.len()) != range.end - range.start {
                return Ok(Err(Failure::wrong_length(length, range.clone())));
            }
            Ok(Ok(bytes))
        });
        match got {
            // How a store refuses a range past the end differs; how long the object is does not.
            Err(failure) if failure.may_be_past_the_end() => match self.head(&path, version) {
                Ok(meta) if meta.size < range.end => Err(Failure::wrong_length(meta.size, range)),
                // Some answer a question for a part with the whole, which no other part of this
                // program accepts.
                Ok(meta) if failure.is_without_refusal() => {
                    let whole = self.get(key, version, meta.size)?;
                    Ok(whole.slice(to_usize(range.start)..to_usize(range.end)))
                }
                _ => Err(failure),
            },
            got => got.and_then(|checked| checked),
        }
    }

    fn head(&self, path: &Path, version: Option<&str>) -> Result<ObjectMeta, Failure> {
        let version = version.map(str::to_owned);
        let options = GetOptions { version, head: true, ..GetOptions::default() };
        ask(async { Ok(self.store.get_opts(path, options).await?.meta) })
    }

    /// Whether an attempt to create an object that failed came to something after all: a lost
    /// answer and a repeated request look like somebody else's object.
    fn settle_create(&self, key: &ObjectKey, body: &Bytes, failure: Failure) -> Settled {
        if failure.is_certainly_there() {
            return Settled::Failed(failure);
        }
        match self.get(key, None, to_u64(body.len())) {
            Ok(found) if found == body => Settled::Created,
            Ok(_) => Settled::Failed(Failure::exists()),
            Err(read) if read.kind() == StoreErrorKind::Corrupt => {
                Settled::Failed(Failure::exists())
            }
            Err(read) => {
                let is_gone = read.kind() == StoreErrorKind::NotFound;
                if is_gone && failure.may_be_tried_again() {
                    return Settled::Again(failure);
                }
                Settled::Failed(failure)
            }
        }
    }

    fn create_with(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: Option<StorageClass>,
    ) -> Result<(), StoreError> {
        let body = Bytes::copy_from_slice(body);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(failure) = self.put(key, &body, class) else { return Ok(()) };
            // An attempt before this one may have been applied after all.
            let failure = if attempt > 1 { failure.of_repeated() } else { failure };
            match self.settle_create(key, &body, failure) {
                Settled::Created => return Ok(()),
                Settled::Again(_) if attempt < CREATE_ATTEMPTS => runtime::sleep(PAUSE * attempt),
                Settled::Again(failure) | Settled::Failed(failure) => {
                    return Err(self.error(failure, Operation::Create, key.as_str()));
                }
            }
        }
    }

    fn error(&self, failure: Failure, operation: Operation, key: &str) -> StoreError {
        let kind = failure.kind();
        StoreError::new(operation, key, &self.location(), kind, failure)
    }
}

/// Waits for calls to the store; what its answers said goes into the failure.
fn ask<T>(calls: impl Future<Output = Result<T, object_store::Error>>) -> Result<T, Failure> {
    ask_noted(Notes::default(), calls)
}

fn ask_noted<T>(
    notes: Notes,
    calls: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, Failure> {
    runtime::wait(notes::with(notes, calls)).map_err(|(error, notes)| Failure::of(error, notes))
}

/// What a failed attempt to create an object came to.
enum Settled {
    Created,
    Again(Failure),
    Failed(Failure),
}

impl Store for CloudStore {
    fn create(&self, key: &ObjectKey, body: &[u8]) -> Result<(), StoreError> {
        self.create_with(key, body, None)
    }

    fn create_in(
        &self,
        key: &ObjectKey,
        body: &[u8],
        class: StorageClass,
    ) -> Result<(), StoreError> {
        self.create_with(key, body, Some(class))
    }

    fn read(&self, key: &ObjectKey, length_max: u64) -> Result<Vec<u8>, StoreError> {
        let got = self.get(key, None, length_max);
        got.map(Vec::from).map_err(|failure| self.error(failure, Operation::Read, key.as_str()))
    }

    fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        buffer.clear();
        let got = self.get_range(key, None, range);
        let got = got.map_err(|failure| self.error(failure, Operation::Read, key.as_str()))?;
        buffer.reserve(to_usize(to_u64(got.len())));
        buffer.extend_from_slice(&got);
        Ok(())
    }

    fn length(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let path = self.path(key.as_str());
        let meta = self.head(&path, None);
        let meta = meta.map_err(|failure| self.error(failure, Operation::Read, key.as_str()))?;
        Ok(meta.size)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        crate::store::check_prefix(prefix, &self.location())?;
        let path = self.path(prefix);
        let listed = ask(async {
            let listed = self.store.list(Some(&path).filter(|path| !path.as_ref().is_empty()));
            listed.try_collect::<Vec<ObjectMeta>>().await
        });
        let listed = listed.map_err(|failure| self.error(failure, Operation::List, prefix))?;
        let root = self.path("");
        let mut objects: Vec<Listed> =
            listed.into_iter().filter_map(|meta| listed_object(&root, &meta)).collect();
        objects.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(objects)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let path = self.path(key.as_str());
        match ask(self.store.delete(&path)) {
            Err(failure) if failure.kind() == StoreErrorKind::NotFound => Ok(()),
            deleted => {
                deleted.map_err(|failure| self.error(failure, Operation::Delete, key.as_str()))
            }
        }
    }

    /// Nothing to do: what a bucket shows is durable.
    fn settle(&self, _key: &ObjectKey) -> Result<(), StoreError> {
        Ok(())
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(self.wire.traffic())
    }

    fn features(&self) -> Result<StoreFeatures, StoreError> {
        let Some(s3) = &self.s3 else { return Ok(StoreFeatures::default()) };
        let asked = s3.features();
        asked.map_err(|failure| self.error(failure, Operation::Open, ""))
    }

    fn identity(&self) -> Result<Option<StoreIdentity>, StoreError> {
        let found = ask(async { self.identity.find().await.map_err(CredentialError::into_store) });
        found.map(Some).map_err(|failure| self.error(failure, Operation::Open, ""))
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.s3.is_some().then_some(self)
    }

    fn give_up_conditions(&self) {
        self.is_conditional.store(false, Ordering::Relaxed);
    }

    fn location(&self) -> String {
        self.location.to_string()
    }
}

impl fmt::Debug for CloudStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CloudStore")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// An object below the repository's prefix; others, whose names no key can have, are not ours.
fn listed_object(root: &Path, meta: &ObjectMeta) -> Option<Listed> {
    let name = meta.location.as_ref();
    let name = match root.as_ref() {
        "" => name,
        root => name.strip_prefix(root)?.strip_prefix('/')?,
    };
    let key = ObjectKey::new(name).ok()?;
    Some(Listed { key, length: meta.size, received: Some(meta.last_modified.into()) })
}

/// How often an object is created whose creation failed and left nothing.
const CREATE_ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
