//! Other copies of a repository, from which is read what its own store does not give.

use crate::format::layout::PackRef;
use crate::key::ObjectKey;
use crate::ops::check::CheckReport;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Severity;
use crate::ops::finding::chain_words;
use crate::ops::location::OpenOptions;
use crate::ops::location::locate;
use crate::repo::copies::Helped;
use crate::repo::error::RepoError;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::repo::state::StateDirectory;
use serde::Serialize;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Copies of a repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Copies {
    /// Where they are; the first that has something gives it.
    pub places: Vec<OpenOptions>,
    /// When they are looked at.
    pub reliance: Reliance,
}

/// When a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reliance {
    /// At once: somebody asked for it.
    Asked,
    /// When the repository first fails to give something.
    Standby,
}

impl Copies {
    /// Copies in these places.
    pub fn new(places: Vec<OpenOptions>, reliance: Reliance) -> Self {
        Self { places, reliance }
    }
}

/// A repository with copies.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WithCopies {
    /// The repository; reading falls back to the copies.
    pub repository: Repository,
    /// Copies that cannot be used, and why; or the repository itself, if a copy stands for it.
    pub warnings: Vec<String>,
    /// The repository's own place, unless a copy stands for it.
    own: Option<Located>,
    helped: Vec<Helped>,
    notes: Notes,
}

/// What a copy gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyUse {
    /// Where it is.
    pub location: String,
    /// How often it gave what the repository's own store did not.
    pub reads: u64,
}

/// What came up about copies that were needed later.
type Notes = Arc<Mutex<Vec<String>>>;

impl WithCopies {
    /// A repository without copies.
    pub fn alone(repository: Repository) -> Self {
        let own = Some(repository.located());
        let (warnings, helped, notes) = (Vec::new(), Vec::new(), Notes::default());
        Self { repository, warnings, own, helped, notes }
    }

    /// The copies that gave what the repository's own store did not.
    pub fn used(&self) -> Vec<CopyUse> {
        let used =
            |helped: &Helped| CopyUse { location: helped.location.clone(), reads: helped.count() };
        self.helped.iter().map(used).filter(|used| used.reads > 0).collect()
    }

    /// Why copies that were needed could not be used.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The repository as its own store has it; `None` if a copy stands for it.
    pub fn own(&self) -> Option<Repository> {
        self.own.as_ref().map(|own| self.repository.alone_at(own))
    }
}

/// Opens a repository to read from it, and from copies what it does not give.
///
/// If the repository itself cannot be found, the first copy that can stands for it.
/// Errors: that of the repository if no copy opens either; a copy of another repository that was
/// asked for.
pub fn open_with_copies(
    options: &OpenOptions,
    copies: &Copies,
    credential: &Credential,
) -> Result<WithCopies, OpError> {
    if copies.reliance == Reliance::Standby {
        match open_with_standby(options, &copies.places, credential) {
            Err(error) if may_be_elsewhere(&error) => {}
            opened => return opened,
        }
    }
    let mut warnings = Vec::new();
    let mut first_error = None;
    let mut places: Vec<(usize, Located)> = Vec::new();
    for (number, place) in std::iter::once(options).chain(&copies.places).enumerate() {
        match locate(place) {
            Ok(located) => places.push((number, located)),
            Err(error) => {
                warnings.push(unusable(&place.location.to_string(), &error));
                first_error = first_error.or((number == 0).then_some(error));
            }
        }
    }
    for at in 0..places.len() {
        let ((number, first), rest) = (&places[at], places.get(at + 1..).unwrap_or_default());
        let helped: Vec<Helped> =
            rest.iter().map(|(_number, copy)| Helped::new(copy.store().location())).collect();
        let stores = rest.iter().zip(&helped).map(|((_, copy), helped)| helped.counting(copy));
        let whole = first.joined_with_copies(stores.collect());
        match open_at(&whole, options, credential) {
            Ok(repository) => {
                for (_number, copy) in rest {
                    match copy.check_same(first) {
                        Err(error @ RepoError::Mirror { .. }) => {
                            return Err(error).during("cannot use a copy");
                        }
                        Err(error) => warnings.push(unusable(&copy.store().location(), &error)),
                        Ok(()) => {}
                    }
                }
                let own = (*number == 0).then(|| first.clone());
                let notes = Notes::default();
                return Ok(WithCopies { repository, warnings, own, helped, notes });
            }
            Err(error) => {
                warnings.push(unusable(&first.store().location(), &error));
                first_error = first_error.or(Some(error));
            }
        }
    }
    Err(first_error.unwrap_or_else(|| OpError::Usage { why: "no place is named".to_owned() }))
}

/// Opens a repository whose copies are looked for when they are needed.
fn open_with_standby(
    options: &OpenOptions,
    copies: &[OpenOptions],
    credential: &Credential,
) -> Result<WithCopies, OpError> {
    let own = locate(options)?;
    let notes = Notes::default();
    let mut helped = Vec::new();
    let mut stores = Vec::new();
    for copy in copies {
        let counter = Helped::new(copy.location.to_string());
        let (copy, own, notes) = (copy.clone(), own.clone(), Arc::clone(&notes));
        stores.push(counter.counting_on_demand(move || find_copy(&copy, &own, &notes)));
        helped.push(counter);
    }
    let whole = own.with_copies(stores);
    let repository = open_at(&whole, options, credential)?;
    Ok(WithCopies { repository, warnings: Vec::new(), own: Some(own), helped, notes })
}

/// Finds a copy that is needed; notes why if it cannot be used.
fn find_copy(copy: &OpenOptions, own: &Located, notes: &Notes) -> Option<Located> {
    let error = match usable(copy, own) {
        Ok(located) => return Some(located),
        Err(error) => error,
    };
    let note = unusable(&copy.location.to_string(), &error);
    notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    None
}

fn open_at(
    place: &Located,
    options: &OpenOptions,
    credential: &Credential,
) -> Result<Repository, OpError> {
    let cache = options.cache_directory();
    let state = options.state.clone().map(StateDirectory::new);
    let opened = place.open(credential, cache, state).during("cannot open the repository")?;
    Ok(opened.at(options.at_verdict))
}

/// Whether a copy may have what keeps a repository from being opened. A wrong passphrase is wrong
/// there, too.
fn may_be_elsewhere(error: &OpError) -> bool {
    matches!(error, OpError::Repo { source, .. } if !matches!(source.as_ref(), RepoError::WrongKey { .. }))
}

fn unusable(location: &str, error: &dyn std::error::Error) -> String {
    format!("{location} cannot be used: {}", chain_words(error))
}

/// Says of every damaged or missing pack of a check whether a copy has it whole; returns how many.
///
/// Errors: a copy of another repository.
pub fn name_copies(
    repository: &Repository,
    report: &mut CheckReport,
    copies: &[OpenOptions],
) -> Result<u64, OpError> {
    let places = match located_copies(repository, copies) {
        Err(error) if !is_of_another(&error) => return Ok(0),
        places => places?,
    };
    let mut healable = 0;
    for finding in &mut report.findings {
        if finding.severity != Severity::Loss {
            continue;
        }
        let key = ObjectKey::new(finding.object.as_str()).ok();
        let Some(pack) = key.and_then(|key| PackRef::parse(&key).ok()) else { continue };
        let whole = places.iter().find(|located| located.whole_pack(&pack).is_some());
        if let Some(name) = whole.map(|located| located.store().location()) {
            healable += 1;
            finding.effect = format!("{}; the copy in {name} has it whole", finding.effect);
            HEAL_REMEDY.clone_into(&mut finding.remedy);
        }
    }
    Ok(healable)
}

/// The copies that can be used.
///
/// Errors: one of another repository; why the first cannot be used if none can.
pub(crate) fn located_copies(
    repository: &Repository,
    copies: &[OpenOptions],
) -> Result<Vec<Located>, OpError> {
    let mut places = Vec::new();
    let mut first_error = None;
    for copy in copies {
        match usable(copy, &repository.located()) {
            Ok(located) => places.push(located),
            Err(error) if is_of_another(&error) => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if places.is_empty() => Err(error),
        Some(_) | None => Ok(places),
    }
}

/// Finds a copy of the repository in `own`.
fn usable(copy: &OpenOptions, own: &Located) -> Result<Located, OpError> {
    let located = locate(copy)?;
    located.check_same(own).during("cannot use a copy")?;
    Ok(located)
}

fn is_of_another(error: &OpError) -> bool {
    matches!(error, OpError::Repo { source, .. } if matches!(source.as_ref(), RepoError::Mirror { .. }))
}

const HEAL_REMEDY: &str = "run `sbf-repo check --read-data --heal-from LOCATION` with the copy, \
     which stores again what was lost; until then, read with `--from-copy`";
