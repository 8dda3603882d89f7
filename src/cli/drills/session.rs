//! The repositories of a drill: the one that is read, and the one that gets the record.

use crate::cli::context::Context;
use crate::cli::drills::kit;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::ops::location;
use crate::ops::location::Location;
use crate::ops::location::OpenOptions;
use crate::ops::snapshot::scratch::Scratch;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::settings::copy::CopyMode;
use std::path::Path;
use std::path::PathBuf;

/// What is opened for drills of one run.
#[derive(Debug)]
pub(crate) struct Session {
    /// It gets the records.
    pub(crate) main: Repository,
    /// It is read.
    pub(crate) data: Repository,
    /// The name of the copy that is read, if one is.
    pub(crate) copy: Option<String>,
    /// Whether cache and memory are empty ones, of a drill that uses nothing that this host kept.
    pub(crate) is_cold: bool,
}

impl Session {
    /// Opens what arguments and configuration name.
    pub(crate) fn open(
        context: &Context,
        from_copy: Option<&str>,
        kit: Option<&Path>,
    ) -> Result<Self, Failure> {
        if let Some(file) = kit {
            return Self::open_cold(context, from_copy, file);
        }
        let main = context.open()?;
        let data = match from_copy {
            Some(name) => context.open_copy(copy_named(context, name)?)?,
            None => main.clone(),
        };
        Ok(Self { main, data, copy: from_copy.map(str::to_owned), is_cold: false })
    }

    fn open_cold(context: &Context, from_copy: Option<&str>, file: &Path) -> Result<Self, Failure> {
        let kit = kit::read(file)?;
        let own = match context.global.repo.as_deref() {
            Some(location) => location.parse()?,
            None => own_of_kit(context, kit.location)?,
        };
        let scratch = Scratch::named(&scratch_parent(), PREFIX)?;
        let folder = scratch.path().to_owned();
        context.audit.keep_until_end(scratch);
        let cold = |name: &str, location: Location| -> Result<OpenOptions, Failure> {
            let options = context.options_for(location)?;
            let place = |what: &str| folder.join(format!("{name}-{what}"));
            Ok(options.with_cache(place("cache")).with_state(place("state")))
        };
        let credential = Credential::KeyFile(kit.key);
        let main = context.open_as(&cold("main", own)?, &credential)?;
        let data = match from_copy {
            Some(name) => {
                let copy = copy_named(context, name)?;
                if copy.mode.value == CopyMode::Snapshots {
                    let why = format!(
                        "the copy `{name}` is a repository of its own, which this kit does not open"
                    );
                    return Err(Failure::usage(why));
                }
                location::open(&cold("copy", copy.url.value.parse()?)?, &credential)?
            }
            None => main.clone(),
        };
        Ok(Self { main, data, copy: from_copy.map(str::to_owned), is_cold: true })
    }
}

/// Where the repository of a kit is, unless that is another one than this host has: a drill of that proves nothing of this.
fn own_of_kit(context: &Context, of_kit: Location) -> Result<Location, Failure> {
    let Some(named) = context.location_if_named()? else { return Ok(of_kit) };
    let own: Location = named.value.parse()?;
    if same_place(&own) == same_place(&of_kit) {
        return Ok(of_kit);
    }
    let why = format!("the kit is of a repository elsewhere than `{}`", named.value);
    Err(Failure::usage(why).with_hint(
        "take the kit of this repository, or name with `--repo` where that of the kit is",
    ))
}

/// The place without the ways to write a path.
fn same_place(location: &Location) -> Location {
    match location {
        Location::Local(path) => {
            Location::Local(std::fs::canonicalize(path).unwrap_or_else(|_error| path.clone()))
        }
        #[cfg(feature = "cloud")]
        Location::Cloud(_) => location.clone(),
    }
}

fn copy_named<'a>(
    context: &'a Context,
    name: &str,
) -> Result<&'a crate::settings::copy::CopySection, Failure> {
    context.copy_named(name)?.ok_or_else(|| {
        Failure::usage(format!("the configuration file has no copy `{name}`")).with_hint(
            "a drill reads from a copy alone, which is a [[copy]] of the configuration file",
        )
    })
}

/// Where there is room for what comes back, if nobody says so.
pub(crate) fn scratch_parent() -> PathBuf {
    environment::path("TMPDIR").unwrap_or_else(|| PathBuf::from("/var/tmp"))
}

const PREFIX: &str = "sbf-cold-";
