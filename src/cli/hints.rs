//! What helps with errors: the words of `failure.rs`.

pub(super) const ROLE_HINT: &str =
    "`sbf-repo key list` shows the roles; use a key whose role has the right";
pub(super) const AUTHORITY_HINT: &str = "somebody who knows your public key replaced the repository or \
     the slot: compare its authority with whoever gave you the slot, and store nothing here";
pub(super) const LAPSED_HINT: &str = "whoever administers the repository makes another key \
     (`sbf-repo key add`); if the time is wrong, set this machine's clock";
pub(super) const AUTHORITY_FILE_HINT: &str = "the slot in use does without the authority key: name the file \
     that holds it with `--authority-file`";
pub(super) const LEFT_OUT_HINT: &str = "rotate with another admin's key: this one could not read what is \
     stored afterwards";
pub(super) const KEY_HINT: &str =
    "`--key-file`, `--password-file` and the SBF_REPO_ variables choose the key";
pub(super) const NOT_EMPTY_HINT: &str =
    "choose an empty directory, or leave out `init` to use the repository there";
pub(super) const OTHER_REPOSITORY_HINT: &str =
    "name the repository that the key is for with `--repo`, or a key of this one with `--key-file`";
pub(super) const GENERATION_HINT: &str = "the key in use was left out of a `key rotate`, or that was cut off: an \
     admin sees in `sbf-repo key list` who was, and runs it again";
pub(super) const OTHER_STORE_HINT: &str = "choose another store, or another way to reach this one";
pub(super) const VERDICT_HINT: &str = "each prune ends with a verdict, counted from 1; of an older one the bucket \
     may have freed the versions";
pub(super) const AGAIN_HINT: &str = "run the same command again";
pub(super) const PLACE_HINT: &str =
    "mirror into an empty place, or into the mirror of this repository";
pub(super) const MIRROR_HINT: &str = "write to the repository that it mirrors; if that is lost, \
     `sbf-repo mirror promote` makes a repository of the mirror";
pub(super) const PROMOTED_HINT: &str = "back up to it, or mirror it; a repository from which it was mirrored \
     needs another place for its mirrors";
pub(super) const WENT_BACK_HINT: &str = "find out who changed one of the two; nothing was copied, and \
     `sbf-repo check` looks at either";
pub(super) const ROLLBACK_HINT: &str = "somebody put an older state back, or removed objects: find out who, and \
     run `sbf-repo audit verify`; if that was on purpose, run this command again with \
     `--accept-rollback`";
pub(super) const MEMORY_HINT: &str = "compare with what another host says (`sbf-repo audit verify`, `--head`); to begin a new \
     memory of what is there now, run this command again with `--accept-rollback`";
pub(super) const AUDIT_HINT: &str =
    "without `--require-audit` the record is kept on this host until it can be stored";
pub(super) const MACHINE_HINT: &str =
    "test this machine's memory and processor before you use it for backups";
pub(super) const NEWER_HINT: &str = "use a newer version of sbf-repo";
pub(super) const KEPT_HINT: &str = "`sbf-repo check` names what is damaged, and what can be done";
pub(super) const DAMAGE_HINT: &str =
    "run `sbf-repo check --read-data` to see everything that is damaged";
pub(super) const TOO_LATE_HINT: &str = "another copy of the repository may still have it";
