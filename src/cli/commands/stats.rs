//! `stats`: what is stored, and how much room it takes.

use crate::cli::commands::check::tell_coverage;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::ops::stats::PackStats;
use crate::ops::stats::stats;
use crate::units::human_bytes;
use serde_json::json;

/// Runs the command.
pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let stats = stats(&context.open()?)?;
    let line = |name: &str, value: String| {
        context.output.line(format_args!("{name:<16} {value}"));
    };
    let snapshots = words::count(stats.snapshots, "snapshot");
    line("snapshots", format!("{snapshots} of {}", words::count(stats.sources, "source")));
    let files = words::count(stats.files, "file");
    line("restored size", format!("{} in {files}", human_bytes(stats.restored_bytes)));
    line("data", packs(&stats.data));
    if stats.deltas.blocks > 0 {
        let (plain, stored) = (stats.deltas.plain_bytes, stats.deltas.stored_bytes);
        let blocks = words::count(stats.deltas.blocks, "block");
        let (plain, stored) = (human_bytes(plain), human_bytes(stored));
        line("of it deltas", format!("{stored} in {blocks} of {plain}"));
    }
    line("trees", packs(&stats.tree));
    let segments = words::count(stats.segments, "segment");
    line("index", format!("{} in {segments}", human_bytes(stats.segment_bytes)));
    line("stored", human_bytes(stats.stored_bytes()));
    let deduplication = words::ratio(stats.restored_bytes, stats.data.plain_bytes);
    let compression = words::ratio(stats.data.plain_bytes, stats.data.stored_bytes);
    line("ratios", format!("deduplication {deduplication}, compression {compression}"));
    tell_coverage(context, &stats.coverage);
    if stats.damaged > 0 {
        let what = words::count(stats.damaged, "snapshot");
        context.output.warn(&format!("{what} with a damaged manifest: not in the sums"));
    }
    context.output.warn_of(&stats.findings);
    let exit =
        if stats.findings.is_empty() && stats.damaged == 0 { Exit::Success } else { Exit::Damage };
    let report = json!({ "stats": stats, "stored_bytes": stats.stored_bytes() });
    Ok(context.output.finish(&report, exit))
}

fn packs(stats: &PackStats) -> String {
    format!(
        "{} in {} ({} of {})",
        human_bytes(stats.stored_bytes),
        words::count(stats.packs, "pack"),
        words::count(stats.chunks, "chunk"),
        human_bytes(stats.plain_bytes),
    )
}
