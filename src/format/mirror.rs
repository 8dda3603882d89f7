//! Notes of mirrors: that a place is one, and how far it is. Spec: format-spec/15-mirror.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;
use crate::id::SessionId;

/// Says that a place is a mirror. The first one is stored before anything else, later ones each
/// after everything that there was at their time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MirrorNote {
    /// The number in its key, from 1.
    pub number: u32,
    /// The state of the source that the mirror shows was that of this time, in seconds since 1970;
    /// in the first note, when the mirror was begun.
    pub time: i64,
    /// Where the source is, for people; no credentials.
    pub source: String,
    /// When the source received the outcomes that no base has folded.
    pub receipts: Vec<Receipt>,
}

/// When a store received an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Receipt {
    /// The session of the outcome.
    pub session: SessionId,
    /// Seconds since 1970.
    pub received: i64,
}

impl MirrorNote {
    /// The note's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let note = decode::<Self, NOTE_MEMORY_MAX>("note of a mirror", bytes)?;
        let sorted = note.receipts.is_sorted_by(|left, right| left.session < right.session);
        if !sorted {
            return Err(FormatError::new("note of a mirror", Rule::ListOrder, 0));
        }
        Ok(note)
    }

    /// Checks that the note is the one of its key.
    pub fn check_place(&self, number: u32) -> Result<(), FormatError> {
        if self.number == number {
            return Ok(());
        }
        Err(FormatError::new("note of a mirror", Rule::RecordRange, 0))
    }
}

const NOTE_MEMORY_MAX: usize = 12 * 1_048_576;
