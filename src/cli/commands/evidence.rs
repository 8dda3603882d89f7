//! `evidence`: what auditors verify without a key that decrypts.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::ops::evidence::AuthorityKey;
use crate::ops::evidence::BundleReport;
use crate::ops::evidence::ExportOptions;
use crate::ops::evidence::ExportReport;
use crate::ops::evidence::Exporter;
use crate::ops::evidence::Period;
use crate::ops::evidence::export;
use crate::ops::evidence::export::authority_line;
use crate::ops::evidence::verify_bundle;
use crate::ops::finding::any_loss;
use crate::settings::quantities;
use crate::units::human_bytes;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;

/// Export signed evidence for auditors, and verify it
#[derive(Debug, Args)]
pub(crate) struct EvidenceArguments {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Write a bundle: manifests, what makes them count, records, who may sign
    ///
    /// The bundle tells with `VERIFY.md` and `verify.sh` how it is verified with stock tools. With `--from` and `--to` it has the
    /// report of these days.
    Export(ExportArguments),
    /// Verify a bundle by the authority's public key; needs no repository
    Verify(VerifyArguments),
    /// Print the authority's public key, to be given to auditors by another way than evidence
    PublicKey,
}

#[derive(Debug, Args)]
struct ExportArguments {
    /// A directory that is empty or not there
    #[arg(value_name = "DIRECTORY")]
    target: PathBuf,
    /// Only what is of this day, as `2026-01-01`, or later; in UTC
    #[arg(long, value_name = "DATE", value_parser = quantities::moment)]
    from: Option<i64>,
    /// Only what is of this day or earlier
    #[arg(long, value_name = "DATE", value_parser = quantities::last_moment)]
    to: Option<i64>,
    #[command(flatten)]
    paths: PathsArguments,
}

/// Whether paths go into evidence.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PathsArguments {
    /// Export statements as they were signed, with paths and commands; without it digests that only holders of a
    /// key can compute stand in their place. Names of sources, of programs and of hosts go out in clear either way
    #[arg(long)]
    pub(crate) include_paths: bool,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The bundle
    #[arg(value_name = "DIRECTORY")]
    bundle: PathBuf,
    #[command(flatten)]
    key: PublicKeyArguments,
}

/// The public key of the authority.
#[derive(Debug, Clone, Args)]
pub(crate) struct PublicKeyArguments {
    /// File with the authority's public key, which did not come with what is verified
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
}

impl EvidenceArguments {
    /// The word of the audit log for what is recorded.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match &self.command {
            EvidenceCommand::Export(_) => Some("evidence-export"),
            EvidenceCommand::Verify(_) | EvidenceCommand::PublicKey => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: EvidenceArguments) -> Result<Exit, Failure> {
    match arguments.command {
        EvidenceCommand::Export(arguments) => {
            let mut options = ExportOptions::new(arguments.target);
            options.include_paths = arguments.paths.include_paths;
            options.period = Period::new(arguments.from, arguments.to);
            run_export(context, &options)
        }
        EvidenceCommand::Verify(arguments) => {
            run_verify(context, &arguments.bundle, &arguments.key.public_key)
        }
        EvidenceCommand::PublicKey => public_key(context),
    }
}

/// Exports, and says what was exported.
pub(crate) fn run_export(context: &Context, options: &ExportOptions) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let report = export(&repository, options, &Reported(&context.progress))?;
    context.progress.end();
    context.output.warn_of(&report.findings);
    for source in &report.path_sources {
        context.output.warn(&format!(
            "the name of source {source} holds a path, and auditors will read it: signed objects name sources in clear; \
             give the next snapshots a name with `--source`"
        ));
    }
    let ExportReport { manifests, records, bytes, audit_records, .. } = report;
    context.output.note(format_args!(
        "{}, {} and {} ({}) exported to {}",
        words::count(manifests, "manifest"),
        words::count(records, "record"),
        words::count(audit_records, "record") + " of the audit log",
        human_bytes(bytes),
        options.target.display(),
    ));
    let exit = if any_loss(&report.findings) { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&report, exit))
}

/// Verifies a bundle, and says what is wrong with it.
pub(crate) fn run_verify(
    context: &Context,
    bundle: &Path,
    public_key: &Path,
) -> Result<Exit, Failure> {
    let authority = read_public_key(public_key)?;
    let report = verify_bundle(bundle, authority)?;
    for finding in &report.findings {
        context.output.line(format_args!("wrong: {}: {}", finding.object, finding.effect));
    }
    context.output.warn_of(&report.notices);
    if let Some(Exporter { client, fingerprint, role, .. }) = &report.exporter {
        context.output.note(format_args!("exported by client {client}, {role}, key {fingerprint}"));
    }
    let BundleReport { repository, manifests, records, .. } = &report;
    let counted = format!(
        "{} and {}",
        words::count(*manifests, "manifest"),
        words::count(*records, "record")
    );
    if report.findings.is_empty() {
        context
            .output
            .note(format_args!("all of it verifies: {counted} of repository {repository}"));
        return Ok(context.output.finish(&report, Exit::Success));
    }
    context.output.line(format_args!("this evidence does not verify; of it {counted} do"));
    Ok(context.output.finish(&report, Exit::Damage))
}

fn public_key(context: &Context) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let line = authority_line(&repository);
    context.output.line(format_args!("{line}"));
    let report = json!({ "repository": repository.id().to_string(), "public_key": line });
    Ok(context.output.finish(&report, Exit::Success))
}

/// Reads a public key from a file.
pub(crate) fn read_public_key(path: &Path) -> Result<AuthorityKey, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| Failure::local("read", path, source))?;
    let key = AuthorityKey::parse(&text);
    key.map_err(|error| {
        Failure::from(error).with_hint("print it with `sbf-repo evidence public-key`")
    })
}
