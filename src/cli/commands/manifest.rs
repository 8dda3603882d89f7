//! `manifest`: the signed statements of snapshots.

use crate::cli::commands::evidence;
use crate::cli::commands::evidence::PathsArguments;
use crate::cli::commands::forget::selectors;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::cli::words::Table;
use crate::format::dump::StatedStream;
use crate::ops::evidence::ExportOptions;
use crate::ops::manifest;
use crate::ops::manifest::Shown;
use crate::ops::select::Selector;
use crate::units::human_bytes;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Show, export and verify the signed statements of snapshots
#[derive(Debug, Args)]
pub(crate) struct ManifestArguments {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    /// Show what the manifest of a snapshot states, and who signed it
    Show {
        /// The snapshot; see `sbf-repo restore --help`
        #[arg(value_name = "SNAPSHOT")]
        selector: OsString,
        /// Write the statement as it was signed, byte for byte
        #[arg(long)]
        raw: bool,
    },
    /// Write manifests with their signatures, what makes them count, and who may sign
    Export {
        /// The snapshots; see `sbf-repo restore --help`
        #[arg(value_name = "SNAPSHOT", required = true)]
        selectors: Vec<OsString>,
        /// A directory that is empty or not there
        #[arg(long, value_name = "DIRECTORY")]
        to: PathBuf,
        #[command(flatten)]
        paths: PathsArguments,
    },
    /// Verify manifests: those of the repository, or of a bundle without any repository
    Verify {
        /// Only these snapshots; see `sbf-repo restore --help`
        #[arg(value_name = "SNAPSHOT", conflicts_with = "bundle")]
        selectors: Vec<OsString>,
        /// Verify this bundle of evidence by the authority's public key
        #[arg(long, value_name = "DIRECTORY", requires = "public_key")]
        bundle: Option<PathBuf>,
        /// File with the authority's public key, which did not come with the bundle
        #[arg(long, value_name = "FILE", requires = "bundle")]
        public_key: Option<PathBuf>,
    },
}

impl ManifestArguments {
    /// The word of the audit log for what is recorded.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match &self.command {
            ManifestCommand::Export { .. } => Some("manifest-export"),
            ManifestCommand::Show { .. } | ManifestCommand::Verify { .. } => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: ManifestArguments) -> Result<Exit, Failure> {
    match arguments.command {
        ManifestCommand::Show { selector, raw } => show(context, &selector, raw),
        ManifestCommand::Export { selectors: texts, to, paths } => {
            let mut options = ExportOptions::new(to);
            options.selectors = selectors(&texts)?;
            options.include_paths = paths.include_paths;
            evidence::run_export(context, &options)
        }
        ManifestCommand::Verify { bundle: Some(bundle), public_key: Some(key), .. } => {
            evidence::run_verify(context, &bundle, &key)
        }
        ManifestCommand::Verify { selectors: texts, .. } => verify(context, &texts),
    }
}

fn show(context: &Context, selector: &OsString, raw: bool) -> Result<Exit, Failure> {
    let selector = Selector::parse(selector.as_bytes())?;
    let repository = context.open()?;
    let selected = context.select(&repository, &selector)?;
    let Shown { statement, signer, sha256, role } = manifest::show(&repository, &selected)?;
    if raw {
        let mut stdout = context.output.as_ref();
        // A closed pipe is told when the output is closed.
        let _ignored = stdout.write_all(&statement);
        return Ok(Exit::Success);
    }
    let stated = &selected.manifest.predicate;
    let output = &context.output;
    output.line(format_args!("snapshot {}", stated.snapshot));
    let rows = [
        ("source", stated.source.clone()),
        ("kind", format!("{:?}", stated.kind).to_lowercase()),
        ("paths", stated.paths.join(", ")),
        ("tags", stated.tags.join(", ")),
        ("host", stated.host.clone()),
        ("tool", stated.tool.clone()),
        ("data time", stated.times.data.clone()),
        ("started", stated.times.started.clone()),
        ("finished", stated.times.finished.clone()),
        ("files", stated.totals.files.to_string()),
        ("size", human_bytes(stated.totals.bytes)),
        ("left out", stated.skipped_count.to_string()),
        (
            "packs",
            format!(
                "{}, Merkle root {}",
                words::count(stated.packs.count, "pack"),
                stated.packs.root
            ),
        ),
        ("verdict seen", stated.verdict.number.to_string()),
        ("client", format!("{} ({role})", stated.client)),
        ("signed by", signer.clone()),
        ("SHA-256", sha256.clone()),
    ];
    for (name, value) in rows.iter().filter(|(_name, value)| !value.is_empty()) {
        output.line(format_args!("{name:<13} {}", value.escape_debug()));
    }
    for stream in &stated.streams {
        show_stream(context, stream);
    }
    for skipped in &stated.skipped {
        output.line(format_args!("left out: {}: {}", skipped.path, skipped.reason));
    }
    let report = json!({ "manifest": selected.manifest, "signer": signer, "sha256": sha256 });
    Ok(context.output.finish(&report, Exit::Success))
}

fn show_stream(context: &Context, stream: &StatedStream) {
    let StatedStream { name, command, dump } = stream;
    let output = &context.output;
    if let Some(command) = command {
        let words = command.argv.join(" ");
        output.line(format_args!("{} from `{}`", name.escape_debug(), words.escape_debug()));
    }
    let Some(dump) = dump else { return };
    let objects: Vec<String> =
        dump.objects.iter().map(|each| format!("{} {}", each.count, each.kind)).collect();
    // A dump of roles alone names neither.
    let versions = [("of PostgreSQL", &dump.server), ("by pg_dump", &dump.program)];
    let versions = versions.iter().filter(|(_, version)| !version.is_empty());
    let versions: Vec<String> =
        versions.map(|(who, version)| format!("{who} {version}, ")).collect();
    output.line(format_args!(
        "{}: a dump {}of {} in {}",
        name.escape_debug(),
        versions.concat().escape_debug(),
        words::count(dump.rows, "row"),
        words::count(dump.tables_count, "table"),
    ));
    if !objects.is_empty() {
        output.line(format_args!("makes: {}", objects.join(", ").escape_debug()));
    }
    if dump.inserts > 0 {
        let statements = words::count(dump.inserts, "INSERT statement");
        output.line(format_args!("rows in {statements} are not counted"));
    }
    let mut table = Table::new(&["TABLE", "ROWS", "SIZE", "DIGEST"]);
    for each in &dump.tables {
        let database = each.database.iter().map(|name| format!("{name}: "));
        let full = database.chain([each.name.clone()]).collect::<String>();
        table.push(vec![
            full.escape_debug().to_string(),
            each.rows.to_string(),
            human_bytes(each.bytes),
            each.digest.chars().take(16).collect(),
        ]);
    }
    if !dump.tables.is_empty() {
        output.line(format_args!("{table}"));
    }
}

fn verify(context: &Context, texts: &[OsString]) -> Result<Exit, Failure> {
    let selectors = selectors(texts)?;
    let report = manifest::verify(&context.open()?, &selectors)?;
    context.output.warn_of(&report.findings);
    let manifests = words::count(report.verified, "manifest");
    context.output.note(format_args!("{manifests} verified"));
    let exit = if report.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&report, exit))
}
