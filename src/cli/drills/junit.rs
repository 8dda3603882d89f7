//! A drill as XML of `JUnit`, which services that show tests understand.

use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use std::fmt::Write as _;

/// The text of a file: a suite of one test a check. What could not be looked at is an error there, never skipped:
/// skipped tests let a suite pass.
pub(crate) fn text(drill: &Drill) -> String {
    let count = |outcome| drill.checks.iter().filter(|check| check.outcome == outcome).count();
    let (tests, failures) = (drill.checks.len(), count(Outcome::Fail));
    let errors = count(Outcome::NotVerified);
    let milliseconds: u64 = drill.phases.iter().map(|phase| phase.milliseconds).sum();
    let time = seconds(milliseconds);
    let (name, host) = (escaped(&drill.name), escaped(&drill.host));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" failures=\"{failures}\" \
         errors=\"{errors}\" time=\"{time}\">\n  <testsuite name=\"drill {name}\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{time}\" timestamp=\"{}\" \
         hostname=\"{host}\">\n    <properties>\n",
        escaped(&drill.time)
    );
    let rto = drill.rto_milliseconds.map(seconds);
    let rpo = drill.rpo_seconds.map(|seconds| seconds.to_string());
    let known = [("rto_seconds", rto), ("rpo_seconds", rpo), ("snapshot", drill.snapshot.clone())];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    for (name, value) in known.chain(drill.environment.clone()) {
        let (name, value) = (escaped(&name), escaped(&value));
        // Writing into a string does not fail.
        let _ignored = writeln!(text, "      <property name=\"{name}\" value=\"{value}\"/>");
    }
    text.push_str("    </properties>\n");
    for check in &drill.checks {
        let (check_name, detail) = (escaped(&check.name), escaped(&check.detail));
        let _ignored =
            write!(text, "    <testcase classname=\"drill.{name}\" name=\"{check_name}\"");
        let _ignored = match check.outcome {
            Outcome::Pass => writeln!(text, "><system-out>{detail}</system-out></testcase>"),
            Outcome::Fail => writeln!(text, "><failure message=\"{detail}\"/></testcase>"),
            Outcome::NotVerified => {
                writeln!(text, "><error message=\"could not verify: {detail}\"/></testcase>")
            }
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// A text as XML takes it: characters that it has no way to write are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => escaped.push(other),
        }
    }
    escaped
}
