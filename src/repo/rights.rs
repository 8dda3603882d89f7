//! What needs a key, and which roles have it. Spec: format-spec/04-keyslot.md, "Roles".

use crate::format::keyslot::Role;
use std::fmt;

/// Something that not every role can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Right {
    /// Cut content into chunks.
    CutContent,
    /// Name chunks.
    NameChunks,
    /// Read or write the index and the directories of packs.
    Index,
    /// Read or write statements.
    Statements,
    /// Seal new packs.
    SealPacks,
    /// Read trees.
    ReadTrees,
    /// Read what files hold.
    ReadContents,
    /// Commit snapshots.
    SignSnapshots,
    /// Sign records, such as holds.
    SignRecords,
    /// Sign what a mirror says of itself.
    SignNotes,
    /// Sign evidence for auditors.
    SignEvidence,
    /// Sign requests to forget.
    Forget,
    /// Collect what no snapshot needs.
    Collect,
    /// End the holds of other clients.
    EndHoldsOfOthers,
    /// End the sessions of other clients.
    EndSessionsOfOthers,
    /// Sign for the authority: who may sign, and who gets keys.
    Certify,
    /// Sign changes of the config.
    Amend,
    /// Remove key slots.
    RemoveSlots,
}

impl Right {
    /// The roles that have it.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::CutContent | Self::NameChunks | Self::Index => {
                &[Role::Admin, Role::Writer, Role::Reader, Role::Pruner]
            }
            Self::Statements | Self::SignEvidence => {
                &[Role::Admin, Role::Writer, Role::Reader, Role::Pruner, Role::Auditor]
            }
            Self::SealPacks | Self::SignRecords | Self::SignNotes => {
                &[Role::Admin, Role::Writer, Role::Pruner]
            }
            Self::ReadTrees => &[Role::Admin, Role::Reader, Role::Pruner],
            Self::ReadContents => &[Role::Admin, Role::Reader],
            Self::SignSnapshots => &[Role::Admin, Role::Writer],
            Self::Forget | Self::Collect | Self::EndHoldsOfOthers | Self::EndSessionsOfOthers => {
                &[Role::Admin, Role::Pruner]
            }
            Self::Certify | Self::Amend | Self::RemoveSlots => &[Role::Admin],
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CutContent => "cutting content",
            Self::NameChunks => "naming chunks",
            Self::Index => "the index",
            Self::Statements => "statements",
            Self::SealPacks => "sealing packs",
            Self::ReadTrees => "reading trees",
            Self::ReadContents => "reading contents",
            Self::SignSnapshots => "signing snapshots",
            Self::SignRecords => "signing records",
            Self::SignNotes => "signing the notes of a mirror",
            Self::SignEvidence => "signing evidence",
            Self::Forget => "forgetting snapshots",
            Self::Collect => "collections",
            Self::EndHoldsOfOthers => "ending the holds of others",
            Self::EndSessionsOfOthers => "ending the sessions of others",
            Self::Certify => "certifying clients",
            Self::Amend => "amendments",
            Self::RemoveSlots => "removing key slots",
        })
    }
}

/// The roles that have a right, in words.
pub(crate) fn roles_words(right: Right) -> String {
    let words: Vec<&str> = right.roles().iter().map(|role| role.word()).collect();
    match words.as_slice() {
        [] => "no role has it".to_owned(),
        [only] => format!("the role {only} has it"),
        [first @ .., last] => format!("the roles {} and {last} have it", first.join(", ")),
    }
}
