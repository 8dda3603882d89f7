//! Words for what a restore did, or would do.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::replay::Replayed;
use crate::cli::words;
use crate::format::manifest::StatedTotals;
use crate::ops::copies::CopyUse;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::RestoreReport;
use crate::ops::restore::plan::RestorePlan;
use crate::ops::restore::tally::Action;
use crate::ops::restore::tally::Counts;
use crate::ops::restore::verify::Verified;
use crate::ops::select::Selected;
use crate::units::human_bytes;
use serde_json::json;
use std::time::Duration;

/// Says what a restore did.
pub(crate) fn tell(
    context: &Context,
    selected: &Selected,
    options: &RestoreOptions,
    report: &RestoreReport,
    used: &[CopyUse],
    replayed: Option<&Replayed>,
) -> Exit {
    let RestoreReport { totals, failed, failed_count, not_applied, not_applied_count, .. } = report;
    let differs = report.verified.as_ref().is_some_and(|found| found.findings_count > 0);
    let exit = match (report.damaged_count, *failed_count) {
        _ if differs => Exit::Damage,
        (0, 0) => replayed.map_or(Exit::Success, Replayed::exit),
        (0, _) => Exit::Incomplete,
        (_, _) => Exit::Damage,
    };
    let id = selected.snapshot().to_string();
    context.output.note(format_args!(
        "restored {} and {} ({}) of snapshot {} to {} in {}",
        words::count(totals.files, "file"),
        words::count(totals.directories + totals.others, "other entry")
            .replace("entrys", "entries"),
        human_bytes(totals.bytes),
        context.id(&id),
        options.target.display(),
        words::duration(context.elapsed()),
    ));
    tell_counts(context, report);
    for text in not_applied {
        context.output.detail(format_args!("{text}"));
    }
    if *not_applied_count > 0 {
        let what = words::count(*not_applied_count, "piece");
        context.output.note(format_args!(
            "note: {what} of metadata could not be set; `--verbose` names them"
        ));
    }
    for finding in failed {
        context.output.warn(&format!("{}: {}", finding.object, finding.effect));
    }
    if *failed_count > 0 {
        let what = words::count(*failed_count, "entry").replace("entrys", "entries");
        context.output.warn(&format!("{what} could not be restored"));
    }
    tell_verified(context, report.verified.as_ref());
    let words = json!({
        "snapshot": id,
        "path": selected.path_words(),
        "target": options.target.to_string_lossy(),
        "totals": StatedTotals::from(*totals),
        "counts": report.counts,
        "leftovers_removed": report.leftovers_count,
        "verified": report.verified,
        "copies_used": used,
        "replay": replayed,
        "failed": failed,
        "failed_count": failed_count,
        "not_applied": not_applied,
        "not_applied_count": not_applied_count,
        "seconds": context.elapsed().as_secs_f64(),
    });
    context.output.finish(&words, exit)
}

/// Says what was in the target already; nothing of a restore into an empty one.
fn tell_counts(context: &Context, report: &RestoreReport) {
    let Counts { changed, metadata, unchanged, kept, deleted, bytes_reused, .. } = report.counts;
    if changed + metadata + unchanged + kept + deleted > 0 {
        context.output.note(format_args!("{}", counts_words(report.counts)));
    }
    if bytes_reused > 0 {
        let bytes = human_bytes(bytes_reused);
        context.output.note(format_args!("{bytes} of what changed were in the target already"));
    }
    if report.leftovers_count > 0 {
        let what = words::count(report.leftovers_count, "temporary file");
        context.output.note(format_args!("{what} of a restore that was killed: removed"));
    }
}

fn counts_words(counts: Counts) -> String {
    let Counts { created, changed, metadata, unchanged, kept, deleted, .. } = counts;
    format!(
        "entries: {created} created, {changed} changed, {metadata} with other metadata only, \
         {unchanged} unchanged, {kept} kept, {deleted} deleted"
    )
}

fn tell_verified(context: &Context, verified: Option<&Verified>) {
    let Some(Verified { entries, bytes, findings, findings_count, .. }) = verified else { return };
    for finding in findings {
        context.output.warn(&format!("{}: {}", finding.object, finding.effect));
    }
    let what = words::count(*entries, "entry").replace("entrys", "entries");
    let bytes = human_bytes(*bytes);
    context.output.note(format_args!("verified: {what} ({bytes}) as in the snapshot"));
    if *findings_count > 0 {
        let what = words::count(*findings_count, "entry").replace("entrys", "entries");
        context.output.warn(&format!("{what} in the target: not as in the snapshot"));
    }
}

/// Says what a restore would do: entry by entry if `names` asks for that.
pub(crate) fn tell_plan(
    context: &Context,
    selected: &Selected,
    options: &RestoreOptions,
    plan: &RestorePlan,
    names: bool,
) -> Exit {
    let RestorePlan { totals, counts, changes, unnamed_count, failed, failed_count, fetch, .. } =
        plan;
    let id = selected.snapshot().to_string();
    if names {
        for change in changes {
            let path = if change.path.is_empty() { "." } else { &change.path };
            context.output.line(format_args!("{} {path}", action_words(change.action)));
        }
        if *unnamed_count > 0 {
            let what = words::count(*unnamed_count, "more entry").replace("entrys", "entries");
            context.output.line(format_args!("… and {what}"));
        }
    }
    context.output.note(format_args!(
        "would restore {} ({}) of snapshot {} to {}; nothing was written",
        words::count(totals.files, "file"),
        human_bytes(totals.bytes),
        context.id(&id),
        options.target.display(),
    ));
    context.output.note(format_args!("{}", counts_words(*counts)));
    context.output.note(format_args!(
        "{} to write, {} of them in the target already; {} to fetch in {} ({})",
        human_bytes(counts.bytes_written),
        human_bytes(counts.bytes_reused),
        human_bytes(fetch.bytes),
        words::count(fetch.requests, "request"),
        words::count(fetch.blocks, "block"),
    ));
    let seconds = fetch.seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) => context.output.note(format_args!(
            "about {} to fetch: {}",
            words::duration(time),
            fetch.basis
        )),
        None => context.output.note(format_args!("no estimate of the time: {}", fetch.basis)),
    }
    for finding in failed {
        context.output.warn(&format!("{}: {}", finding.object, finding.effect));
    }
    let words = json!({
        "snapshot": id,
        "path": selected.path_words(),
        "target": options.target.to_string_lossy(),
        "dry_run": true,
        "totals": StatedTotals::from(*totals),
        "counts": counts,
        "changes": if names { changes.as_slice() } else { &[] },
        "changes_unnamed_count": unnamed_count,
        "fetch": fetch,
        "failed": failed,
        "failed_count": failed_count,
        "seconds": context.elapsed().as_secs_f64(),
    });
    context.output.finish(&words, if *failed_count > 0 { Exit::Incomplete } else { Exit::Success })
}

const fn action_words(action: Action) -> &'static str {
    match action {
        Action::Create => "create   ",
        Action::Change => "change   ",
        Action::Metadata => "metadata ",
        Action::Unchanged => "unchanged",
        Action::Keep => "keep     ",
        Action::Delete => "delete   ",
    }
}
