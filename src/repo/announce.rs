//! What the sessions of writers and of collections have in common: an announcement at the beginning,
//! and a register that decides them. Spec: format-spec/09-session.md.

use crate::crypto::hash::digest;
use crate::format::envelope::ObjectKind;
use crate::format::layout::SessionRef;
use crate::format::outcome::Fence;
use crate::format::outcome::FenceReason;
use crate::format::outcome::Outcome;
use crate::format::session::Announcement;
use crate::format::session::Purpose;
use crate::id::Digest;
use crate::repo::create::create;
use crate::repo::environment::ProcessName;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::register::Won;
use crate::repo::register::create_register;
use crate::repo::repository::Repository;

/// Stores the announcement of a session of this client (W1): durable before anything is read.
///
/// `source` is what it backs up, if anything.
pub(crate) fn announce(
    repository: &Repository,
    session: SessionRef,
    purpose: Purpose,
    source: &str,
) -> Result<(), RepoError> {
    let environment = repository.environment.as_ref();
    let key = session.announcement_key();
    let ProcessName { host, number } = environment.process();
    let body = Announcement {
        purpose,
        tool: TOOL.to_owned(),
        host: cut(&host),
        process: number,
        source: cut(source),
        started: environment.now().0,
        nonce: random(environment),
    };
    let bytes = objects::seal(
        ObjectKind::Session,
        &repository.keys,
        key.as_str(),
        &body.encode(),
        &repository.keys.signer,
        environment,
    )?;
    create(repository.store.as_ref(), &key, &bytes)
}

/// Decides the register of a session of this client, unless it is decided; the second value is
/// BLAKE3 of what was to be stored.
pub(crate) fn decide(
    repository: &Repository,
    session: SessionRef,
    outcome: &Outcome,
) -> Result<(Won, Digest), RepoError> {
    if let (Some(gate), Outcome::Commit(_)) = (&repository.gate, outcome) {
        gate.pass()?;
    }
    let key = session.outcome_key();
    let bytes = objects::seal(
        ObjectKind::Outcome,
        &repository.keys,
        key.as_str(),
        &outcome.encode(),
        &repository.keys.signer,
        repository.environment.as_ref(),
    )?;
    let won = create_register(repository.store.as_ref(), &key, &bytes)?;
    if matches!(won, Won::Mine) && repository.has_final_outcomes() {
        repository.keep(&key, &bytes);
    }
    Ok((won, digest(&bytes)))
}

/// Ends a session of this client without making anything valid, unless it is decided.
pub(crate) fn give_up(repository: &Repository, session: SessionRef) -> Result<Won, RepoError> {
    let nonce = random(repository.environment.as_ref());
    let fence = Outcome::Fence(Fence { reason: FenceReason::Own, nonce });
    decide(repository, session, &fence).map(|(won, _digest)| won)
}

/// Names that people choose must not make the announcement longer than it may be.
fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned()
}

const NAME_BYTES_MAX: usize = 255;
/// Name and version of this program in announcements and manifests.
pub(crate) const TOOL: &str = concat!("sbf-repo ", env!("CARGO_PKG_VERSION"));
