//! `[drill.NAME]`: what is brought back to see that it can be, and how that is judged.

use crate::settings::At;
use crate::settings::job::JobSection;
use crate::settings::place;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::path::PathBuf;
use std::time::Duration;

/// A section `[drill.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DrillSection {
    /// What `drill run` calls it.
    pub(crate) name: At<String>,
    /// The job whose snapshots come back, and whose `rto` and `rpo` count.
    pub(crate) job: Option<At<String>>,
    /// The source, if not that of a job.
    pub(crate) source: Option<At<String>>,
    /// Where what comes back goes.
    pub(crate) target: DrillKind,
    /// Within how long the next one is due.
    pub(crate) max_age: Option<At<Duration>>,
    /// Which of several databases.
    pub(crate) database: Option<At<String>>,
    /// What of the snapshot.
    pub(crate) path: Option<At<String>>,
    /// The staging server.
    pub(crate) dsn: Option<At<String>>,
    /// The command that looks at what came back.
    pub(crate) command: Option<At<Vec<String>>>,
    /// SQL that must answer with one `true`.
    pub(crate) assertions: Vec<String>,
    /// Roles that are made before.
    pub(crate) roles: Vec<String>,
    /// The time zone of a private server.
    pub(crate) timezone: Option<At<String>>,
    /// Where programs of `PostgreSQL` are.
    pub(crate) programs: Option<At<PathBuf>>,
    /// Where there is room.
    pub(crate) scratch: Option<At<PathBuf>>,
    /// Whether tables and indexes are looked at.
    pub(crate) amcheck: bool,
    /// Whether it is dumped again and compared.
    pub(crate) redump: bool,
    /// What a scenario does, in order.
    pub(crate) steps: Vec<StepSection>,
}

/// Where what comes back goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrillKind {
    Scratch,
    Url,
    Files,
    Command,
    Scenario,
}

/// A step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepSection {
    /// What is done, for people.
    pub(crate) words: String,
    pub(crate) what: StepKind,
}

/// How a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// A person does it, and says so.
    Confirm,
    /// A command does.
    Command(Vec<String>),
    /// Another drill does.
    Drill(At<String>),
}

impl DrillSection {
    /// Takes every such section from a file.
    pub(crate) fn decode_all(file: &mut Section<'_>, jobs: &[JobSection]) -> Vec<Self> {
        let mut drills: Vec<Self> = Vec::new();
        for (name, mut section) in file.named_sections("drill") {
            drills.extend(Self::decode(name, &mut section, jobs));
            section.finish();
        }
        for drill in &drills {
            drill.check_steps(&drills, file);
        }
        drills
    }

    fn decode(name: At<String>, section: &mut Section<'_>, jobs: &[JobSection]) -> Option<Self> {
        let kinds = [
            ("scratch", DrillKind::Scratch),
            ("url", DrillKind::Url),
            ("files", DrillKind::Files),
            ("command", DrillKind::Command),
            ("scenario", DrillKind::Scenario),
        ];
        if section.line_of("target").is_none() {
            section.refuse_missing("target");
        }
        let target = section.choice("target", &kinds);
        let job = section.text("job");
        let max_age = section.parsed("max_age", quantities::duration);
        let target = target?.value;
        if let Err(why) = place::name(&name.value) {
            section.refuse(name.line, format!("[drill.{}]: {why}", name.value));
        }
        if let Some(at) = &job
            && !jobs.iter().any(|known| known.name.value == at.value)
        {
            section.refuse_key(at.line, "job", &format!("there is no [job.{}]", at.value));
        }
        let mut drill = Self::nothing(name, target);
        (drill.job, drill.max_age) = (job, max_age);
        if target == DrillKind::Scenario {
            drill.steps = steps(section);
            return Some(drill);
        }
        drill.source = section.text("source");
        match (&drill.job, &drill.source) {
            (None, None) => section.refuse_missing("job"),
            (Some(_), Some(source)) => {
                section.refuse_key(source.line, "source", "the job has a source already");
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        drill.scratch = section.path("scratch");
        match target {
            DrillKind::Scratch | DrillKind::Url => drill.take_database(section),
            DrillKind::Files | DrillKind::Command => drill.path = section.text("path"),
            DrillKind::Scenario => {}
        }
        if target == DrillKind::Command {
            drill.command = needed(section, "command", Section::texts);
        }
        Some(drill)
    }

    fn take_database(&mut self, section: &mut Section<'_>) {
        self.database = section.text("database");
        let list = |at: Option<At<Vec<String>>>| at.map(|at| at.value).unwrap_or_default();
        self.assertions = list(section.texts("assert"));
        self.programs = section.path("programs");
        self.amcheck = section.switch("amcheck").is_none_or(|at| at.value);
        self.redump = section.switch("redump").is_none_or(|at| at.value);
        if self.target == DrillKind::Scratch {
            self.roles = list(section.texts("roles"));
            self.timezone = section.text("timezone");
        } else {
            self.dsn = needed(section, "dsn", Section::text);
        }
    }

    fn nothing(name: At<String>, target: DrillKind) -> Self {
        Self {
            name,
            job: None,
            source: None,
            target,
            max_age: None,
            database: None,
            path: None,
            dsn: None,
            command: None,
            assertions: Vec::new(),
            roles: Vec::new(),
            timezone: None,
            programs: None,
            scratch: None,
            amcheck: true,
            redump: true,
            steps: Vec::new(),
        }
    }

    /// Drills of a scenario are there, and are no scenarios: none goes round in circles.
    fn check_steps(&self, drills: &[Self], file: &Section<'_>) {
        for step in &self.steps {
            let StepKind::Drill(At { value, line }) = &step.what else { continue };
            let found = drills.iter().find(|drill| drill.name.value == *value);
            let why = match found {
                None => format!("there is no [drill.{value}]"),
                Some(found) if found.target == DrillKind::Scenario => {
                    format!("[drill.{value}] is a scenario itself")
                }
                Some(_) => continue,
            };
            file.refuse(*line, format!("`drill` in [[drill.{}.step]]: {why}", self.name.value));
        }
    }
}

fn steps(section: &mut Section<'_>) -> Vec<StepSection> {
    let mut steps = Vec::new();
    for mut step in section.sections("step") {
        let words = needed(&mut step, "words", Section::text);
        let confirm = step.switch("confirm").filter(|at| at.value);
        let (command, drill) = (step.texts("command"), step.text("drill"));
        let what = match (confirm, command, drill) {
            (Some(_), None, None) => Some(StepKind::Confirm),
            (None, Some(argv), None) => Some(StepKind::Command(argv.value)),
            (None, None, Some(drill)) => Some(StepKind::Drill(drill)),
            (_, _, _) => {
                let what = "needs exactly one of `confirm = true`, `command` and `drill`";
                step.refuse(step.line(), format!("{} {what}", step.name()));
                None
            }
        };
        if let (Some(words), Some(what)) = (words, what) {
            steps.push(StepSection { words: words.value, what });
        }
        step.finish();
    }
    if steps.is_empty() && section.line_of("step").is_none() {
        section.refuse_missing("step");
    }
    steps
}

/// A key without which nothing can be done.
fn needed<'t, T>(
    section: &mut Section<'t>,
    key: &'static str,
    take: fn(&mut Section<'t>, &'static str) -> Option<T>,
) -> Option<T> {
    if section.line_of(key).is_none() {
        section.refuse_missing(key);
    }
    take(section, key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use std::path::Path;

    fn decode(text: &str) -> Result<Vec<DrillSection>, Vec<String>> {
        let text = format!("[job.db]\nkind = 'files'\npaths = ['/a']\n{text}");
        let decoded = Settings::decode(&text, Path::new("/etc/x"));
        decoded
            .map(|settings| settings.drills)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_drill_has_what_its_target_needs_and_nothing_else() {
        let drills = decode(
            "[drill.a]\njob = 'db'\ntarget = 'scratch'\nassert = ['select true']\nmax_age = '100d'\namcheck = false\n\
             [drill.q]\ntarget = 'scenario'\n[[drill.q.step]]\nwords = 'switch'\nconfirm = true\n\
             [[drill.q.step]]\nwords = 'back'\ndrill = 'a'\n",
        )
        .unwrap();
        assert_eq!((drills[0].amcheck, drills[0].redump), (false, true));
        assert_eq!(drills[1].steps.len(), 2);
        let refuses = |text: &str, expected: &[&str]| {
            assert_eq!(decode(text).unwrap_err(), expected, "{text}");
        };
        refuses("[drill.a]\ntarget = 'files'\n", &["line 4: [drill.a] has no `job`"]);
        refuses(
            "[drill.a]\ntarget = 'files'\njob = 'none'\ndsn = 'x'\n",
            &[
                "line 6: `job` in [drill.a]: there is no [job.none]",
                "line 7: there is no key `dsn` in [drill.a]; it may have `target`, `job`, `max_age`, `source`, `scratch`, `path`",
            ],
        );
        refuses(
            "[drill.q]\ntarget = 'scenario'\n[[drill.q.step]]\nwords = 'x'\ndrill = 'q'\n",
            &["line 8: `drill` in [[drill.q.step]]: [drill.q] is a scenario itself"],
        );
        refuses(
            "[drill.q]\ntarget = 'scenario'\n[[drill.q.step]]\nwords = 'x'\n",
            &[
                "line 6: [[drill.q.step]] needs exactly one of `confirm = true`, `command` and `drill`",
            ],
        );
    }
}
