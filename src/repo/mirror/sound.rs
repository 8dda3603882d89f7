//! Whether bytes can be what the name of an object says. Spec: format-spec/15-mirror.md, "What is copied".

use crate::crypto::hash::blake3;
use crate::crypto::hash::digest;
use crate::format::envelope::ObjectKind;
use crate::key::ObjectKey;
use crate::repo::audit_objects::open_any;
use crate::repo::error::RepoError;
use crate::repo::mirror::part::Part;
use crate::repo::objects;
use crate::repo::repository::Repository;
use crate::repo::repository::verified_by_authority;
use crate::repo::slots::decode_slot;
use crate::store::held::HeldObject;
use std::sync::Arc;

/// What can be said of bytes.
#[derive(Debug)]
pub(crate) enum Soundness {
    /// They are authentic.
    Sound,
    /// They are not, and no key makes them so.
    Damaged(RepoError),
    /// The keys in use cannot tell.
    Unknown,
}

/// Looks at bytes that are stored under `key` in `repository`.
pub(crate) fn judge(
    repository: &Repository,
    key: &ObjectKey,
    part: Part,
    bytes: &[u8],
) -> Soundness {
    let wrong_hash = || RepoError::WrongHash { key: key.to_string() };
    let checked = match part {
        Part::Pack(pack) if blake3(bytes) == *pack.id.as_bytes() => Ok(()),
        Part::Segment(segment) if blake3(bytes) == *segment.id.as_bytes() => Ok(()),
        Part::Body(_number, hash) if digest(bytes) == hash => Ok(()),
        Part::Pack(_) | Part::Segment(_) | Part::Body(..) => Err(wrong_hash()),
        Part::Slot => decode_slot(key, bytes).map(|_slot| ()),
        Part::Config => check_clear(repository, ObjectKind::Config, key, bytes),
        Part::Amendment => check_clear(repository, ObjectKind::Amendment, key, bytes),
        // An attempt to make a repository may have left some that no authority of this one signed.
        Part::Identity if repository.identities.foreign.contains(key) => return Soundness::Unknown,
        Part::Identity => check_clear(repository, ObjectKind::Identity, key, bytes),
        Part::Manifest(_)
        | Part::Statement
        | Part::Forget
        | Part::Outcome(_)
        | Part::Register(..) => {
            let held = HeldObject::new(repository.location(), key.clone(), bytes.to_vec());
            open_any(&repository.over(Arc::new(held)), key)
        }
    };
    match checked {
        Ok(()) => Soundness::Sound,
        Err(error) if error.is_unreadable() => Soundness::Damaged(error),
        Err(_error) => Soundness::Unknown,
    }
}

fn check_clear(
    repository: &Repository,
    kind: ObjectKind,
    key: &ObjectKey,
    bytes: &[u8],
) -> Result<(), RepoError> {
    let opened = objects::open_clear(kind, key.as_str(), bytes)?;
    let authority = &repository.keys.keys.authority_public;
    verified_by_authority(opened, repository.id(), authority).map(|_body| ())
}
