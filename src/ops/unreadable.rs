//! Outcomes and objects of collections that cannot be read: what that means, and what can be done.
//! Spec: format-spec/11-gc.md, "What cannot be read".

use crate::format::Rule;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::layout::SessionRef;
use crate::key::ObjectKey;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::repo::decision::names_body;
use crate::repo::error::RepoError;
use crate::repo::history::RepoErrorAt;
use crate::repo::memory::WentBack;
use crate::repo::repository::Repository;
use crate::repo::roster::MissingCommit;

/// What follows from an object that should have been read to know what is valid.
pub(crate) fn history_finding(at: &RepoErrorAt) -> Finding {
    let RepoErrorAt { key, error } = at;
    let (code, effect) = match Kind::of(key, error) {
        Kind::Outcome => ("outcome.damaged", "the snapshot that it commits is hidden"),
        Kind::Plan => ("plan.damaged", "it hides no snapshot, but nothing can be backed up"),
        Kind::Verdict | Kind::Body => (
            "verdict.damaged",
            "what counts since the collection before may be hidden, and nothing can be backed up or \
             pruned",
        ),
        Kind::Stray => {
            ("register.stray", "it hides no snapshot, but nothing can be backed up or pruned")
        }
        Kind::Other => ("object.damaged", "what it adds is missing"),
    };
    let effect = format!("{effect}: {}", chain_words(error.as_ref()));
    with_remedy(Finding::loss(code, key.to_string(), effect), error)
}

/// What follows from damage of any object beside packs, after verdict `newest`.
pub(crate) fn object_finding(
    repository: &Repository,
    key: &ObjectKey,
    error: &RepoError,
    newest: u64,
) -> Result<Finding, RepoError> {
    let why = chain_words(error);
    let is_over = match layout::parse_gc_key(key) {
        Ok((number, GcObject::Plan | GcObject::Done)) => number <= newest,
        // The one after it names its body.
        Ok((number, GcObject::Verdict)) => number < newest,
        Ok((_, GcObject::Body(_))) | Err(_) => false,
    };
    if is_over {
        let effect = format!("nothing needs it any more: {why}");
        return Ok(Finding::notice("register.damaged", key.to_string(), effect));
    }
    if let Ok((number, GcObject::Body(digest))) = layout::parse_gc_key(key)
        && !names_body(repository, number, digest)?
    {
        let effect = format!("no register that can be read names it: {why}");
        return Ok(Finding::notice("body.damaged", key.to_string(), effect));
    }
    let effect = format!("it cannot be relied on: {why}");
    let finding = Finding::loss("object.damaged", key.to_string(), effect);
    Ok(match Kind::of(key, error) {
        Kind::Other if has_wrong_key(error) => {
            let remedy = "no command reads it; it may be of a newer version of sbf-repo".to_owned();
            Finding { remedy, ..finding }
        }
        // Those that are needed were read before.
        Kind::Body | Kind::Other => finding,
        Kind::Outcome | Kind::Plan | Kind::Verdict | Kind::Stray => with_remedy(finding, error),
    })
}

/// What can be done about a damaged object that decides what is valid or what is deleted.
pub(crate) fn remedy_of(error: &RepoError) -> Option<String> {
    if let RepoError::PlanUnreadable { .. } = error {
        return Some(PLAN_REMEDY.to_owned());
    }
    if let RepoError::Generation { .. } = error {
        return Some(GENERATION_REMEDY.to_owned());
    }
    let key = ObjectKey::new(error.object()?).ok()?;
    let give_up = format!("`sbf-repo prune --give-up {key}`");
    match Kind::of(&key, error) {
        Kind::Outcome if matches!(error, RepoError::Lapsed { .. }) => Some(format!(
            "find out who stored it; {give_up} goes on without the snapshot that it commits, and keeps \
             what others need of it"
        )),
        Kind::Outcome => Some(format!(
            "put it back from a copy of the repository, or read it with a newer version of sbf-repo; \
             without either, {give_up} goes on without the snapshot that it may commit"
        )),
        Kind::Plan => Some(PLAN_REMEDY.to_owned()),
        Kind::Verdict => Some(format!(
            "put it back from a copy of the repository; without one, {give_up} goes by the body of \
             the verdict, if there is only one"
        )),
        Kind::Body => Some(
            "put it back from a copy of the repository; without one, restore what `sbf-repo snapshots` \
             shows, and begin a new repository"
                .to_owned(),
        ),
        Kind::Stray => {
            Some(format!("{give_up} removes it, unless something shows that a collection left it"))
        }
        Kind::Other => None,
    }
}

fn has_wrong_key(error: &RepoError) -> bool {
    matches!(error, RepoError::Decode { source, .. } if source.rule == Rule::ObjectKey)
}

fn with_remedy(finding: Finding, error: &RepoError) -> Finding {
    let remedy = remedy_of(error).unwrap_or_else(|| finding.remedy.clone());
    Finding { remedy, ..finding }
}

/// What an object is, as far as its damage matters here.
enum Kind {
    Outcome,
    Plan,
    Verdict,
    /// A register that no collection can have left.
    Stray,
    Body,
    Other,
}

impl Kind {
    fn of(key: &ObjectKey, error: &RepoError) -> Self {
        if matches!(error, RepoError::StrayRegister { .. }) {
            return Self::Stray;
        }
        if SessionRef::parse_outcome(key).is_ok() {
            return Self::Outcome;
        }
        match layout::parse_gc_key(key) {
            Ok((_, GcObject::Plan)) => Self::Plan,
            Ok((_, GcObject::Verdict)) => Self::Verdict,
            Ok((_, GcObject::Body(_))) => Self::Body,
            Ok((_, GcObject::Done)) | Err(_) => Self::Other,
        }
    }
}

const GENERATION_REMEDY: &str =
    "nothing is damaged: the key in use was left out of a `key rotate`; use another one";
const PLAN_REMEDY: &str =
    "run `sbf-repo prune`, which ends that collection and deletes no packs in it";

/// A commit that another one saw and that nothing explains.
pub(crate) fn missing_finding(missing: &MissingCommit) -> Finding {
    let MissingCommit { head, named_by } = missing;
    let object = format!("{}/{}/…/{}", layout::OUTCOMES, named_by.client, head.session);
    let effect =
        format!("its snapshot is missing: session {} saw that it was committed", named_by.session);
    Finding::loss("outcome.missing", object, effect)
}

/// What this host has seen and does not find, as a finding; whoever only reads is warned.
pub(crate) fn rollback_finding(back: &WentBack) -> Finding {
    let finding = Finding::loss(back.code(), "repository".to_owned(), back.words("it"));
    Finding { remedy: ROLLBACK_REMEDY.to_owned(), ..finding }
}

const ROLLBACK_REMEDY: &str = "find out who put an older state back or removed objects; if that was on \
     purpose, run a command with `--accept-rollback`";
