//! Identifiers: every one is a type of its own, written as lower-case hexadecimal.
//! Spec: format-spec/README.md.

use std::fmt;
use std::str::FromStr;

/// The text is not the hexadecimal form of an identifier of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// How many digits an identifier of this kind has.
    pub digits: usize,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// Wraps raw bytes.
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({})", stringify!($name), to_hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $length];
                from_hex(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

id_type!(
    /// Names a repository; random.
    RepoId, 16
);
id_type!(
    /// Names a chunk: keyed BLAKE3 of its plaintext.
    ChunkId, 32
);
id_type!(
    /// Names a pack: BLAKE3 of its stored bytes.
    PackId, 32
);
id_type!(
    /// Random number in a pack's header; the place to which its blocks are bound.
    PackUid, 16
);
id_type!(
    /// Names an index segment: BLAKE3 of its stored bytes.
    SegmentId, 32
);
id_type!(
    /// Names a client: one signing key.
    ClientId, 16
);
id_type!(
    /// Names a session: one writer's run; random.
    SessionId, 16
);
id_type!(
    /// Names a snapshot: the id of the session that committed it.
    SnapshotId, 16
);
id_type!(
    /// Names a key slot; random.
    SlotId, 16
);
id_type!(
    /// Names a signing key: the first 16 bytes of SHA-256 of its public half.
    KeyId, 16
);
id_type!(
    /// Names a signed record; random.
    RecordId, 16
);
id_type!(
    /// Names the history that a promoted mirror began; random.
    HistoryId, 16
);
id_type!(
    /// SHA-256 of an object's bytes, for readers with stock tools.
    Sha256, 32
);
id_type!(
    /// BLAKE3 without a key.
    Digest, 32
);

impl From<SessionId> for SnapshotId {
    fn from(session: SessionId) -> Self {
        Self(session.0)
    }
}

impl From<SnapshotId> for SessionId {
    fn from(snapshot: SnapshotId) -> Self {
        Self(snapshot.0)
    }
}

/// Lower-case hexadecimal of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Fills `bytes` from exactly as many lower-case hexadecimal digits.
///
/// Errors: [`ParseIdError`] for another length, upper-case digits or other characters.
pub fn from_hex(text: &str, bytes: &mut [u8]) -> Result<(), ParseIdError> {
    let wrong = ParseIdError { digits: bytes.len() * 2 };
    let digits = text.as_bytes();
    if digits.len() != bytes.len() * 2 {
        return Err(wrong);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return Err(wrong) };
        let (Some(high), Some(low)) = (digit_value(*high), digit_value(*low)) else {
            return Err(wrong);
        };
        *byte = high << 4 | low;
    }
    Ok(())
}

fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_round() {
        let id = SlotId::new([0xa5; 16]);
        assert_eq!(id.to_string().parse::<SlotId>().unwrap(), id);
        assert_eq!(id.short(), "a5a5a5a5");
    }

    #[test]
    fn upper_case_and_short_texts_are_refused() {
        assert!("A5".repeat(16).parse::<SlotId>().is_err());
        assert!("a5".parse::<SlotId>().is_err());
    }
}
