//! The report in a few lines, for a terminal.

use crate::report::model::Level;
use crate::report::model::Report;
use crate::report::moment::Zone;
use std::fmt::Write as _;

/// The verdict, its points and the jobs.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ignored = write_all(&mut text, report);
    printable(&text)
}

fn write_all(text: &mut String, report: &Report) -> std::fmt::Result {
    let zone = Zone::named(&report.period.timezone).unwrap_or_else(Zone::utc);
    let until = zone.minute(report.period.told_until);
    writeln!(text, "{}, told until {until} {}", report.period.label, report.period.timezone)?;
    writeln!(text, "{}", report.verdict.sentence)?;
    if !report.period.is_whole {
        writeln!(text, "The period is not told to its end: no record is newer.")?;
    }
    writeln!(text)?;
    for point in &report.verdict.points {
        let mark = match point.level {
            Level::Good => "ok",
            Level::Unknown => "?",
            Level::Attention => "look",
            Level::Bad => "BAD",
        };
        writeln!(text, "{mark:<5} {:<13} {:<18} {}", point.title, point.figure, point.words)?;
    }
    let jobs = &report.runs.jobs;
    if !jobs.is_empty() {
        writeln!(text)?;
    }
    for job in jobs.iter().take(JOBS_COUNT_MAX) {
        let counts = &job.counts;
        writeln!(
            text,
            "{}: {} of {} expected runs succeeded; {} late, {} incomplete, {} failed, {} missed; {} more made",
            job.job,
            counts.succeeded,
            counts.expected,
            counts.late,
            counts.incomplete,
            counts.failed,
            counts.missed,
            job.unscheduled
        )?;
    }
    if jobs.len() > JOBS_COUNT_MAX {
        writeln!(text, "and {} more jobs", jobs.len() - JOBS_COUNT_MAX)?;
    }
    Ok(())
}

/// Text whose names neither move a terminal's cursor nor turn its words around.
fn printable(text: &str) -> String {
    let is_plain = |letter: char| {
        letter == '\n'
            || !(letter.is_control()
                || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    text.chars().map(|letter| if is_plain(letter) { letter } else { '\u{fffd}' }).collect()
}

const JOBS_COUNT_MAX: usize = 20;
