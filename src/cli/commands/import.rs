//! `import`: takes over dated copies that old scripts left.

use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::health::kept_words;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::import::Imported;
use crate::ops::import::import;
use crate::ops::import::plan::DatedBy;
use crate::ops::import::plan::ImportPlan;
use crate::ops::import::plan::OldCopy;
use crate::ops::import::plan::Wanted;
use crate::ops::import::plan::plan;
use crate::ops::kept_dumps::kept_dumps;
use crate::ops::snapshot::options::SnapshotOptions;
use crate::ops::words::path_words;
use crate::units::human_bytes;
use clap::Args;
use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;

/// Take over a directory of dated copies, as old scripts leave them, one snapshot a copy
///
/// `backup-2026-01-31.sql.gz`, `db_20260131_0200.tar.gz`, `daily/app.sql`, `app.sql.2.gz`: the time of a snapshot is the
/// date in the copy's name (read as UTC), else the time when the file was last modified; its source is
/// the name without them. What gzip compressed is stored as its plain bytes, which deduplicate, and a recipe,
/// from which `dump --rewrap` gives the same file back. Run again, only what is new is taken over.
/// Damaged copies are named and left out. The old files are never changed or removed.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The directory of the copies, and all below it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Name of the source of all copies [default: each copy's name without date and ending]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only files that this pattern matches: their names, or with `/` their paths below DIR; may be
    /// repeated [default: .sql .tar .dump .gz .tgz .zst .xz .bz2]
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Word for finding the snapshots again; may be repeated
    #[arg(long, value_name = "WORD")]
    tag: Vec<String>,
    /// Only say what would be taken over, by names, sizes and times
    #[arg(long)]
    dry_run: bool,
    /// Name of the host that the copies are of [default: this one's]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

impl ImportArguments {
    /// Whether nothing is changed.
    pub(crate) const fn is_dry(&self) -> bool {
        self.dry_run
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: ImportArguments) -> Result<Exit, Failure> {
    let globs = globs(&arguments.include)?;
    let includes = |below: &Path| {
        let name = below.file_name().map(Path::new);
        globs.is_match(below) || name.is_some_and(|name| globs.is_match(name))
    };
    let directory = std::path::absolute(&arguments.directory);
    let directory =
        directory.map_err(|source| Failure::local("find", &arguments.directory, source))?;
    let mut wanted = Wanted::new(directory.components().collect());
    wanted.source = arguments.source;
    if !arguments.include.is_empty() {
        wanted.include = Some(&includes);
    }
    let host = arguments.host.unwrap_or_else(environment::host);
    let mut options = SnapshotOptions::new(String::new(), host);
    options.tags = arguments.tag;
    options.sudo_user = environment::sudo_user();
    options.delta_cache = context.delta_cache()?;
    let repository = context.open()?;
    let plan = plan(&repository, &wanted)?;
    context.output.warn_of(&plan.findings);
    if arguments.dry_run {
        return Ok(tell_plan(context, &plan));
    }
    if plan.copies.is_empty() {
        tell_others(context, &plan);
        let why = format!("there is no copy to import in {}", wanted.directory.display());
        return Err(Failure::usage(why).with_hint("`--include GLOB` chooses files by other names"));
    }
    let mut sums = Sums::default();
    let result = import(&repository, &plan, &options, &context.progress, &mut |copy, imported| {
        context.progress.end();
        sums.add(context, copy, imported);
    });
    context.progress.end();
    context.audit.set_bytes(sums.bytes_old);
    result?;
    if let Some(words) = kept_words(context, kept_dumps(&repository))? {
        context.output.note(format_args!("{words}"));
    }
    Ok(tell(context, &plan, &sums))
}

fn globs(patterns: &[String]) -> Result<GlobSet, Failure> {
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        globs.add(glob.map_err(|error| Failure::usage(error.to_string()))?);
    }
    globs.build().map_err(|error| Failure::usage(error.to_string()))
}

/// What was done so far.
#[derive(Debug, Default)]
struct Sums {
    new: u64,
    present: u64,
    failed: u64,
    as_they_are: u64,
    bytes_old: u64,
    bytes_stored: u64,
    rows: Vec<Value>,
}

impl Sums {
    fn add(&mut self, context: &Context, copy: &OldCopy, imported: &Imported) {
        let mut row = value(copy);
        match imported {
            Imported::Present => {
                self.present += 1;
                row["state"] = json!("present");
                context.output.detail(format_args!("{}: there already", copy.words));
            }
            Imported::Stored { snapshot, is_unwrapped, bytes_stored } => {
                self.new += 1;
                self.bytes_old += copy.size;
                self.bytes_stored += bytes_stored;
                self.as_they_are += u64::from(copy.is_compressed && !is_unwrapped);
                context.audit.add_snapshot(*snapshot);
                let id = snapshot.to_string();
                context.output.note(format_args!(
                    "snapshot {} of {} at {}: {}, {}; {} stored",
                    context.id(&id),
                    copy.source,
                    short_time(&copy.time),
                    copy.words,
                    human_bytes(copy.size),
                    human_bytes(*bytes_stored),
                ));
                row["state"] = json!("imported");
                row["snapshot"] = json!(id);
                row["unwrapped"] = json!(is_unwrapped);
                row["bytes_stored"] = json!(bytes_stored);
            }
            Imported::Failed { why } => {
                self.failed += 1;
                context.output.warn(&format!("{}: not imported: {why}", copy.words));
                row["state"] = json!("failed");
                row["why"] = json!(why);
            }
        }
        self.rows.push(row);
    }
}

fn value(copy: &OldCopy) -> Value {
    json!({
        "path": copy.words,
        "size": copy.size,
        "time": copy.time,
        "dated_by": copy.dated_by,
        "source": copy.source,
        "name": copy.name,
    })
}

fn tell_plan(context: &Context, plan: &ImportPlan) -> Exit {
    let mut table = Table::new(&["TIME", "DATED BY", "SOURCE", "SIZE", "COPY", "STATE"]);
    let (mut rows, mut refused) = (Vec::new(), Vec::new());
    for copy in &plan.copies {
        let dated_by = match copy.dated_by {
            DatedBy::Name => "name",
            DatedBy::Modified => "modification",
        };
        let (state, words) = match (copy.is_there, &copy.refused) {
            (true, _) => ("present", "there already"),
            (false, None) => ("would-import", "would be imported"),
            (false, Some(_why)) => ("failed", "cannot be imported"),
        };
        table.push(vec![
            short_time(&copy.time),
            dated_by.to_owned(),
            path_words(copy.source.as_bytes()),
            human_bytes(copy.size),
            copy.words.clone(),
            words.to_owned(),
        ]);
        let mut row = value(copy);
        row["state"] = json!(state);
        if state == "failed" {
            row["why"] = json!(copy.refused);
            refused.push(copy);
        }
        rows.push(row);
    }
    if plan.copies.is_empty() {
        context.output.note(format_args!("there are no copies here"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    for copy in &refused {
        let why = copy.refused.as_deref().unwrap_or_default();
        context.output.warn(&format!("{}: cannot be imported: {why}", copy.words));
    }
    tell_others(context, plan);
    let report = json!({ "copies": rows, "others": plan.others, "findings": plan.findings });
    let exit = if refused.is_empty() { Exit::Success } else { Exit::Incomplete };
    context.output.finish(&report, exit)
}

fn tell_others(context: &Context, plan: &ImportPlan) {
    for other in &plan.others {
        context.output.detail(format_args!("{other}: no copy"));
    }
    if let Some(first) = plan.others.first() {
        let files = words::count(crate::units::to_u64(plan.others.len()), "file");
        context.output.note(format_args!(
            "{files} left aside as no copies, as {first}; `--include` chooses others"
        ));
    }
}

fn tell(context: &Context, plan: &ImportPlan, sums: &Sums) -> Exit {
    let Sums { new, present, failed, as_they_are, bytes_old, bytes_stored, rows } = sums;
    tell_others(context, plan);
    context.output.note(format_args!(
        "{new} imported, {present} there already, {failed} not imported; the files took {}, the repository grew by {} in {}",
        human_bytes(*bytes_old),
        human_bytes(*bytes_stored),
        words::duration(context.elapsed()),
    ));
    if *as_they_are > 0 {
        context.output.note(format_args!(
            "{} stored compressed, as found: that does not deduplicate",
            words::count(*as_they_are, "file")
        ));
    }
    if *new + *present > 0 {
        context.output.note(format_args!(
            "`sbf-repo check --read-data` reads all of it, and `sbf-repo dump --rewrap` or `restore --rewrap` gives compressed files back, verified; the old files are unchanged, and yours to remove then",
        ));
    }
    let exit = match (*failed, plan.findings.is_empty()) {
        (0, true) => Exit::Success,
        (0, false) => Exit::Damage,
        _ => Exit::Incomplete,
    };
    let report = json!({
        "copies": rows,
        "imported": new,
        "present": present,
        "failed": failed,
        "stored_as_they_are": as_they_are,
        "bytes_old": bytes_old,
        "bytes_stored": bytes_stored,
        "others": plan.others,
        "findings": plan.findings,
        "seconds": context.elapsed().as_secs_f64(),
    });
    context.output.finish(&report, exit)
}
