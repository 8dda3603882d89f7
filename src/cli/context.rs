//! What every command works with: its options, its output, and the way to the repository.

use crate::cli::arguments::GlobalArguments;
use crate::cli::arguments::TargetSecretArguments;
use crate::cli::audit::Audit;
use crate::cli::audit::Recorded;
use crate::cli::configuration::Configuration;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::output::Output;
use crate::cli::progress::TerminalProgress;
use crate::cli::secrets;
use crate::cli::secrets::SecretSource;
use crate::cli::sourced::Sourced;
use crate::cli::stop::Stop;
use crate::cli::words;
use crate::ops::audit::accept;
use crate::ops::copies::Copies;
use crate::ops::copies::CopyUse;
use crate::ops::copies::Reliance;
use crate::ops::copies::WithCopies;
use crate::ops::copies::open_with_copies;
use crate::ops::location;
use crate::ops::location::Location;
use crate::ops::location::OpenOptions;
use crate::ops::mirror;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::ops::snapshot::options::DeltaCache;
use crate::repo::environment::Environment as _;
use crate::repo::environment::SystemEnvironment;
use crate::repo::repository::Rates;
use crate::repo::repository::Repository;
use crate::repo::slots::Credential;
use crate::settings::At;
use crate::settings::cache::DumpKeeping;
use crate::settings::copy::CopyMode;
use crate::settings::copy::CopySection;
use crate::settings::quantities;
use crate::settings::secret::Secret;
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
    /// What asks the command to stop.
    pub(crate) stop: Stop,
    /// What the audit log is told.
    pub(crate) audit: Audit,
    started: Instant,
    /// What was opened, to say at the end what that took.
    opened: OnceCell<Repository>,
    configuration: OnceCell<Configuration>,
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
        let (started, audit) = (Instant::now(), Audit::new(recorded));
        let (opened, configuration) = (OnceCell::new(), OnceCell::new());
        Self { global, output, progress, stop, audit, started, opened, configuration }
    }

    /// What the configuration file says.
    ///
    /// Errors: whatever is wrong with it.
    pub(crate) fn configuration(&self) -> Result<&Configuration, Failure> {
        if let Some(configuration) = self.configuration.get() {
            return Ok(configuration);
        }
        let loaded = Configuration::load(self.global.config.as_deref())?;
        crate::command::hide(crate::cli::notify::hidden_variables(&loaded));
        Ok(self.configuration.get_or_init(|| loaded))
    }

    /// What opens the repository, looked up.
    pub(crate) fn secret(&self) -> Result<SecretSource, Failure> {
        SecretSource::find(&self.global, self.configuration()?)?.value.looked_up()
    }

    /// Opens the repository.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        let options = self.open_options()?;
        let credential = secrets::credential(&self.secret()?)?;
        self.open_as(&options, &credential)
    }

    /// Opens the repository in this place with this key, whatever else is named.
    pub(crate) fn open_as(
        &self,
        options: &OpenOptions,
        credential: &Credential,
    ) -> Result<Repository, Failure> {
        let repository = self.with_authority(location::open(options, credential)?)?;
        self.tell_lag(&repository);
        self.opened.get_or_init(|| repository.clone());
        let repository = self.audit.opened(&self.global, &self.output, repository)?;
        self.tell_back(&repository)?;
        Ok(repository)
    }

    /// Opens the repository, to record something in it; says nothing, and the audit log is told nothing.
    pub(crate) fn open_quietly(&self) -> Result<Repository, Failure> {
        let credential = secrets::credential(&self.secret()?)?;
        Ok(location::open(&self.open_options()?, &credential)?)
    }

    /// Warns whoever only reads of a repository that went back; whoever writes is refused by what writes.
    fn tell_back(&self, repository: &Repository) -> Result<(), Failure> {
        if self.audit.writes() || self.global.at_verdict.is_some() {
            return Ok(());
        }
        if let Some(finding) = accept::warning(repository)? {
            self.output.warn_back(finding);
        }
        Ok(())
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
    pub(crate) fn open_with_copies(&self, named: &[String]) -> Result<WithCopies, Failure> {
        let copies = self.copies(named)?;
        self.open_beside(&copies)
    }

    /// As [`Self::open_with_copies`], with these copies.
    pub(crate) fn open_beside(&self, copies: &Copies) -> Result<WithCopies, Failure> {
        if copies.places.is_empty() {
            return Ok(WithCopies::alone(self.open()?));
        }
        let credential = secrets::credential(&self.secret()?)?;
        let mut opened = open_with_copies(&self.open_options()?, copies, &credential)?;
        for warning in &opened.warnings {
            self.output.warn(warning);
        }
        self.tell_lag(&opened.repository);
        self.opened.get_or_init(|| opened.repository.clone());
        let repository = opened.repository.clone();
        opened.repository = self.audit.opened(&self.global, &self.output, repository)?;
        self.tell_back(&opened.repository)?;
        Ok(opened)
    }

    /// The copies that are named, or else the mirrors that the configuration file has of the
    /// repository that it names.
    pub(crate) fn copies(&self, named: &[String]) -> Result<Copies, Failure> {
        if !named.is_empty() {
            let options = |text: &String| self.options_for(self.mirror_place(text)?);
            let places: Result<_, Failure> = named.iter().map(options).collect();
            return Ok(Copies::new(places?, Reliance::Asked));
        }
        let settings = &self.configuration()?.settings;
        let location = self.location()?.value;
        let is_theirs = settings.repository.url.as_ref().is_some_and(|url| url.value == location);
        let mut places = Vec::new();
        for copy in &settings.copies {
            if is_theirs && !self.global.first_version && copy.mode.value == CopyMode::Mirror {
                places.push(self.options_for(copy.url.value.parse()?)?);
            }
        }
        Ok(Copies::new(places, Reliance::Standby))
    }

    /// Where a mirror is that is named by its location, or as the configuration file does.
    pub(crate) fn mirror_place(&self, text: &str) -> Result<Location, Failure> {
        match self.copy_named(text)? {
            Some(copy) if copy.mode.value == CopyMode::Snapshots => {
                let why = format!(
                    "the copy `{text}` is a repository of its own (`mode = \"snapshots\"`), and no mirror"
                );
                Err(Failure::usage(why).with_hint(
                    "`sbf-repo copy --to` copies snapshots to it, and `--repo` with its location \
                     reads from it",
                ))
            }
            Some(copy) => Ok(copy.url.value.parse()?),
            None => Ok(text.parse()?),
        }
    }

    /// The copy of the configuration file that has this name.
    pub(crate) fn copy_named(&self, text: &str) -> Result<Option<&CopySection>, Failure> {
        Ok(self.configuration()?.settings.copy(text))
    }

    /// Reads from a repository with copies, and says how much those gave, however it ends.
    pub(crate) fn reading<T>(
        &self,
        opened: &WithCopies,
        read: impl FnOnce(&Repository) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ended = read(&opened.repository);
        self.progress.end();
        self.tell_help(opened);
        ended
    }

    /// Says how much the copies of a repository gave.
    pub(crate) fn tell_help(&self, opened: &WithCopies) {
        for note in opened.notes() {
            self.output.warn(&note);
        }
        let computed = opened.repository.computed_packs();
        if computed > 0 {
            let packs = words::count(computed, "damaged pack");
            self.output.warn(&format!(
                "{packs} had to be computed from parity: run `sbf-repo check --read-data --heal`"
            ));
        }
        for CopyUse { location, reads, .. } in opened.used() {
            let count = if reads == 1 {
                "one read was served".to_owned()
            } else {
                format!("{reads} reads were served")
            };
            self.output.warn(&format!(
                "{count} by the copy in {location}: run `sbf-repo check --read-data` on the repository"
            ));
        }
    }

    /// Opens the repository that is copied to; `of_file` opens it if nothing else is named.
    pub(crate) fn open_target(
        &self,
        location: Location,
        secret: &TargetSecretArguments,
        of_file: Option<&At<Secret>>,
    ) -> Result<Repository, Failure> {
        let source = SecretSource::find_for_target(secret, of_file, self.configuration()?)?.value;
        let credential = secrets::target_credential(&source);
        let credential = credential.map_err(|failure| failure.with_key_hint(TARGET_KEY_HINT))?;
        let opened = location::open(&self.options_for(location)?, &credential);
        let opened = opened.map_err(|error| Failure::from(error).with_key_hint(TARGET_KEY_HINT))?;
        self.audit.opened_target(&self.global, opened)
    }

    /// The copies that the configuration file has of the repository that it names, if that is the one in use.
    pub(crate) fn copies_of_this(&self) -> Result<&[CopySection], Failure> {
        let settings = &self.configuration()?.settings;
        let location = self.location()?.value;
        let is_theirs = settings.repository.url.as_ref().is_some_and(|url| url.value == location);
        Ok(if is_theirs { &settings.copies } else { &[] })
    }

    /// Opens a copy of the configuration file, to look at it.
    pub(crate) fn open_copy(&self, copy: &CopySection) -> Result<Repository, Failure> {
        let options = self.options_for(copy.url.value.parse()?)?;
        let credential = match copy.mode.value {
            CopyMode::Mirror => secrets::credential(&self.secret()?)?,
            CopyMode::Snapshots => {
                let (target, of_file) = (TargetSecretArguments::default(), copy.secret.as_ref());
                let source =
                    SecretSource::find_for_target(&target, of_file, self.configuration()?)?;
                secrets::target_credential(&source.value)?
            }
        };
        Ok(location::open(&options, &credential)?)
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
        let location: Location = self.location()?.value.parse()?;
        let location =
            if self.global.first_version { location.of_first_versions()? } else { location };
        let mut options = self.options_for(location)?;
        options.at_verdict = self.global.at_verdict;
        Ok(options)
    }

    /// What a repository at this place is opened with.
    pub(crate) fn options_for(&self, location: Location) -> Result<OpenOptions, Failure> {
        let mut options = OpenOptions::new(location, Arc::new(SystemEnvironment::new()));
        options = options.with_rates(Rates {
            upload_bytes_per_second: self.global.limit_upload,
            download_bytes_per_second: self.global.limit_download,
        });
        if let Some(cache) = self.cache_directory()? {
            options = options.with_cache(cache.value);
            options = options.with_cache_bytes_max(self.cache_bytes_max()?.value);
        }
        if let Some(state) = environment::state_directory() {
            options = options.with_state(state);
        }
        #[cfg(feature = "cloud")]
        {
            options.cloud.variables = environment::cloud_variables();
            options.cloud.home = environment::path("HOME");
        }
        Ok(options)
    }

    /// Where the disposable cache is, unless none is wanted.
    pub(crate) fn cache_directory(&self) -> Result<Option<Sourced<PathBuf>>, Failure> {
        if self.global.no_cache {
            return Ok(None);
        }
        if let Some(path) = &self.global.cache_dir {
            return Ok(Some(Sourced::option("--cache-dir", path.clone())));
        }
        if let Some(path) = environment::path(CACHE_DIR) {
            return Ok(Some(Sourced::variable(CACHE_DIR, path)));
        }
        let configuration = self.configuration()?;
        if let Some(at) = &configuration.settings.cache.directory {
            return Ok(Some(configuration.sourced(at)));
        }
        Ok(environment::cache_directory().map(Sourced::default))
    }

    /// How many bytes the cache keeps of each repository, index runs not counted.
    pub(crate) fn cache_bytes_max(&self) -> Result<Sourced<u64>, Failure> {
        if let Some(bytes) = self.global.cache_size {
            return Ok(Sourced::option("--cache-size", bytes));
        }
        if let Some(text) = environment::variable(CACHE_SIZE) {
            let bytes = quantities::bytes(&text.to_string_lossy());
            let bytes = bytes.map_err(|why| Failure::usage(format!("{CACHE_SIZE}: {why}")))?;
            return Ok(Sourced::variable(CACHE_SIZE, bytes));
        }
        let configuration = self.configuration()?;
        if let Some(at) = &configuration.settings.cache.bytes_max {
            return Ok(configuration.sourced(at));
        }
        Ok(Sourced::default(location::CACHE_BYTES_MAX))
    }

    /// Whether this host keeps dumps that its key cannot read.
    pub(crate) fn dump_keeping(&self) -> Result<Sourced<DumpKeeping>, Failure> {
        let configuration = self.configuration()?;
        let of_file = configuration.settings.cache.deltas.as_ref();
        Ok(of_file.map_or(Sourced::default(DumpKeeping::Off), |at| configuration.sourced(at)))
    }

    /// The same, for what makes snapshots.
    pub(crate) fn delta_cache(&self) -> Result<DeltaCache, Failure> {
        Ok(match self.dump_keeping()?.value {
            DumpKeeping::Off => DeltaCache::Off,
            DumpKeeping::Host => DeltaCache::Host,
        })
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

    /// Where the repository is, if that is known, for what this host remembers of it.
    pub(crate) fn place_word(&self) -> Option<String> {
        self.location_if_named().ok().flatten().map(|location| location.value)
    }

    /// Where the repository is, as it is written.
    pub(crate) fn location(&self) -> Result<Sourced<String>, Failure> {
        self.location_if_named()?.ok_or_else(|| {
            Failure::usage("no repository is named".to_owned()).with_hint(
                "name it with `--repo LOCATION`, SBF_REPO_REPOSITORY or a configuration file",
            )
        })
    }

    /// The same, if it is named anywhere.
    pub(crate) fn location_if_named(&self) -> Result<Option<Sourced<String>>, Failure> {
        if let Some(location) = &self.global.repo {
            return Ok(Some(Sourced::option("--repo", location.clone())));
        }
        let text = |words: std::ffi::OsString| {
            words.into_string().map_err(|_words| {
                Failure::usage("SBF_REPO_REPOSITORY is not valid UTF-8".to_owned())
            })
        };
        if let Some(location) = environment::variable("SBF_REPO_REPOSITORY") {
            let location = text(location)?;
            return Ok(Some(Sourced::variable("SBF_REPO_REPOSITORY", location)));
        }
        if let Some(file) = environment::path("SBF_REPO_REPOSITORY_FILE") {
            let read = std::fs::read_to_string(&file);
            let read = read.map_err(|source| Failure::local("read", &file, source))?;
            let location = read.trim().to_owned();
            return Ok(Some(Sourced::variable("SBF_REPO_REPOSITORY_FILE", location)));
        }
        let configuration = self.configuration()?;
        let of_file = configuration.settings.repository.url.as_ref();
        Ok(of_file.map(|at| configuration.sourced(at)))
    }
}

const TARGET_KEY_HINT: &str = "`--to-key-file`, `--to-password-file`, `--to-password-command` and \
     the SBF_REPO_TO_ variables choose the key of the repository that is copied to";
const CACHE_DIR: &str = "SBF_REPO_CACHE_DIR";
const CACHE_SIZE: &str = "SBF_REPO_CACHE_SIZE";
/// Hexadecimal digits of an id that are shown.
const ID_DIGITS: usize = 8;
