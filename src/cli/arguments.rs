//! The arguments of the program and of every command.

use crate::cli::commands::alert::AlertArguments;
use crate::cli::commands::audit::AuditArguments;
use crate::cli::commands::cache::CacheArguments;
use crate::cli::commands::check::CheckArguments;
use crate::cli::commands::completions::CompletionsArguments;
use crate::cli::commands::config::ConfigArguments;
use crate::cli::commands::controls::ControlsArguments;
use crate::cli::commands::copy::CopyCommandArguments;
use crate::cli::commands::diff::DiffArguments;
use crate::cli::commands::doctor::DoctorArguments;
use crate::cli::commands::drill::DrillArguments;
use crate::cli::commands::dump::DumpArguments;
use crate::cli::commands::erasure::ErasureArguments;
use crate::cli::commands::evidence::EvidenceArguments;
use crate::cli::commands::find::FindArguments;
use crate::cli::commands::forget::ForgetArguments;
use crate::cli::commands::hold::HoldArguments;
use crate::cli::commands::hold::ReleaseArguments;
use crate::cli::commands::import::ImportArguments;
use crate::cli::commands::incident::IncidentArguments;
use crate::cli::commands::init::InitArguments;
use crate::cli::commands::key::KeyArguments;
use crate::cli::commands::ls::LsArguments;
use crate::cli::commands::man::ManArguments;
use crate::cli::commands::manifest::ManifestArguments;
use crate::cli::commands::mirror::MirrorArguments;
#[cfg(feature = "mount")]
use crate::cli::commands::mount::MountArguments;
use crate::cli::commands::prune::PruneArguments;
use crate::cli::commands::repair::RepairArguments;
use crate::cli::commands::report::ReportArguments;
use crate::cli::commands::restore::RestoreArguments;
use crate::cli::commands::retention::RetentionArguments;
use crate::cli::commands::rewrite::RewriteArguments;
use crate::cli::commands::run::RunArguments;
use crate::cli::commands::schedule::ScheduleArguments;
#[cfg(feature = "serve")]
use crate::cli::commands::serve::ServeArguments;
use crate::cli::commands::session::SessionArguments;
use crate::cli::commands::snapshot::SnapshotArguments;
use crate::cli::commands::snapshots::SnapshotsArguments;
use crate::cli::commands::status::StatusArguments;
use crate::cli::commands::tag::NoteArguments;
use crate::cli::commands::tag::TagArguments;
use crate::settings::quantities;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use std::path::PathBuf;

/// A deduplicating, encrypted backup repository
#[derive(Debug, Parser)]
#[command(name = "sbf-repo", version, max_term_width = 100, after_long_help = ENVIRONMENT_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct GlobalArguments {
    /// The repository: a directory, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…`
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub(crate) repo: Option<String>,
    /// Read the configuration from this file; see `sbf-repo config --help`
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Open the repository with this key file
    #[arg(long, global = true, value_name = "FILE", group = "secret")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the passphrase from this file, without its last line break
    #[arg(long, global = true, value_name = "FILE", group = "secret")]
    pub(crate) password_file: Option<PathBuf>,
    /// Take the passphrase from the output of this shell command
    #[arg(long, global = true, value_name = "COMMAND", group = "secret")]
    pub(crate) password_command: Option<String>,
    /// Take the authority key from this file, if the slot does without it; `init` creates the file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authority_file: Option<PathBuf>,
    /// Print one JSON object, also on failure
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing when all goes well
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell each phase, and write ids in full
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Read of every object in the bucket the first version, whatever was overwritten or deleted later
    #[arg(long, global = true)]
    pub(crate) first_version: bool,
    /// Read the repository as it was before the collection after verdict N, whatever was forgotten
    /// or removed since
    #[arg(long, global = true, value_name = "N")]
    pub(crate) at_verdict: Option<u64>,
    /// Send at most so much a second: KiB, or with a unit, as `10M`
    #[arg(long, global = true, value_name = "RATE", value_parser = quantities::rate)]
    pub(crate) limit_upload: Option<u64>,
    /// Receive at most so much a second: KiB, or with a unit
    #[arg(long, global = true, value_name = "RATE", value_parser = quantities::rate)]
    pub(crate) limit_download: Option<u64>,
    /// Why, for the audit log and for whoever asks later
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Where it was asked for, for the audit log
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) ticket: Option<String>,
    /// Go on only if the audit log of the repository takes the record of this run
    #[arg(long, global = true)]
    pub(crate) require_audit: bool,
    /// Accept that the repository went back to an older state; the audit log is told
    #[arg(long, global = true)]
    pub(crate) accept_rollback: bool,
    /// Keep the disposable cache in this directory
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Keep at most so much of each repository in a bucket, the index not counted [default: 2.1GiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = quantities::bytes)]
    pub(crate) cache_size: Option<u64>,
    /// Use no cache
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub(crate) no_cache: bool,
}

/// Where else a repository is.
#[derive(Debug, Clone, Args)]
pub(crate) struct CopyArguments {
    /// Read from this mirror of the repository what the repository itself does not give, be it
    /// missing, damaged or out of reach; a location, or a name of the configuration file, whose
    /// mirrors help out without being named; may be repeated
    #[arg(long, value_name = "COPY")]
    pub(crate) from_copy: Vec<String>,
}

/// What opens the repository that is copied to.
#[expect(clippy::struct_field_names, reason = "the names of the options begin so")]
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TargetSecretArguments {
    /// Open the repository that is copied to with this key file
    #[arg(long, value_name = "FILE", group = "target_secret")]
    pub(crate) to_key_file: Option<PathBuf>,
    /// Read the passphrase of the repository that is copied to from this file
    #[arg(long, value_name = "FILE", group = "target_secret")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Take the passphrase of the repository that is copied to from this shell command
    #[arg(long, value_name = "COMMAND", group = "target_secret")]
    pub(crate) to_password_command: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArguments),
    Snapshot(SnapshotArguments),
    Import(ImportArguments),
    Snapshots(SnapshotsArguments),
    Ls(LsArguments),
    Find(FindArguments),
    Diff(DiffArguments),
    Restore(RestoreArguments),
    Dump(DumpArguments),
    #[cfg(feature = "mount")]
    Mount(MountArguments),
    #[cfg(feature = "serve")]
    Serve(ServeArguments),
    Forget(ForgetArguments),
    Rewrite(RewriteArguments),
    Tag(TagArguments),
    Note(NoteArguments),
    Hold(HoldArguments),
    Release(ReleaseArguments),
    Erasure(ErasureArguments),
    Incident(IncidentArguments),
    /// Show what is stored, and how much room it takes
    Stats,
    Status(StatusArguments),
    Controls(ControlsArguments),
    Retention(RetentionArguments),
    Check(CheckArguments),
    Repair(RepairArguments),
    Prune(PruneArguments),
    Copy(CopyCommandArguments),
    Mirror(MirrorArguments),
    Session(SessionArguments),
    Manifest(ManifestArguments),
    Evidence(EvidenceArguments),
    Report(ReportArguments),
    Audit(AuditArguments),
    Doctor(DoctorArguments),
    Drill(DrillArguments),
    Key(KeyArguments),
    Run(RunArguments),
    Schedule(ScheduleArguments),
    Config(ConfigArguments),
    Alert(AlertArguments),
    Cache(CacheArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

const ENVIRONMENT_HELP: &str = "\
First steps:
  export SBF_REPO_REPOSITORY=/mnt/backup/repository SBF_REPO_KEY_FILE=~/backup.key
  sbf-repo init                               make the repository and its key: keep a copy of the key
  sbf-repo snapshot ~/documents               back up; the next run stores what changed
  sbf-repo snapshots                          what there is
  sbf-repo restore latest --target ~/back     get it back
  sbf-repo check --read-data                  verify every stored byte
  sbf-repo forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --accept-policy --prune

Environment (an option on the command line comes first, the configuration file last):
  SBF_REPO_CONFIG
          the configuration file; else $XDG_CONFIG_HOME/sbf-repo/config.toml or
          /etc/sbf-repo/config.toml, if there is one
  SBF_REPO_REPOSITORY, SBF_REPO_REPOSITORY_FILE
          the repository, or a file that names it
  SBF_REPO_KEY_FILE
          the key file
  SBF_REPO_PASSWORD, SBF_REPO_PASSWORD_FILE, SBF_REPO_PASSWORD_COMMAND
          the passphrase, a file that holds it, or a shell command that prints it
  SBF_REPO_AUTHORITY_FILE
          the file that holds the authority key
  SBF_REPO_TO_KEY_FILE, SBF_REPO_TO_PASSWORD, SBF_REPO_TO_PASSWORD_FILE,
  SBF_REPO_TO_PASSWORD_COMMAND
          the same of the repository that `copy` copies to
  AWS_…, GOOGLE_…, AZURE_…
          credentials and settings of buckets, as their services define them
  SBF_REPO_CACHE_DIR
          a disposable cache; /var/cache/sbf-repo for root, else $XDG_CACHE_HOME/sbf-repo
  SBF_REPO_CACHE_SIZE
          how much of each repository in a bucket is kept there
  SBF_REPO_STATE_DIR
          this host's memory; /var/lib/sbf-repo for root, else $XDG_STATE_HOME/sbf-repo

Exit codes:
  0    success: nothing was left out
  1    failure
  2    wrong usage or configuration
  3    finished, but something was left out
  4    the source command failed; there is no snapshot
  5    damage, or a repository that went back in time
  6    an objective was missed; the data is fine
  7    it could not be verified that what was asked for holds
  8    own output does not read back: memory, processor or a library did wrong
  10   there is no repository
  12   wrong key or passphrase
  13   the store is unreachable or denies access
  14   refused: something protects what was to be changed
  15   the key's role lacks the right
  129, 130, 143
       interrupted by SIGHUP, SIGINT or SIGTERM: run the same command again, and it goes on
  141  whoever read the output went away

With `--json` every command ends with one JSON object, described by docs/schema/ of the source and
/usr/share/doc/sbf-repo/docs/schema of packages.";
