//! What every command works with: its options, its output, and the way to the repository.

use crate::cli::arguments::CopyArguments;
use crate::cli::arguments::GlobalArguments;
use crate::cli::arguments::TargetSecretArguments;
use crate::cli::audit::Audit;
use crate::cli::audit::Recorded;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::output::Output;
use crate::cli::progress::TerminalProgress;
use crate::cli::secrets;
use crate::cli::secrets::SecretSource;
use crate::cli::stop::Stop;
use crate::cli::words;
use crate::ops::copies::WithCopies;
use crate::ops::copies::open_with_copies;
use crate::ops::location;
use crate::ops::location::Location;
use crate::ops::location::OpenOptions;
use crate::ops::mirror;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::repo::environment::Environment as _;
use crate::repo::environment::SystemEnvironment;
use crate::repo::repository::Rates;
use crate::repo::repository::Repository;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// A running command's surroundings.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArguments,
    pub(crate) output: Arc<Output>,
    pub(crate) progress: TerminalProgress,
    /// What the audit log is told.
    pub(crate) audit: Audit,
    started: Instant,
    /// What was opened, to say at the end what that took.
    opened: OnceCell<Repository>,
}

impl Context {
    /// The surroundings that the arguments ask for.
    #[expect(clippy::disallowed_methods, reason = "the command line measures elapsed time")]
    pub(crate) fn new(global: GlobalArguments, stop: Stop, recorded: Option<Recorded>) -> Self {
        let form = if global.json { Form::Json } else { Form::Words };
        let loudness = match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        };
        let output = Arc::new(Output::new(form, loudness));
        let progress = TerminalProgress::new(Arc::clone(&output), stop);
        let (started, opened) = (Instant::now(), OnceCell::new());
        Self { global, output, progress, audit: Audit::new(recorded), started, opened }
    }

    /// Opens the repository.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        let options = self.open_options()?;
        let credential = secrets::credential(&SecretSource::find(&self.global)?)?;
        let repository = self.with_authority(location::open(&options, &credential)?)?;
        self.tell_lag(&repository);
        self.opened.get_or_init(|| repository.clone());
        self.audit.opened(&self.global, &self.output, repository)
    }

    /// The repository with the authority's key, if a file holds it.
    fn with_authority(&self, repository: Repository) -> Result<Repository, Failure> {
        match self.authority_file() {
            Some(path) => Ok(repository.with_authority(&secrets::read_authority_file(&path)?)?),
            None => Ok(repository),
        }
    }

    /// The file that holds the authority's key, or is to.
    pub(crate) fn authority_file(&self) -> Option<PathBuf> {
        let named = self.global.authority_file.clone();
        named.or_else(|| environment::path("SBF_REPO_AUTHORITY_FILE"))
    }

    /// The time, in seconds since 1970.
    pub(crate) fn now() -> i64 {
        SystemEnvironment::new().now().0
    }

    /// Opens the repository to read from it, and from copies what it does not give.
    pub(crate) fn open_with_copies(&self, copies: &CopyArguments) -> Result<WithCopies, Failure> {
        if copies.from_copy.is_empty() {
            return Ok(WithCopies::alone(self.open()?));
        }
        let credential = secrets::credential(&SecretSource::find(&self.global)?)?;
        let (own, copies) = (self.open_options()?, self.copy_options(copies)?);
        let mut opened = open_with_copies(&own, &copies, &credential)?;
        for warning in &opened.warnings {
            self.output.warn(warning);
        }
        self.tell_lag(&opened.repository);
        self.opened.get_or_init(|| opened.repository.clone());
        let repository = opened.repository.clone();
        opened.repository = self.audit.opened(&self.global, &self.output, repository)?;
        Ok(opened)
    }

    /// What the copies are opened with.
    pub(crate) fn copy_options(&self, copies: &CopyArguments) -> Result<Vec<OpenOptions>, Failure> {
        let options = |text: &String| Ok(self.options_for(text.parse()?));
        copies.from_copy.iter().map(options).collect()
    }

    /// Says how much the copies of a repository gave.
    pub(crate) fn tell_help(&self, opened: &WithCopies) {
        let count = opened.helped_count();
        if count > 0 {
            self.output.warn(&format!(
                "{} by a copy: run `sbf-repo check --read-data` on the repository",
                if count == 1 {
                    "one read was served".to_owned()
                } else {
                    format!("{count} reads were served")
                },
            ));
        }
    }

    /// Opens the repository that is copied to.
    pub(crate) fn open_target(
        &self,
        location: Location,
        secret: &TargetSecretArguments,
    ) -> Result<Repository, Failure> {
        let credential = secrets::target_credential(&SecretSource::find_for_target(secret)?);
        let credential = credential.map_err(|failure| failure.with_key_hint(TARGET_KEY_HINT))?;
        let opened = location::open(&self.options_for(location), &credential);
        let opened = opened.map_err(|error| Failure::from(error).with_key_hint(TARGET_KEY_HINT))?;
        self.audit.opened_target(&self.global, opened)
    }

    /// Records in the audit log how the command ended.
    pub(crate) fn end_audit(&self, result: &Result<Exit, Failure>) -> Option<Exit> {
        self.audit.end(&self.global, &self.output, result, self.elapsed())
    }

    /// Says, if everything is to be told, what was asked of a store over a network.
    pub(crate) fn tell_traffic(&self) {
        if let Some(repository) = self.opened.get() {
            self.tell_traffic_of(repository);
        }
    }

    /// The same of any repository.
    pub(crate) fn tell_traffic_of(&self, repository: &Repository) {
        let Some(traffic) = repository.traffic() else { return };
        self.output.detail(format_args!(
            "{} requests: {} creates, {} reads, {} listings, {} deletes; {} sent, {} received",
            traffic.requests,
            traffic.creates,
            traffic.reads,
            traffic.lists,
            traffic.deletes,
            crate::units::human_bytes(traffic.sent_bytes),
            crate::units::human_bytes(traffic.received_bytes),
        ));
    }

    /// Says, of a mirror, how far it is behind.
    fn tell_lag(&self, repository: &Repository) {
        let Some(lag) = mirror::lag(repository) else { return };
        let source = if lag.source.is_empty() { "a repository" } else { &lag.source };
        let behind = lag.behind_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        self.output.warn(&match (lag.shows, behind) {
            (Some(shows), Some(behind)) => format!(
                "this is a mirror of {source}: it shows what was there at {shows}, {} ago",
                words::duration(Duration::from_secs(behind)),
            ),
            _ => format!("this is a mirror of {source} that was never complete"),
        });
    }

    /// Finds the snapshot that a selector means.
    pub(crate) fn select(
        &self,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Selected, Failure> {
        let selected = selector.select(repository)?;
        self.output.warn_of(&selected.findings);
        self.audit.selected(selected.snapshot())?;
        let id = selected.snapshot().to_string();
        let time = &selected.manifest.predicate.times.data;
        self.output.detail(format_args!("snapshot {id} of {time}"));
        Ok(selected)
    }

    /// Where the repository is, and what it is opened with.
    pub(crate) fn open_options(&self) -> Result<OpenOptions, Failure> {
        let location: Location = self.location()?.parse()?;
        let location =
            if self.global.first_version { location.of_first_versions()? } else { location };
        Ok(self.options_for(location))
    }

    /// What a repository at this place is opened with.
    pub(crate) fn options_for(&self, location: Location) -> OpenOptions {
        let mut options = OpenOptions::new(location, Arc::new(SystemEnvironment::new()));
        options = options.with_rates(Rates {
            upload_bytes_per_second: self.global.limit_upload,
            download_bytes_per_second: self.global.limit_download,
        });
        if let Some(cache) = self.cache_directory() {
            options = options.with_cache(cache);
        }
        if let Some(state) = environment::state_directory() {
            options = options.with_state(state);
        }
        #[cfg(feature = "cloud")]
        {
            options.cloud.variables = environment::cloud_variables();
            options.cloud.home = environment::path("HOME");
        }
        options
    }

    /// Where the disposable cache is, unless none is wanted.
    pub(crate) fn cache_directory(&self) -> Option<PathBuf> {
        if self.global.no_cache {
            return None;
        }
        self.global.cache_dir.clone().or_else(environment::cache_directory)
    }

    /// How long the command has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// An id for people: short, unless everything is to be told.
    pub(crate) fn id(&self, full: &str) -> String {
        if self.output.loudness() == Loudness::Verbose {
            return full.to_owned();
        }
        full.chars().take(ID_DIGITS).collect()
    }

    fn location(&self) -> Result<String, Failure> {
        if let Some(location) = &self.global.repo {
            return Ok(location.clone());
        }
        let text = |words: std::ffi::OsString| {
            words.into_string().map_err(|_words| {
                Failure::usage("SBF_REPO_REPOSITORY is not valid UTF-8".to_owned())
            })
        };
        if let Some(location) = environment::variable("SBF_REPO_REPOSITORY") {
            return text(location);
        }
        if let Some(file) = environment::path("SBF_REPO_REPOSITORY_FILE") {
            let read = std::fs::read_to_string(&file);
            let read = read.map_err(|source| Failure::local("read", &file, source))?;
            return Ok(read.trim().to_owned());
        }
        Err(Failure::usage("no repository is named".to_owned())
            .with_hint("name it with `--repo LOCATION` or SBF_REPO_REPOSITORY"))
    }
}

const TARGET_KEY_HINT: &str = "`--to-key-file`, `--to-password-file`, `--to-password-command` and \
     the SBF_REPO_TO_ variables choose the key of the repository that is copied to";
/// Hexadecimal digits of an id that are shown.
const ID_DIGITS: usize = 8;
