//! Where a bucket is: `s3://BUCKET/PREFIX`, `gs://…` or `az://…`, with settings behind a `?`.

use crate::key::ObjectKey;
use crate::store::StorageClass;
use std::fmt;
use std::str::FromStr;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudLocation {
    pub(crate) kind: CloudKind,
    /// The bucket, or Azure's container.
    pub(crate) bucket: String,
    /// What the keys of all objects begin with, without a slash at its end; may be empty.
    pub(crate) prefix: String,
    /// Settings that belong to the place, by their names in [`CloudKind::settings`].
    pub(crate) settings: Vec<(String, String)>,
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloudKind {
    Amazon,
    Google,
    Azure,
}

/// Why a text names no bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not a scheme that is known.
    #[error("`{scheme}://` is no store; known are `s3://`, `gs://`, `az://` and directories")]
    Scheme { scheme: String },
    /// No bucket, or one that cannot be one.
    #[error("`{bucket}` cannot be the name of a bucket")]
    Bucket { bucket: String },
    /// Not one that keys can begin with.
    #[error(
        "`{prefix}` cannot be what keys begin with: letters, digits, `-`, `_` and `.`, parted by slashes"
    )]
    Prefix { prefix: String },
    /// Not the name of a storage class.
    #[error("`{class}` cannot be a storage class")]
    Class { class: String },
    /// A storage class that is not read at once.
    #[error(
        "metadata cannot be in `{class}`: every command reads it, and what is there must be brought back first"
    )]
    ArchivedMetadata { class: String },
    /// Not a value of a setting.
    #[error(
        "`{value}` cannot be `{name}`: `lock_days` is 1 to 36500, `lock_mode` is `governance` or `compliance`, `first_version` is `true` or `false`"
    )]
    Value { name: String, value: String },
    /// Only S3's versions are known.
    #[error("first versions are known of buckets of S3 alone (`s3://…`)")]
    NoVersions,
    /// Not a setting of this kind of store.
    #[error("`{name}` is no setting of `{scheme}://`; known are {known}")]
    Setting { name: String, scheme: &'static str, known: String },
}

impl CloudKind {
    /// Its scheme in locations.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Amazon => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// The settings that a location may have. Never a secret: locations stand in logs.
    pub(crate) const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Amazon => &[
                "endpoint",
                "region",
                "profile",
                "virtual_hosted_style_request",
                CLASS_OF_DATA,
                CLASS_OF_METADATA,
                LOCK_DAYS,
                LOCK_MODE,
                FIRST_VERSION,
            ],
            Self::Google => &["endpoint", CLASS_OF_DATA, CLASS_OF_METADATA],
            Self::Azure => &["endpoint", "account", CLASS_OF_DATA, CLASS_OF_METADATA],
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        [Self::Amazon, Self::Google, Self::Azure].into_iter().find(|kind| kind.scheme() == scheme)
    }
}

impl CloudLocation {
    /// A setting that the location has.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        settings.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl CloudLocation {
    /// For how many days objects are locked when they are created, if they are.
    pub(crate) fn lock_days(&self) -> Option<u32> {
        self.setting(LOCK_DAYS)?.parse().ok()
    }

    /// Who may lift locks, in the words of the store.
    pub(crate) fn lock_mode(&self) -> &'static str {
        match self.setting(LOCK_MODE) {
            Some(COMPLIANCE) => "COMPLIANCE",
            _ => "GOVERNANCE",
        }
    }

    /// Whether the first version of every object is meant, whatever came later.
    pub(crate) fn is_of_first_versions(&self) -> bool {
        self.setting(FIRST_VERSION) == Some("true")
    }

    /// The same place, but of every object its first version.
    ///
    /// Errors: a store that this program knows no versions of.
    pub(crate) fn of_first_versions(mut self) -> Result<Self, LocationError> {
        if self.kind != CloudKind::Amazon {
            return Err(LocationError::NoVersions);
        }
        self.settings.retain(|(name, _value)| name != FIRST_VERSION);
        self.settings.push((FIRST_VERSION.to_owned(), "true".to_owned()));
        Ok(self)
    }

    /// The storage class that objects get, in the store's words, if one is wanted.
    pub(crate) fn storage_class(&self, class: StorageClass) -> Option<&str> {
        self.setting(match class {
            StorageClass::Data => CLASS_OF_DATA,
            StorageClass::Metadata => CLASS_OF_METADATA,
        })
    }
}

impl FromStr for CloudLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let kind = CloudKind::of_scheme(scheme)
            .ok_or_else(|| LocationError::Scheme { scheme: scheme.to_owned() })?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        check_bucket(bucket)?;
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && ObjectKey::new(prefix).is_err() {
            return Err(LocationError::Prefix { prefix: prefix.to_owned() });
        }
        let mut settings = Vec::new();
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
            let name = name.replace('-', "_");
            if !kind.settings().contains(&name.as_str()) {
                let known = kind.settings().join(", ");
                return Err(LocationError::Setting { name, scheme: kind.scheme(), known });
            }
            check_class(kind, &name, value)?;
            check_lock(&name, value)?;
            settings.push((name, value.to_owned()));
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { kind, bucket, prefix, settings })
    }
}

impl fmt::Display for CloudLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.kind.scheme(), self.bucket)?;
        if !self.prefix.is_empty() {
            write!(formatter, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

fn check_lock(name: &str, value: &str) -> Result<(), LocationError> {
    let is_known = match name {
        LOCK_DAYS => value.parse().is_ok_and(|days: u32| (1..=LOCK_DAYS_MAX).contains(&days)),
        LOCK_MODE => matches!(value, GOVERNANCE | COMPLIANCE),
        FIRST_VERSION => matches!(value, "true" | "false"),
        _ => true,
    };
    let (name, value) = (name.to_owned(), value.to_owned());
    if is_known { Ok(()) } else { Err(LocationError::Value { name, value }) }
}

/// Which classes a store has, it says itself; which cannot be read at once is known.
fn check_class(kind: CloudKind, name: &str, value: &str) -> Result<(), LocationError> {
    let is_of_metadata = name == CLASS_OF_METADATA;
    if !is_of_metadata && name != CLASS_OF_DATA {
        return Ok(());
    }
    let class = value.to_owned();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(LocationError::Class { class });
    }
    let archives: &[&str] = match kind {
        CloudKind::Amazon => &["GLACIER", "DEEP_ARCHIVE"],
        CloudKind::Google => &[],
        CloudKind::Azure => &["ARCHIVE"],
    };
    if is_of_metadata && archives.iter().any(|archive| archive.eq_ignore_ascii_case(value)) {
        return Err(LocationError::ArchivedMetadata { class });
    }
    Ok(())
}

/// What all three kinds of stores agree on, in short.
fn check_bucket(bucket: &str) -> Result<(), LocationError> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if bucket.is_empty() || bucket.len() > BUCKET_BYTES_MAX || !bucket.chars().all(is_known) {
        return Err(LocationError::Bucket { bucket: bucket.to_owned() });
    }
    Ok(())
}

const LOCK_DAYS: &str = "lock_days";
const LOCK_DAYS_MAX: u32 = 36_500;
const LOCK_MODE: &str = "lock_mode";
/// Who has the right may lift such a lock.
const GOVERNANCE: &str = "governance";
/// Nobody may lift such a lock.
const COMPLIANCE: &str = "compliance";
const FIRST_VERSION: &str = "first_version";
const CLASS_OF_DATA: &str = "storage_class_data";
const CLASS_OF_METADATA: &str = "storage_class_metadata";
/// Of Google's names with dots, the longest of all.
const BUCKET_BYTES_MAX: usize = 222;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_bucket_prefix_and_settings() {
        let text = "s3://backups/app/db/?endpoint=http://127.0.0.1:8333&region=eu-central-1";
        let location: CloudLocation = text.parse().unwrap();
        assert_eq!(location.to_string(), "s3://backups/app/db");
        assert_eq!(location.setting("endpoint"), Some("http://127.0.0.1:8333"));
        assert_eq!(location.setting("region"), Some("eu-central-1"));
        let location: CloudLocation = "gs://backups".parse().unwrap();
        assert_eq!((location.prefix.as_str(), location.kind), ("", CloudKind::Google));
    }

    #[test]
    fn what_is_no_location_says_why() {
        for (text, words) in [
            ("ftp://host/path", "`ftp://` is no store"),
            ("s3://", "`` cannot be the name"),
            ("s3://a b/c", "`a b` cannot be"),
            ("s3://bucket//c", "`/c` cannot be"),
            ("s3://bucket/a/../b", "`a/../b` cannot be"),
            ("s3://bucket?secret_access_key=x", "`secret_access_key` is no setting"),
            ("s3://b?storage-class-metadata=glacier", "metadata cannot be in `glacier`"),
            ("az://b?storage-class-metadata=Archive", "metadata cannot be in `Archive`"),
            ("gs://b?storage-class-data=a%20b", "`a%20b` cannot be a storage class"),
            ("gs://bucket?region=x", "`region` is no setting of `gs://`"),
        ] {
            let error = text.parse::<CloudLocation>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
