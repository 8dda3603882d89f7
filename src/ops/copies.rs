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
use crate::repo::cache::CacheDirectory;
use crate::repo::copies::Helped;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::repo::state::StateDirectory;

/// A repository with copies.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WithCopies {
    /// The repository; reading falls back to the copies.
    pub repository: Repository,
    /// Copies that cannot be used, and why; or the repository itself, if a copy stands for it.
    pub warnings: Vec<String>,
    helped: Helped,
}

impl WithCopies {
    /// A repository without copies.
    pub fn alone(repository: Repository) -> Self {
        Self { repository, warnings: Vec::new(), helped: Helped::default() }
    }

    /// How often a copy gave what the repository's own store did not.
    pub fn helped_count(&self) -> u64 {
        self.helped.count()
    }
}

/// Opens a repository to read from it, and from `copies` what it does not give.
///
/// If the repository itself cannot be found, the first copy that can stands for it.
/// Errors: that of the repository if no copy opens either; a copy of another repository.
pub fn open_with_copies(
    options: &OpenOptions,
    copies: &[OpenOptions],
    credential: &Credential,
) -> Result<WithCopies, OpError> {
    let mut warnings = Vec::new();
    let mut places: Vec<Located> = Vec::new();
    let mut first_error = None;
    for (number, place) in std::iter::once(options).chain(copies).enumerate() {
        match locate(place) {
            Ok(located) => places.push(located),
            Err(error) => {
                warnings.push(format!(
                    "{} cannot be used: {}",
                    place.location,
                    chain_words(&error)
                ));
                if number == 0 {
                    first_error = Some(error);
                }
            }
        }
    }
    let helped = Helped::default();
    for number in 0..places.len() {
        let (first, rest) = (&places[number], places.get(number + 1..).unwrap_or_default());
        let cache = options.cache.clone().map(CacheDirectory::new);
        let state = options.state.clone().map(StateDirectory::new);
        let opened = first.with_copies(rest, &helped).open(credential, cache, state);
        match opened.during("cannot open the repository") {
            Ok(repository) => {
                for copy in rest {
                    if let Err(error) = copy.check_same(&repository) {
                        if matches!(error, crate::RepoError::Mirror { .. }) {
                            return Err(error).during("cannot use a copy");
                        }
                        warnings.push(format!(
                            "{} cannot be used: {}",
                            copy.store().location(),
                            chain_words(&error)
                        ));
                    }
                }
                return Ok(WithCopies { repository, warnings, helped });
            }
            Err(error) => {
                warnings.push(format!(
                    "{} cannot be used: {}",
                    first.store().location(),
                    chain_words(&error)
                ));
                first_error = first_error.or(Some(error));
            }
        }
    }
    Err(first_error.unwrap_or_else(|| OpError::Usage { why: "no place is named".to_owned() }))
}

/// Says of every damaged or missing pack of a check whether a copy has it whole; returns how many.
pub fn name_copies(
    repository: &Repository,
    report: &mut CheckReport,
    copies: &[OpenOptions],
) -> Result<u64, OpError> {
    let mut places = Vec::new();
    for copy in copies {
        let located = locate(copy)?;
        located.check_same(repository).during("cannot use a copy")?;
        places.push((located, copy.location.to_string()));
    }
    let mut healable = 0;
    for finding in &mut report.findings {
        if finding.severity != Severity::Loss {
            continue;
        }
        let key = ObjectKey::new(finding.object.as_str()).ok();
        let Some(pack) = key.and_then(|key| PackRef::parse(&key).ok()) else { continue };
        let whole = places.iter().find(|(located, _name)| located.has_whole(&pack));
        if let Some((_located, name)) = whole {
            healable += 1;
            finding.effect = format!("{}; the copy in {name} has it whole", finding.effect);
            HEAL_REMEDY.clone_into(&mut finding.remedy);
        }
    }
    Ok(healable)
}

const HEAL_REMEDY: &str = "read with `--from-copy`, and put the object back from the copy: it has \
     the same name there";
