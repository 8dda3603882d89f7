//! `drill`: brings a backup back to see that it can be, and keeps what came of it.

use crate::cli::context::Context;
use crate::cli::drills::execute::Done;
use crate::cli::drills::execute::execute;
use crate::cli::drills::execute::trouble_of;
use crate::cli::drills::junit;
use crate::cli::drills::scenario;
use crate::cli::drills::session::Session;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::jobs::told::Told;
use crate::cli::stop::Stop;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::format::attest::Attested as _;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::notify::Delivery;
use crate::ops::drill::list;
use crate::ops::drill::list::DrillRow;
use crate::ops::select::Selector;
use crate::settings::drill::DrillKind;
use crate::settings::drill::DrillSection;
use crate::settings::problem::meant;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Bring a backup back, measure how long that takes, and keep a signed record of it
#[derive(Debug, Args)]
pub(crate) struct DrillArguments {
    #[command(subcommand)]
    command: DrillCommand,
}

#[derive(Debug, Subcommand)]
enum DrillCommand {
    /// Do a drill of the configuration file
    ///
    /// It restores the newest complete snapshot of the drill's source, looks at what came back, wipes it, and stores a
    /// signed record. Time to recover (RTO) is measured from the beginning to the last check, loss of data (RPO) from the
    /// time of the data to the beginning. It ends with 5 if something that is stored is damaged, with 6 if a check
    /// failed or an objective was missed, and with 7 if something could not be verified, which never passes.
    Run(RunArguments),
    /// List the drills that are recorded
    List {
        /// Only those of this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Show what a drill came to
    Show {
        /// A name, of which the newest is meant, or the record as `drill list` names it [default: the newest drill]
        #[arg(value_name = "DRILL")]
        drill: Option<String>,
        /// Write it as in-toto's `test-result/v0.1` to this file, and its signature beside it, to FILE.sig
        #[arg(long, value_name = "FILE")]
        test_result: Option<PathBuf>,
        /// Write it as XML of `JUnit` to this file
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// Keep a signed record that somebody looked at a drill and stands for it
    SignOff {
        /// A name, of which the newest is meant, or the record as `drill list` names it [default: the newest drill]
        #[arg(value_name = "DRILL")]
        drill: Option<String>,
        /// Who, in at most 2048 bytes
        #[arg(long, value_name = "NAME")]
        by: String,
        /// In which function
        #[arg(long, value_name = "TEXT")]
        function: Option<String>,
        /// What they say
        #[arg(long, value_name = "TEXT")]
        words: Option<String>,
    },
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The drill, as `[drill.NAME]` calls it
    #[arg(value_name = "NAME")]
    name: String,
    /// Another snapshot of its source than the newest complete one; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT")]
    selector: Option<OsString>,
    /// Read from this copy of the configuration file alone; the record goes to the repository itself
    #[arg(long, value_name = "COPY")]
    from_copy: Option<String>,
    /// Use nothing that this host kept: an empty cache, and what the recovery kit has
    #[arg(long, requires = "kit")]
    cold: bool,
    /// The recovery kit, as `key recovery-kit` prints it, of the configured repository, or of the one that `--repo` names
    #[arg(long, value_name = "FILE", requires = "cold")]
    kit: Option<PathBuf>,
    /// Who confirms the steps of a scenario, where nobody can be asked on a terminal
    #[arg(long, value_name = "NAME")]
    confirmed_by: Option<String>,
    /// Write what came of it as XML of `JUnit` to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl DrillArguments {
    /// The word of the audit log, and whether something is written beside the record of what was read.
    pub(crate) const fn operation(&self) -> Option<(&'static str, bool)> {
        match &self.command {
            DrillCommand::Run(_) => Some(("drill", false)),
            DrillCommand::SignOff { .. } => Some(("drill-sign-off", true)),
            DrillCommand::Show { test_result: Some(_), .. } => Some(("drill-export", true)),
            DrillCommand::Show { .. } | DrillCommand::List { .. } => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: DrillArguments) -> Result<Exit, Failure> {
    match arguments.command {
        DrillCommand::Run(arguments) => run_drill(context, &arguments),
        DrillCommand::List { name } => list_drills(context, name.as_deref()),
        DrillCommand::Show { drill, test_result, junit } => {
            show(context, drill.as_deref(), test_result.as_deref(), junit.as_deref())
        }
        DrillCommand::SignOff { drill, by, function, words } => {
            sign_off(context, drill.as_deref(), (by, function, words))
        }
    }
}

fn run_drill(context: &Context, arguments: &RunArguments) -> Result<Exit, Failure> {
    let settings = &context.configuration()?.settings;
    let name = arguments.name.as_str();
    let Some(section) = settings.drill(name) else {
        let names: Vec<&str> =
            settings.drills.iter().map(|drill| drill.name.value.as_str()).collect();
        let hint = match meant(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => {
                "`sbf-repo config example` shows how drills are written down".to_owned()
            }
            None => format!("there are `{}`", names.join("`, `")),
        };
        let why = format!("the configuration file has no [drill.{name}]");
        return Err(Failure::usage(why).with_hint(hint));
    };
    if arguments.confirmed_by.as_ref().is_some_and(|by| by.trim().is_empty()) {
        return Err(Failure::usage("`--confirmed-by` names nobody".to_owned()));
    }
    // Before the drill: what it comes to is to be told.
    let junit = arguments.junit.as_deref().map(Report::create).transpose()?;
    // What came back is wiped, also if the terminal goes away.
    Stop::heed_hang_up();
    context.audit.set_subject(name);
    let mut told = Told::begin(context, format!("drill:{name}"))?;
    let result = run_section(context, section, arguments);
    match &result {
        Ok((done, _)) => {
            let trouble = trouble_of(&done.drill);
            let trouble = trouble.map(|check| format!("{}: {}", check.name, check.detail));
            told.end(done.exit, done.drill.snapshot.as_deref(), trouble.as_deref());
        }
        Err(failure) => told.end(failure.exit, None, Some(&failure.summary())),
    }
    told.warn(context);
    let (done, inner) = result?;
    if let Some(Err(failure)) = junit.map(|report| report.write(&junit::text(&done.drill))) {
        context.output.warn(&failure.summary());
    }
    Ok(tell(context, &done, &inner, &told.deliveries))
}

fn run_section(
    context: &Context,
    section: &DrillSection,
    arguments: &RunArguments,
) -> Result<(Done, Vec<Done>), Failure> {
    let selector = arguments.selector.as_ref();
    let selector = selector.map(|text| Selector::parse(text.as_bytes())).transpose()?;
    if section.target == DrillKind::Scenario && selector.is_some() {
        let why = "a scenario takes no snapshot: its drills take the newest of their sources";
        return Err(Failure::usage(why.to_owned()));
    }
    let session = Session::open(context, arguments.from_copy.as_deref(), arguments.kit.as_deref())?;
    let role = session.main.role();
    if !Drill::ROLES.contains(&role) {
        return Err(Failure::lacks_role(
            role,
            "a drill reads what is stored and signs what it found: it needs a key of the role `reader` or `admin`",
        ));
    }
    if section.target == DrillKind::Scenario {
        scenario::run(context, &session, section, arguments.confirmed_by.clone())
    } else {
        // To open the repository is a part of it.
        execute(context, &session, section, selector, Duration::ZERO).map(|done| (done, Vec::new()))
    }
}

/// A file for other programs, made before what it will say is known.
struct Report<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Report<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => {
                let why = format!("`{}` cannot be written: {error}", path.display());
                Err(Failure::usage(why))
            }
        }
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| Failure::local("write", self.path, source))
    }
}

fn tell(context: &Context, done: &Done, inner: &[Done], deliveries: &[Delivery]) -> Exit {
    let drill = &done.drill;
    for check in &drill.checks {
        // Details hold names and messages of others.
        let words = format!("{}: {}", check.name.escape_debug(), check.detail.escape_debug());
        match check.outcome {
            Outcome::Pass => context.output.note(format_args!("pass: {words}")),
            Outcome::NotVerified => context.output.warn(&format!("could not verify: {words}")),
            Outcome::Fail => context.output.error(&format!("failed: {words}")),
        }
    }
    let rto = drill.rto_milliseconds.map(|time| words::duration(Duration::from_millis(time)));
    let rpo = drill.rpo_seconds.map(|time| words::duration(Duration::from_secs(time)));
    let none = || "not known".to_owned();
    context.output.note(format_args!(
        "drill {}: {}; time to recover {}, data lost {}; record {}",
        drill.name.escape_debug(),
        outcome_word(drill.outcome),
        rto.unwrap_or_else(none),
        rpo.unwrap_or_else(none),
        done.record,
    ));
    let inner: Vec<_> =
        inner.iter().map(|done| json!({ "record": done.record, "drill": done.drill })).collect();
    let report = json!({
        "record": done.record,
        "drill": drill,
        "drills": inner,
        "notifications": deliveries,
    });
    context.output.finish(&report, done.exit)
}

fn list_drills(context: &Context, name: Option<&str>) -> Result<Exit, Failure> {
    let mut found = list::drills(&context.open()?)?;
    found.rows.retain(|row| name.is_none_or(|name| row.drill.name == name));
    context.output.warn_of(&found.findings);
    let titles = ["TIME", "DRILL", "OUTCOME", "RTO", "RPO", "TARGET", "SIGNED OFF", "RECORD"];
    let mut table = Table::new(&titles);
    for DrillRow { record, drill, sign_offs, .. } in &found.rows {
        let none = || "-".to_owned();
        let rto = drill.rto_milliseconds.map(Duration::from_millis).map(words::duration);
        let rpo = drill.rpo_seconds.map(Duration::from_secs).map(words::duration);
        let by: Vec<&str> = sign_offs.iter().map(|each| each.by.as_str()).collect();
        table.push(vec![
            short_time(&drill.time),
            drill.name.escape_debug().to_string(),
            outcome_word(drill.outcome).to_owned(),
            rto.unwrap_or_else(none),
            rpo.unwrap_or_else(none),
            drill.target.escape_debug().to_string(),
            if by.is_empty() { none() } else { by.join(", ").escape_debug().to_string() },
            record.clone(),
        ]);
    }
    if found.rows.is_empty() {
        context.output.note(format_args!("no drill is recorded"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    let exit = if found.findings.is_empty() { Exit::Success } else { Exit::Damage };
    let report = json!({ "drills": found.rows, "findings": found.findings });
    Ok(context.output.finish(&report, exit))
}

fn show(
    context: &Context,
    drill: Option<&str>,
    test_result: Option<&Path>,
    junit: Option<&Path>,
) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let found = list::drills(&repository)?;
    context.output.warn_of(&found.findings);
    let row = found.choose(drill)?;
    if let Some(file) = test_result {
        let (statement, signature) = list::test_result(&repository, row)?;
        put(file, &statement)?;
        let mut beside = file.as_os_str().to_owned();
        beside.push(".sig");
        put(Path::new(&beside), signature.as_bytes())?;
    }
    if let Some(file) = junit {
        put(file, junit::text(&row.drill).as_bytes())?;
    }
    let exit = if found.findings.is_empty() { Exit::Success } else { Exit::Damage };
    show_words(context, row);
    Ok(context.output.finish(&json!({ "drill": row, "findings": found.findings }), exit))
}

fn show_words(context: &Context, row: &DrillRow) {
    let (drill, output) = (&row.drill, &context.output);
    let rto = drill.rto_milliseconds.map(Duration::from_millis).map(words::duration);
    let rpo = drill.rpo_seconds.map(Duration::from_secs).map(words::duration);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows = [
        ("drill", drill.name.clone()),
        ("outcome", outcome_word(drill.outcome).to_owned()),
        ("time", drill.time.clone()),
        ("finished", drill.finished.clone()),
        ("host", drill.host.clone()),
        ("job", text(&drill.job)),
        ("source", drill.source.clone()),
        ("snapshot", text(&drill.snapshot)),
        ("data time", text(&drill.data_time)),
        ("target", drill.target.clone()),
        ("copy", text(&drill.copy)),
        ("cache", drill.cache.clone()),
        ("RTO", rto.unwrap_or_default()),
        ("RPO", rpo.unwrap_or_default()),
        ("size", crate::units::human_bytes(drill.bytes)),
        ("scratch", drill.scratch.clone()),
        ("record", row.record.clone()),
        ("client", row.client.clone()),
    ];
    for (name, value) in rows.iter().filter(|(_name, value)| !value.is_empty()) {
        output.line(format_args!("{name:<10} {}", value.escape_debug()));
    }
    for (name, value) in &drill.environment {
        output.line(format_args!(
            "{:<10} {}",
            name.escape_debug().to_string(),
            value.escape_debug()
        ));
    }
    for phase in &drill.phases {
        let by = phase.confirmed_by.as_ref().map(|by| format!(", confirmed by {by}"));
        output.line(format_args!(
            "phase: {} took {}{}",
            phase.name.escape_debug(),
            words::duration(Duration::from_millis(phase.milliseconds)),
            by.unwrap_or_default().escape_debug(),
        ));
    }
    for check in &drill.checks {
        let (name, detail) = (check.name.escape_debug(), check.detail.escape_debug());
        output.line(format_args!("{}: {name}: {detail}", outcome_word(check.outcome)));
    }
    for each in &row.sign_offs {
        let function = each.function.as_ref().map(|function| format!(", {function}"));
        let said = each.words.as_ref().map(|words| format!(": {words}"));
        output.line(format_args!(
            "signed off by {}{} at {}{}",
            each.by.escape_debug(),
            function.unwrap_or_default().escape_debug(),
            each.time,
            said.unwrap_or_default().escape_debug(),
        ));
    }
}

fn sign_off(
    context: &Context,
    drill: Option<&str>,
    said: (String, Option<String>, Option<String>),
) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let found = list::drills(&repository)?;
    context.output.warn_of(&found.findings);
    let row = found.choose(drill)?;
    context.audit.set_subject(&row.drill.name);
    let (record, sign_off) = list::sign_off(&repository, row, said)?;
    context.output.note(format_args!("{} signed off drill {}", sign_off.by, row.record));
    let report = json!({ "record": record.to_string(), "sign_off": sign_off });
    Ok(context.output.finish(&report, Exit::Success))
}

const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::NotVerified => "not verified",
        Outcome::Fail => "fail",
    }
}

/// Writes a file for other programs.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|source| Failure::local("write", path, source))
}
