//! `check`: is everything there, and does it read back?

use crate::cli::commands::evidence::read_public_key;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::progress::Reported;
use crate::cli::words;
use crate::ops::check::CheckOptions;
use crate::ops::check::CheckReport;
use crate::ops::check::Depth;
use crate::ops::check::check;
use crate::ops::check::coverage::CoverageReport;
use crate::ops::check::coverage::Subset;
use crate::ops::copies::name_copies;
use crate::ops::evidence::scrub;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::heal::HealReport;
use crate::ops::heal::heal_from;
use crate::settings::quantities;
use crate::units::human_bytes;
use crate::units::to_u64;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

/// Check that everything is there and intact
///
/// Without options: keys, statements, index and trees, and that every pack has its length. With
/// `--read-data` every stored byte is read, and every chunk is named again.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Read every pack
    #[arg(long)]
    read_data: bool,
    /// Hash every pack again against the newest signed inventory, with the authority's public key in
    /// this file and no key of the repository
    #[arg(long, value_name = "FILE", conflicts_with_all = ["read_data", "from_copy"])]
    public_key: Option<PathBuf>,
    /// Read only so much of the packs, those first that were not read for longest: `1/7`, `10%`, `5GiB`
    ///
    /// Repeated, it reads all of them in turn: every check records what it read.
    #[arg(long, value_name = "N/M|P%|SIZE", value_parser = subset)]
    read_data_subset: Option<Subset>,
    /// Threads that read [default: one a processor]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Say which damaged packs this mirror of the repository has whole; a location, or a name of
    /// the configuration file; may be repeated
    #[arg(long, value_name = "COPY")]
    from_copy: Vec<String>,
    /// Store again what is damaged or missing, from the mirrors of the configuration file
    #[arg(long)]
    heal: bool,
    /// The same from this mirror: a location, or a name of the configuration file; may be repeated
    ///
    /// What a damaged or missing pack held goes into new packs; the damaged one is superseded, and
    /// goes with the next prune. Segments, manifests and identities that are missing are created
    /// again. The bytes are compared with the hashes and signatures that the repository has.
    #[arg(long, value_name = "COPY")]
    heal_from: Vec<String>,
}

impl CheckArguments {
    /// Whether it stores again what is lost.
    pub(crate) const fn heals(&self) -> bool {
        self.heal || !self.heal_from.is_empty()
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &CheckArguments) -> Result<Exit, Failure> {
    let depth = if arguments.read_data || arguments.read_data_subset.is_some() {
        Depth::ReadData
    } else {
        Depth::Structure
    };
    let mut options = CheckOptions::new(depth);
    options.subset = arguments.read_data_subset;
    options.threads = arguments.threads.map_or(options.threads, usize::from);
    if let Some(public_key) = &arguments.public_key {
        return run_scrub(context, public_key, options.threads);
    }
    let is_healing = arguments.heals();
    let named = [&arguments.heal_from[..], &arguments.from_copy].concat();
    let copies = context.copies(&named)?;
    let repository = match context.open_beside(&copies)?.own() {
        Some(own) => own,
        // A copy stands for it: what is wrong with the repository itself is to be said.
        None => context.open()?,
    };
    if is_healing && copies.places.is_empty() && !repository.has_parity() {
        let why = "there is no mirror to heal from".to_owned();
        let hint = "name it with `--heal-from`, or as a `[[copy]]` with `mode = \"mirror\"` beside the \
             repository's `url` in the configuration file";
        return Err(Failure::usage(why).with_hint(hint));
    }
    let progress = Reported(&context.progress);
    let mut report = check(&repository, &options, &progress)?;
    let mut healed = None;
    if is_healing {
        let places = &copies.places;
        healed = Some(heal_from(&repository, places, &mut report, &options, &progress)?);
    }
    context.progress.end();
    context.audit.set_bytes(report.bytes_read);
    if report.is_damaged() && !copies.places.is_empty() {
        let healable = name_copies(&repository, &mut report, &copies.places)?;
        let packs = words::count(healable, "damaged pack");
        context.output.note(format_args!("a copy has {packs} whole"));
    }
    let exit = if report.is_damaged() { Exit::Damage } else { Exit::Success };
    tell(context, &report);
    if let Some(healed) = &healed {
        tell_healed(context, healed);
    }
    let words = Words { report: &report, healed };
    Ok(context.output.finish(&words, exit))
}

/// What is written for programs.
#[derive(Debug, Serialize)]
struct Words<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    healed: Option<HealReport>,
}

fn tell_healed(context: &Context, healed: &HealReport) {
    for object in &healed.recreated {
        context.output.note(format_args!("created again: {object}"));
    }
    for pack in &healed.not_healed {
        context.output.warn(&format!("{pack}: no copy has it whole: it was not healed"));
    }
    if healed.renewed_sidecars > 0 {
        let packs = words::count(healed.renewed_sidecars, "pack");
        context.output.note(format_args!("made the parity of {packs} again"));
    }
    context.output.note(format_args!(
        "healed {} of {} ({}), and created {} again",
        healed.healed_packs,
        words::count(healed.broken_packs, "broken pack"),
        human_bytes(healed.healed_bytes),
        words::count(to_u64(healed.recreated.len()), "missing object"),
    ));
}

/// Hashes the packs for somebody who holds no key.
fn run_scrub(context: &Context, public_key: &Path, threads: usize) -> Result<Exit, Failure> {
    let authority = read_public_key(public_key)?;
    let options = context.open_options()?;
    let report = scrub(&options, authority, threads, &Reported(&context.progress))?;
    context.progress.end();
    for finding in &report.findings {
        context.output.line(format_args!("damage: {}: {}", finding.object, finding.effect));
    }
    let packs = words::count(report.packs, "pack");
    let Some(inventory) = report.inventory else {
        context.output.warn("there is no inventory yet: `sbf-repo prune` stores one");
        return Ok(context.output.finish(&report, Exit::Unverified));
    };
    context.output.note(format_args!(
        "{} of the {packs} of inventory {inventory} are intact, {} hashed",
        report.intact,
        human_bytes(report.bytes_read),
    ));
    if report.unlisted > 0 {
        context.output.note(format_args!(
            "{} newer than the inventory, or in no snapshot: {} of them as their names say, which nobody signed",
            words::count(report.unlisted, "pack"),
            report.unlisted_intact,
        ));
    }
    let exit = if report.findings.is_empty() { Exit::Success } else { Exit::Damage };
    Ok(context.output.finish(&report, exit))
}

fn tell(context: &Context, report: &CheckReport) {
    // A directory in several pieces, or a pack looked at twice, is one line for a person.
    let mut told = HashSet::new();
    let mut remedies = BTreeSet::new();
    for finding in &report.findings {
        let Finding { code: _, severity, object, effect, remedy } = finding;
        if !told.insert((object, effect)) {
            continue;
        }
        match severity {
            Severity::Loss => {
                context.output.line(format_args!("damage: {object}: {effect}"));
                remedies.insert(remedy);
            }
            Severity::Notice => context.output.note(format_args!("notice: {object}: {effect}")),
        }
    }
    for remedy in remedies {
        context.output.line(format_args!("remedy: {remedy}"));
    }
    let read = if report.packs_read == 0 {
        "packs not read; `--read-data` reads them".to_owned()
    } else {
        let packs = words::count(report.packs_read, "pack");
        format!("{packs} and {} read", human_bytes(report.bytes_read))
    };
    tell_coverage(context, &report.coverage);
    let verdict = if report.is_damaged() { "damage was found" } else { "no damage was found" };
    context.output.note(format_args!(
        "checked {}, {}, {} ({read}) in {}: {verdict}",
        words::count(report.snapshots, "snapshot"),
        words::count(report.files, "file"),
        words::count(report.packs, "pack"),
        words::duration(context.elapsed()),
    ));
}

/// Says how much was read in full, and within how many days.
pub(crate) fn tell_coverage(context: &Context, coverage: &CoverageReport) {
    let CoverageReport { packs, bytes, covered_bytes, days, .. } = coverage;
    if *packs == 0 {
        return;
    }
    match days {
        Some(days) => context.output.note(format_args!(
            "{} of the stored bytes read in full within {}",
            words::percent(*covered_bytes, *bytes),
            words::count(*days, "day"),
        )),
        None => context.output.note(format_args!("no pack was read in full yet")),
    }
}

fn subset(text: &str) -> Result<Subset, String> {
    let wrong = || "write `1/7`, `10%` or `5GiB`".to_owned();
    if let Some((parts, of)) = text.split_once('/') {
        let (parts, of) = (parts.parse(), of.parse());
        let (Ok(parts), Ok(of)) = (parts, of) else { return Err(wrong()) };
        return if 0 < parts && parts <= of {
            Ok(Subset::Share { parts, of })
        } else {
            Err(wrong())
        };
    }
    if let Some(share) = text.strip_suffix('%') {
        let parts = quantities::hundredths(share)?.into();
        let is_share = 0 < parts && parts <= WHOLE;
        return if is_share { Ok(Subset::Share { parts, of: WHOLE }) } else { Err(wrong()) };
    }
    quantities::bytes(text).map(Subset::Bytes)
}

/// 100 % in hundredths of a per cent.
const WHOLE: u64 = 10_000;
