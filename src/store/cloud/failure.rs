//! What a failed call to a bucket means, and why.

use crate::store::StoreErrorKind;
use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::notes::Notes;
use crate::store::cloud::notes::Refusal;
use crate::store::cloud::notes::Trouble;
use std::ops::Range;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Failure {
    kind: StoreErrorKind,
    words: String,
    status: Option<u16>,
    /// Whether more than one request to create an object was sent.
    is_repeated: bool,
    #[source]
    source: Option<object_store::Error>,
}

impl Failure {
    /// What an error of `object_store` and the notes on its answers come to.
    pub(crate) fn of(error: object_store::Error, notes: Notes) -> Self {
        let Notes { refusal, trouble, sent_creates, lock: _, crc32c: _ } = notes;
        let is_repeated = sent_creates > 1;
        // What the services of credentials answered is no answer of the store.
        if let Some(wrong) = CredentialError::within(&error) {
            let (kind, words) = (wrong.kind, wrong.to_string());
            return Self { kind, words, status: None, is_repeated, source: None };
        }
        if let Some(refusal) = refusal {
            let (kind, words) = of_refusal(&refusal);
            return Self { kind, words, status: Some(refusal.status), is_repeated, source: None };
        }
        let (kind, words) = trouble.map_or_else(|| of_error(&error), of_trouble);
        let words = words.to_owned();
        Self { kind, words, status: None, is_repeated, source: Some(error) }
    }

    /// The object's length is not what it must be.
    pub(crate) fn wrong_length(length: u64, wanted: Range<u64>) -> Self {
        let Range { start, end } = wanted;
        let words = format!("the object has {length} bytes, wanted were {start}..{end}");
        Self::without_answer(StoreErrorKind::Corrupt, words)
    }

    /// Another object has the key.
    pub(crate) fn exists() -> Self {
        let words = "the store has another object of this name".to_owned();
        Self::without_answer(StoreErrorKind::AlreadyExists, words)
    }

    /// The store's answer cannot be understood.
    pub(crate) fn unreadable_answer() -> Self {
        let words = "the store's answer cannot be understood".to_owned();
        Self::without_answer(StoreErrorKind::Other, words)
    }

    const fn without_answer(kind: StoreErrorKind, words: String) -> Self {
        Self { kind, words, status: None, is_repeated: false, source: None }
    }

    /// The same failure of a request that was sent before.
    pub(crate) fn of_repeated(self) -> Self {
        Self { is_repeated: true, ..self }
    }

    /// Whether the store says, to the only request that was sent, that the object was there before.
    pub(crate) const fn is_certainly_there(&self) -> bool {
        matches!(self.status, Some(412)) && !self.is_repeated
    }

    /// What callers may branch on.
    pub(crate) const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The status of the answer, if there was one.
    pub(crate) const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the store is busy or failed, and may soon be better.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Throttled | StoreErrorKind::Unavailable)
    }

    /// Whether the same request may succeed later.
    pub(crate) const fn may_be_tried_again(&self) -> bool {
        match self.kind {
            // What was there is gone by now: a delete ran beside it.
            StoreErrorKind::AlreadyExists
            | StoreErrorKind::Throttled
            | StoreErrorKind::Unavailable => true,
            StoreErrorKind::NotFound
            | StoreErrorKind::Denied
            | StoreErrorKind::Unauthenticated
            | StoreErrorKind::Full
            | StoreErrorKind::Corrupt
            | StoreErrorKind::Unreadable
            | StoreErrorKind::Unsupported
            | StoreErrorKind::Other => false,
        }
    }

    /// Whether the store answered, and the answer is of no use.
    pub(crate) const fn is_without_refusal(&self) -> bool {
        self.status.is_none() && matches!(self.kind, StoreErrorKind::Other)
    }

    /// Whether the store may have refused a range because it is past the end.
    pub(crate) const fn may_be_past_the_end(&self) -> bool {
        matches!(self.status, Some(416 | 400)) || matches!(self.kind, StoreErrorKind::Other)
    }
}

fn of_refusal(refusal: &Refusal) -> (StoreErrorKind, String) {
    let Refusal { status, code, message } = refusal;
    let (kind, meaning) = of_code(code).unwrap_or_else(|| of_status(*status));
    let said = match (code.as_str(), message.as_str()) {
        ("", "") => String::new(),
        ("", message) => format!("; it says: {message}"),
        (code, "") => format!("; it says: {code}"),
        (code, message) => format!("; it says: {code}: {message}"),
    };
    (kind, format!("{meaning} (status {status}{said})"))
}

fn of_code(code: &str) -> Option<(StoreErrorKind, &'static str)> {
    Some(match code {
        "NoSuchBucket" => (StoreErrorKind::Other, "there is no bucket of this name"),
        "InvalidBucketName" => (StoreErrorKind::Other, "no bucket can have this name"),
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "InvalidToken" | "UnrecognizedClient" => {
            (StoreErrorKind::Unauthenticated, "the store does not know the access key")
        }
        "SignatureDoesNotMatch" => {
            (StoreErrorKind::Unauthenticated, "the secret key does not belong to the access key")
        }
        "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" => {
            (StoreErrorKind::Unauthenticated, "the credentials have expired")
        }
        "RequestTimeTooSkewed" | "RequestExpired" => (
            StoreErrorKind::Unauthenticated,
            "this machine's clock differs too much from the store's",
        ),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => {
            (StoreErrorKind::Other, "the bucket is in another region, or at another endpoint")
        }
        "InvalidObjectState" | "BlobArchived" => (
            StoreErrorKind::Unavailable,
            "the object is in an archive: have the store bring it back first, as with `aws s3api restore-object`",
        ),
        "InvalidStorageClass" => (StoreErrorKind::Other, "the store has no such storage class"),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "ServiceQuotaExceeded" => {
            (StoreErrorKind::Full, "no space or quota is left")
        }
        "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "ServerBusy" => {
            (StoreErrorKind::Throttled, "the store asks for fewer requests")
        }
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => {
            (StoreErrorKind::Unavailable, "other bytes arrived than were sent")
        }
        "NotImplemented" => (StoreErrorKind::Unsupported, "the store does not know what is asked"),
        _ => return None,
    })
}

const fn of_status(status: u16) -> (StoreErrorKind, &'static str) {
    match status {
        300..=399 => {
            (StoreErrorKind::Other, "the bucket is in another region, or at another endpoint")
        }
        401 => (StoreErrorKind::Unauthenticated, "the credentials are missing or wrong"),
        403 => (StoreErrorKind::Denied, "the credentials lack the right"),
        404 => (StoreErrorKind::NotFound, "there is no such object"),
        409 | 412 => (StoreErrorKind::AlreadyExists, "the object exists"),
        416 => (StoreErrorKind::Corrupt, "the object is shorter"),
        429 | 503 => (StoreErrorKind::Throttled, "the store asks for fewer requests"),
        501 => (StoreErrorKind::Unsupported, "the store does not know what is asked"),
        507 => (StoreErrorKind::Full, "no space or quota is left"),
        500..=599 => (StoreErrorKind::Unavailable, "the store failed"),
        _ => (StoreErrorKind::Other, "the store refused"),
    }
}

const fn of_trouble(trouble: Trouble) -> (StoreErrorKind, &'static str) {
    match trouble {
        Trouble::Unreachable => (StoreErrorKind::Unavailable, "the store cannot be reached"),
        Trouble::Late => (StoreErrorKind::Unavailable, "the store did not answer in time"),
        Trouble::Cut => (StoreErrorKind::Unavailable, "the store's answers were cut off"),
        Trouble::Altered => (StoreErrorKind::Corrupt, "other bytes arrived than were sent"),
        Trouble::NoCredentials => (
            StoreErrorKind::Unauthenticated,
            "there are no credentials: none are set, and this machine has no service that gives some",
        ),
    }
}

/// For errors without an answer: of credentials, of paths, of `object_store` itself.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's kinds are not closed")]
const fn of_error(error: &object_store::Error) -> (StoreErrorKind, &'static str) {
    match error {
        object_store::Error::NotFound { .. } => {
            (StoreErrorKind::NotFound, "there is no such object")
        }
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            (StoreErrorKind::AlreadyExists, "the object exists")
        }
        object_store::Error::PermissionDenied { .. } => {
            (StoreErrorKind::Denied, "the credentials lack the right")
        }
        object_store::Error::Unauthenticated { .. } => {
            (StoreErrorKind::Unauthenticated, "the credentials are missing or wrong")
        }
        _ => (StoreErrorKind::Other, "the request cannot be made"),
    }
}
