//! Object keys: the names of stored objects, as the store sees them.
//! Spec: format-spec/01-layout.md.

use std::fmt;
use std::str::FromStr;

/// The name of a stored object: segments of `a-z 0-9 . - _`, joined by `/`.
///
/// Never empty, at most [`KEY_BYTES_MAX`] bytes, no segment empty or starting with a dot, so that
/// a key is a safe relative path on every file system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// The text is not an object key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an object key")]
pub struct InvalidKey {
    /// The refused text, shortened.
    pub text: String,
}

impl ObjectKey {
    /// Checks `text`.
    ///
    /// Errors: [`InvalidKey`] if a rule of [`ObjectKey`] is broken.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let valid = text.len() <= KEY_BYTES_MAX && text.split('/').all(is_segment);
        if valid { Ok(Self(text)) } else { Err(InvalidKey { text: shorten(&text) }) }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments between slashes, in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the key lies under `prefix`, a key without its last segments.
    pub fn is_under(&self, prefix: &str) -> bool {
        self.0.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectKey({})", self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(allowed)
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Longest key.
pub const KEY_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_repository_are_no_keys() {
        for text in ["", "/", "a//b", "../a", "a/../b", "a/.", ".hidden", "A", "a b", "a\0"] {
            assert!(ObjectKey::new(text).is_err(), "{text:?}");
        }
        assert!(ObjectKey::new("packs/00ff/000000000001/ab-cd").is_ok());
        assert!(ObjectKey::new("packs/a").unwrap().is_under("packs"));
        assert!(!ObjectKey::new("packsa/a").unwrap().is_under("packs"));
    }
}
