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
    /// An empty cache and memory, of a drill that uses nothing that this host kept.
    pub(crate) cold: Option<Scratch>,
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
        Ok(Self { main, data, copy: from_copy.map(str::to_owned), cold: None })
    }

    fn open_cold(context: &Context, from_copy: Option<&str>, file: &Path) -> Result<Self, Failure> {
        let kit = kit::read(file)?;
        let scratch = Scratch::named(&scratch_parent(), PREFIX)?;
        let own = match context.global.repo.as_deref() {
            Some(location) => location.parse()?,
            None => kit.location,
        };
        let cold = |name: &str, location: Location| -> Result<OpenOptions, Failure> {
            let options = context.options_for(location)?;
            let place = |what: &str| scratch.path().join(format!("{name}-{what}"));
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
        Ok(Self { main, data, copy: from_copy.map(str::to_owned), cold: Some(scratch) })
    }

    /// Forgets what a cold drill kept; returns why it stays.
    pub(crate) fn close(self) -> Option<Failure> {
        let Self { main, data, cold, .. } = self;
        drop((main, data));
        cold.and_then(|scratch| scratch.remove().err()).map(Failure::from)
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
