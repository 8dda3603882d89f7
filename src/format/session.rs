//! Announcements and heartbeats of sessions. Spec: format-spec/09-session.md.

use crate::format::FormatError;
use crate::format::codec::Decode;
use crate::format::codec::Encode;
use crate::format::codec::decode;
use crate::format::codec::encode;

/// What a session announces before it looks at anything.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// What the session is for.
    pub purpose: Purpose,
    /// Name and version of the program.
    pub tool: String,
    /// Name of the host it runs on; a hint for people, and empty if it is not told.
    pub host: String,
    /// Number of its process there; a hint for people, and 0 if it is not told.
    pub process: u32,
    /// What is being backed up; a hint for people, and empty if it is not told.
    pub source: String,
    /// Seconds since 1970 by the client's clock; a hint for people.
    pub started: i64,
    /// Random, so that one's own object is recognised after an unknown outcome.
    pub nonce: [u8; 16],
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Purpose {
    /// Adds snapshots.
    Write,
    /// Collects garbage.
    Collect,
    /// Reads for a long time.
    Read,
}

/// Says that a session makes progress. A hint for those who may fence it, never evidence.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Heartbeat {
    /// The number in its key.
    pub number: u32,
}

impl Announcement {
    /// The announcement's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, 4096>("announcement", bytes)
    }
}

impl Heartbeat {
    /// The heartbeat's body.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::<Self, 4096>("heartbeat", bytes)
    }
}
