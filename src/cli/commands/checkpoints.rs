//! Checkpoints in words, for `forget --checkpoints` and `prune`.

use crate::cli::context::Context;
use crate::cli::words;
use crate::ops::forget::checkpoints::CheckpointPlan;
use crate::ops::forget::checkpoints::CheckpointRow;
use crate::units::human_bytes;
use std::time::Duration;

/// Says which checkpoints are or would be forgotten, and which are left.
pub(crate) fn tell_forgotten(context: &Context, plan: &CheckpointPlan, is_dry: bool) {
    let verb = if is_dry { "would forget" } else { "forgot" };
    for row in &plan.dropped {
        context.output.note(format_args!("{verb} {}", described(context, row)));
    }
    for row in &plan.left {
        context.output.note(format_args!(
            "left {}: a session of its client has not ended; look at `sbf-repo session list`",
            described(context, row)
        ));
    }
    if plan.dropped.is_empty() {
        context.output.note(format_args!("there is no abandoned checkpoint"));
    }
}

/// Says which checkpoints nobody goes on with.
pub(crate) fn tell_abandoned(context: &Context, rows: &[CheckpointRow]) {
    for row in rows.iter().filter(|row| !row.may_go_on) {
        context.output.note(format_args!(
            "abandoned: {}; the next backup of its source uses it, `sbf-repo forget --checkpoints` \
             drops it",
            described(context, row)
        ));
    }
}

fn described(context: &Context, row: &CheckpointRow) -> String {
    let age = row.age_seconds.map(Duration::from_secs).map(words::duration);
    let age = age.map_or_else(|| "of unknown age".to_owned(), |age| format!("{age} old"));
    format!(
        "checkpoint {} of client {} and source {}, {age}, which stored {}",
        context.id(&row.session),
        context.id(&row.client),
        row.source.escape_debug(),
        human_bytes(row.stored_bytes),
    )
}
