//! What an object of a repository is to whoever copies it. Spec: format-spec/15-mirror.md, "What is copied".

use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::id::ClientId;
use crate::id::Digest;
use crate::id::SnapshotId;
use crate::key::ObjectKey;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Slot,
    Identity,
    Amendment,
    Config,
    Pack(PackRef),
    Segment(SegmentRef),
    Manifest(SnapshotId),
    /// An audit record, an inventory, or a record of any kind.
    Statement,
    Forget,
    Body(u64, Digest),
    Outcome(SessionRef),
    Register(u64, Step),
}

impl Part {
    /// What the object of a key is; `None` for what is not copied.
    pub(crate) fn of(key: &ObjectKey) -> Option<Self> {
        let segments: Vec<&str> = key.segments().collect();
        let client = |text: &str| text.parse::<ClientId>().is_ok();
        match segments.as_slice() {
            [layout::CONFIG] => Some(Self::Config),
            [layout::KEYS, _] => layout::parse_slot_key(key).ok().map(|_slot| Self::Slot),
            [layout::IDENTITIES, text] if is_number(text) => Some(Self::Identity),
            [layout::AMENDMENTS, text] if is_number(text) => Some(Self::Amendment),
            [layout::PACKS, ..] => PackRef::parse(key).ok().map(Self::Pack),
            [layout::INDEX, ..] => SegmentRef::parse(key).ok().map(Self::Segment),
            [layout::MANIFESTS, owner, snapshot] if client(owner) => {
                snapshot.parse().ok().map(Self::Manifest)
            }
            [layout::AUDIT, owner, text] | [layout::RECORDS, _, owner, text]
                if client(owner) && is_number(text) =>
            {
                Some(Self::Statement)
            }
            [layout::INVENTORY, _] => {
                layout::parse_inventory_key(key).map(|_number| Self::Statement)
            }
            [layout::FORGET, _] => layout::parse_forget_key(key).ok().map(|_record| Self::Forget),
            [layout::OUTCOMES, ..] => SessionRef::parse_outcome(key).ok().map(Self::Outcome),
            [layout::GC, ..] => {
                layout::parse_gc_key(key).ok().map(|(number, object)| match object {
                    GcObject::Plan => Self::Register(number, Step::Plan),
                    GcObject::Verdict => Self::Register(number, Step::Verdict),
                    GcObject::Done => Self::Register(number, Step::Done),
                    GcObject::Body(digest) => Self::Body(number, digest),
                })
            }
            _ => None,
        }
    }

    /// Whether the name holds the hash of the bytes.
    pub(crate) const fn is_named_by_hash(self) -> bool {
        matches!(self, Self::Pack(_) | Self::Segment(_) | Self::Body(..))
    }

    /// Whether such objects are numbered without gaps and never deleted, so that the last one says
    /// how far a place is.
    pub(crate) const fn is_numbered(self) -> bool {
        matches!(self, Self::Identity | Self::Amendment | Self::Statement | Self::Register(..))
    }

    /// The session of an outcome.
    pub(crate) const fn outcome(self) -> Option<SessionRef> {
        if let Self::Outcome(session) = self { Some(session) } else { None }
    }

    /// The number and step of a register.
    pub(crate) const fn register(self) -> Option<(u64, Step)> {
        if let Self::Register(number, step) = self { Some((number, step)) } else { None }
    }

    /// Which of the steps copies it.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::Slot | Self::Identity | Self::Amendment => Stage::Keys,
            Self::Config => Stage::Config,
            Self::Pack(_) => Stage::Packs,
            Self::Segment(_) => Stage::Segments,
            Self::Manifest(_) | Self::Statement => Stage::Statements,
            Self::Forget => Stage::Forgets,
            Self::Body(..) => Stage::Bodies,
            Self::Outcome(_) => Stage::Outcomes,
            Self::Register(..) => Stage::Registers,
        }
    }
}

/// The steps of a copy, in order. Each is durable before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Keys,
    /// Whoever finds a config finds the keys that open it.
    Config,
    Packs,
    Segments,
    Statements,
    /// After the records: whatever keeps a snapshot is there before what forgets it.
    Forgets,
    Bodies,
    Outcomes,
    Registers,
}

impl Stage {
    /// Every step but the registers, which have an order of their own.
    pub(crate) const BEFORE_REGISTERS: [Self; 8] = [
        Self::Keys,
        Self::Config,
        Self::Packs,
        Self::Segments,
        Self::Statements,
        Self::Forgets,
        Self::Bodies,
        Self::Outcomes,
    ];

    /// What is being done, for people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Keys | Self::Config => "copying keys",
            Self::Packs => "copying packs",
            Self::Segments => "copying the index",
            Self::Statements | Self::Forgets => "copying manifests and records",
            Self::Bodies | Self::Outcomes | Self::Registers => "copying outcomes and collections",
        }
    }
}

fn is_number(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_no_repository_is_not_copied() {
        for text in ["amendments/mirror/00000001", "ids/1", "packs/x", "sessions/a/0/b", "probe/x"]
        {
            assert_eq!(Part::of(&ObjectKey::new(text).unwrap()), None, "{text}");
        }
        let client = "0f".repeat(16);
        let record = format!("records/later-kind/{client}/00000001");
        assert_eq!(Part::of(&ObjectKey::new(record).unwrap()), Some(Part::Statement));
    }
}
