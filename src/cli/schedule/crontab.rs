//! Lines for `/etc/cron.d`.

use crate::cli::failure::Failure;
use crate::cli::schedule::Timed;
use crate::cli::words::shell_words;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// The file: five fields, the user, the command; a line a job.
///
/// Errors: a time that cron cannot say.
pub(crate) fn file(
    timed: &[Timed<'_>],
    (command, variables): (&[String], &[String]),
    (user, tells): (&str, bool),
) -> Result<String, Failure> {
    let mut text =
        format!("{MARK}\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    for variable in variables {
        let _ignored = writeln!(text, "{variable}");
    }
    if tells {
        let _ignored =
            writeln!(text, "*/5 * * * * {user} {} --quiet alert tick", cron_words(command));
    }
    let mut zone: Option<&str> = None;
    // Lines of the host's own time come first: a line with another zone holds for all that follow.
    let mut sorted: Vec<&Timed<'_>> = timed.iter().collect();
    sorted.sort_by_key(|timed| other_zone(timed));
    for timed in sorted {
        let fields = timed.calendar.cron().map_err(|error| {
            let why = format!("`{}` of {}: {error}", timed.calendar, timed.name);
            Failure::usage(why)
                .with_hint("`sbf-repo schedule install` makes units of systemd of it")
        })?;
        if let Some(name) = other_zone(timed).filter(|name| zone != Some(name)) {
            let _ignored = writeln!(
                text,
                "# cronie and fcron know CRON_TZ, and the cron of Debian does not.\nCRON_TZ={name}"
            );
            zone = Some(name);
        }
        let words: Vec<String> =
            command.iter().cloned().chain(["--quiet".to_owned()]).chain(timed.words()).collect();
        let _ignored = writeln!(text, "{fields} {user} {}", cron_words(&words));
    }
    Ok(text)
}

/// The zone, if it is not the host's.
fn other_zone<'a>(timed: &Timed<'a>) -> Option<&'a str> {
    let name = timed.calendar.zone_name()?;
    let host = TimeZone::system();
    let is_same =
        host.iana_name() == Some(name) || (is_utc(name) && host.iana_name().is_some_and(is_utc));
    (!is_same).then_some(name)
}

fn is_utc(name: &str) -> bool {
    ["UTC", "Etc/UTC", "Etc/UCT", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT"].contains(&name)
}

/// As the shell takes them that cron runs; a percent sign would be a line break to cron.
fn cron_words(words: &[String]) -> String {
    shell_words(words).replace('%', r"\%")
}

/// The first line of what this program wrote.
pub(crate) const MARK: &str =
    "# Written by `sbf-repo schedule install`; `sbf-repo schedule remove` removes it.";
