//! What an owner reads first: one sentence, and the points that it is made of.

use crate::report::model::Level;
use crate::report::model::RecoveryPoint;
use crate::report::model::Report;
use crate::report::model::Verdict;
use crate::report::model::VerdictPoint;
use crate::report::words::count;
use crate::report::words::duration;
use crate::report::words::percent;
use crate::units::to_usize;

/// Nothing is known yet.
pub(super) const fn unknown() -> Verdict {
    Verdict { level: Level::Unknown, sentence: String::new(), points: Vec::new() }
}

/// The verdict on a report whose other parts are there.
pub(super) fn verdict(report: &Report) -> Verdict {
    let runs = runs(report);
    let is_planned = runs.level != Level::Unknown;
    let points = [
        records(report),
        Some(runs),
        Some(recovery_points(report)),
        incidents(report),
        Some(drills(report)),
        Some(verification(report)),
        Some(retention(report)),
        erasures(report),
        controls(report),
    ];
    let points: Vec<VerdictPoint> = points.into_iter().flatten().collect();
    // What is not known is told, and is no reason to call what is known worse than it is.
    let known = points.iter().map(|point| point.level).filter(|level| *level != Level::Unknown);
    let worst = known.max().unwrap_or(Level::Unknown);
    let level = if is_planned { worst } else { worst.max(Level::Unknown) };
    let sentence = sentence(report, level, &points);
    Verdict { level, sentence, points }
}

fn sentence(report: &Report, level: Level, points: &[VerdictPoint]) -> String {
    let counts = &report.runs.total;
    let runs = match counts.expected {
        0 => "no run was expected".to_owned(),
        all if all == counts.succeeded => {
            let all = count(to_usize(all), "expected run", "expected runs");
            format!("all {all} succeeded")
        }
        all => format!("{} of {all} expected runs succeeded", counts.succeeded),
    };
    match level {
        Level::Good => format!("Backups did what was planned: {runs}."),
        Level::Unknown if !report.runs.is_planned => {
            "No plan was recorded: nothing was expected, so nobody can say from this whether backups ran as they should."
                .to_owned()
        }
        Level::Unknown => "Nothing was due: whether backups run as they should is not seen here.".to_owned(),
        Level::Attention => {
            let what = points.iter().filter(|point| point.level == Level::Attention);
            let titles: Vec<String> = what.map(noun).collect();
            format!("Somebody should look at {}: {runs}.", listed(&titles))
        }
        Level::Bad => {
            let what = points.iter().filter(|point| point.level == Level::Bad);
            let titles: Vec<String> = what.map(noun).collect();
            format!("Something is wrong with {}: {runs}.", listed(&titles))
        }
    }
}

fn noun(point: &VerdictPoint) -> String {
    match point.title {
        "Age of data" => "the age of data".to_owned(),
        "Verification" => "what was read in full".to_owned(),
        title => title.to_lowercase(),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn point(
    level: Level,
    (section, title): (&'static str, &'static str),
    figure: String,
    words: String,
) -> VerdictPoint {
    VerdictPoint { level, section, title, figure, words }
}

/// What cannot be read, if there is something.
fn records(report: &Report) -> Option<VerdictPoint> {
    if report.findings.is_empty() {
        return None;
    }
    let losses = report.findings.iter().filter(|finding| finding.is_loss).count();
    let level = if losses > 0 { Level::Bad } else { Level::Attention };
    let what = count(report.findings.len(), "object", "objects");
    let words =
        format!("{what} cannot be read or does not count; what is told below may lack something.");
    Some(point(level, ("records", "Records"), report.findings.len().to_string(), words))
}

fn runs(report: &Report) -> VerdictPoint {
    let what = ("runs", "Runs");
    let (runs, counts) = (&report.runs, &report.runs.total);
    let Some(share) = counts.success_hundredths else {
        let why = if runs.is_planned {
            "No run was due."
        } else {
            "No plan was recorded: nothing was expected."
        };
        return point(Level::Unknown, what, "none expected".to_owned(), why.to_owned());
    };
    let figure = format!("{} of {}", counts.succeeded, counts.expected);
    if counts.succeeded == counts.expected {
        let words = "Every run that was to come came in time, whole.".to_owned();
        return point(Level::Good, what, figure, words);
    }
    let others = [
        (counts.missed, "never came"),
        (counts.failed, "failed"),
        (counts.incomplete, "left something out"),
        (counts.late, "came late"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: Vec<String> = others.map(|(count, word)| format!("{count} {word}")).collect();
    let level = if counts.succeeded == 0 { Level::Bad } else { Level::Attention };
    point(level, what, figure, format!("{} succeeded; {}.", percent(share), listed(&others)))
}

fn recovery_points(report: &Report) -> VerdictPoint {
    let what = ("recovery-points", "Age of data");
    let points = &report.recovery_points;
    let targeted = points.iter().filter(|point| point.target_seconds.is_some());
    let is_over = points.iter().any(|point| point.over_count > 0);
    let of = |point: &&RecoveryPoint| {
        if is_over { point.over_count > 0 } else { point.target_seconds.is_some() }
    };
    let oldest = points.iter().filter(of).filter_map(|point| point.worst_seconds).max();
    let figure = oldest.map_or_else(|| "not known".to_owned(), duration);
    let over: Vec<String> = points
        .iter()
        .filter(|point| point.over_count > 0)
        .map(|point| format!("“{}”", point.source))
        .collect();
    if !over.is_empty() {
        let named: Vec<String> = over.iter().take(NAMED_COUNT_MAX).cloned().collect();
        let more = over.len().saturating_sub(NAMED_COUNT_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let words =
            format!("The newest copy of {}{more} was older than allowed.", named.join(", "));
        return point(Level::Bad, what, figure, words);
    }
    match targeted.count() {
        0 => {
            point(Level::Unknown, what, figure, "No plan says how old data may become.".to_owned())
        }
        _ => point(
            Level::Good,
            what,
            figure,
            "The oldest that data became, within its target.".to_owned(),
        ),
    }
}

fn incidents(report: &Report) -> Option<VerdictPoint> {
    let open = report.incidents.iter().filter(|row| row.is_open).count();
    let slow = report.incidents.iter().filter(|row| {
        let target = row.target_seconds.and_then(|target| i64::try_from(target).ok());
        row.seconds.zip(target).is_some_and(|(took, may)| took > may)
    });
    let what = ("recovery-time", "Incidents");
    let figure = report.incidents.len().to_string();
    match (report.incidents.len(), open, slow.count()) {
        (0, ..) => None,
        (_, 1.., _) => {
            let words = format!("{} not over.", count(open, "incident is", "incidents are"));
            Some(point(Level::Bad, what, figure, words))
        }
        (_, 0, 1..) => {
            let words = "Recovery took longer than its target.".to_owned();
            Some(point(Level::Attention, what, figure, words))
        }
        (_, 0, 0) => Some(point(Level::Good, what, figure, "All of it is back.".to_owned())),
    }
}

fn drills(report: &Report) -> VerdictPoint {
    let what = ("drills", "Drills");
    let of = |outcome: &str| report.drills.iter().filter(|drill| drill.outcome == outcome).count();
    let (passed, all) = (of("pass"), report.drills.len());
    let figure = format!("{passed} of {all} passed");
    if all == 0 {
        let words = "No drill was recorded: that data comes back is not shown.".to_owned();
        return point(Level::Attention, what, "none".to_owned(), words);
    }
    let failed = of("fail");
    if failed > 0 {
        let words = format!("{} failed.", count(failed, "drill", "drills"));
        return point(Level::Bad, what, figure, words);
    }
    if passed < all {
        let words = "Of some, not everything could be checked.".to_owned();
        return point(Level::Attention, what, figure, words);
    }
    point(Level::Good, what, figure, "Data was brought back and compared.".to_owned())
}

fn verification(report: &Report) -> VerdictPoint {
    let what = ("verification", "Verification");
    let verification = &report.verification;
    let damaged: u64 = verification.checks.iter().map(|check| check.damaged).sum();
    let newest = verification.checks.iter().max_by_key(|check| check.time);
    let found = newest.map_or(0, |check| check.findings);
    let Some(coverage) = &verification.coverage else {
        let words = "No record says how much was read in full.".to_owned();
        let level = if damaged + found > 0 { Level::Bad } else { Level::Unknown };
        return point(level, what, "not known".to_owned(), words);
    };
    let figure = coverage.hundredths.map_or_else(|| "nothing stored".to_owned(), percent);
    if damaged > 0 {
        let words = format!("Checks found {damaged} damaged packs.");
        return point(Level::Bad, what, figure, words);
    }
    if found > 0 {
        let things = count(to_usize(found), "thing that is wrong", "things that are wrong");
        let words = format!("The newest check found {things}.");
        return point(Level::Bad, what, figure, words);
    }
    let age = coverage.oldest.map(|oldest| report.period.told_until.since(oldest));
    let target = verification.target_seconds.and_then(|target| i64::try_from(target).ok());
    let is_whole = coverage.hundredths.is_none_or(|share| share >= 10_000);
    let aged = |age: i64| {
        format!("What was not read for longest was read {} before the end.", duration(age))
    };
    match (age, target) {
        (Some(age), Some(may)) if age > may => point(Level::Attention, what, figure, aged(age)),
        // Whether what was never read is old enough to be due, a state does not say: the control looks at more of them.
        _ if !is_whole && holds(report, "verification") => {
            let words = "What was not read yet is not due yet.".to_owned();
            point(Level::Good, what, figure, words)
        }
        _ if !is_whole => {
            let words = "Of what is stored, so much was read in full.".to_owned();
            point(Level::Attention, what, figure, words)
        }
        (Some(age), _) => point(Level::Good, what, figure, aged(age)),
        (None, _) => point(Level::Good, what, figure, "All of it was read in full.".to_owned()),
    }
}

/// Whether a control holds.
fn holds(report: &Report, control: &str) -> bool {
    report.controls.iter().any(|row| row.id == control && row.outcome == "pass")
}

fn retention(report: &Report) -> VerdictPoint {
    let what = ("retention", "Retention");
    let slots = report.retention.iter().flat_map(|row| &row.slots);
    let expected: Vec<_> =
        slots.filter(|slot| slot.is_expected || slot.snapshot.is_some()).collect();
    let kept = expected.iter().filter(|slot| slot.snapshot.is_some()).count();
    let beyond = report.retention.iter().flat_map(|row| &row.beyond);
    let overdue = beyond.filter(|kept| kept.is_overdue).count();
    let early: usize = report.retention.iter().map(|row| row.gone_early.len()).sum();
    let figure = format!("{kept} of {}", expected.len());
    if report.retention.iter().all(|row| row.slots.is_empty()) {
        let words = "No record says what is to be kept.".to_owned();
        return point(Level::Unknown, what, "no policy".to_owned(), words);
    }
    if kept < expected.len() {
        let words = "Days, weeks, months or years that must be kept lack a snapshot.".to_owned();
        return point(Level::Attention, what, figure, words);
    }
    if early > 0 {
        let gone = count(early, "snapshot was", "snapshots were");
        let words = format!("{gone} forgotten though the policy kept them.");
        return point(Level::Attention, what, figure, words);
    }
    if overdue > 0 {
        let words = format!(
            "{} kept for longer than the policy says.",
            count(overdue, "snapshot is", "snapshots are")
        );
        return point(Level::Attention, what, figure, words);
    }
    point(
        Level::Good,
        what,
        figure,
        "Every day, week, month and year that must be kept is there.".to_owned(),
    )
}

fn erasures(report: &Report) -> Option<VerdictPoint> {
    let pending: u64 = report.erasures.iter().map(|row| row.pending).sum();
    (pending > 0).then(|| {
        let words =
            "What had been erased came back with a restore and was not erased again.".to_owned();
        point(Level::Bad, ("erasures", "Erasures"), pending.to_string(), words)
    })
}

fn controls(report: &Report) -> Option<VerdictPoint> {
    let of = |outcome: &str| report.controls.iter().filter(|row| row.outcome == outcome).count();
    let (passed, failed) = (of("pass"), of("fail"));
    let figure = format!("{passed} of {} hold", passed + failed);
    match (passed + failed, failed) {
        (0, _) => None,
        (_, 0) => {
            let words = "All controls that apply hold.".to_owned();
            Some(point(Level::Good, ("controls", "Controls"), figure, words))
        }
        (_, failed) => {
            let words = format!("{} not hold.", count(failed, "control does", "controls do"));
            Some(point(Level::Attention, ("controls", "Controls"), figure, words))
        }
    }
}

/// Sources that a sentence names.
const NAMED_COUNT_MAX: usize = 3;
