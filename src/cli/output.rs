//! The one module that writes to the terminal: data to standard output, words to standard error.

use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::ops::audit::run::AuditReport;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Arguments;
use std::io;
use std::io::BufWriter;
use std::io::Stdout;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Where everything that the program says goes.
#[derive(Debug)]
pub(crate) struct Output {
    form: Form,
    loudness: Loudness,
    data: Mutex<Data>,
}

/// In what form results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines for people.
    Words,
    /// One JSON object.
    Json,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// Only what is wrong.
    Quiet,
    /// What was done.
    Normal,
    /// What is being done.
    Verbose,
}

#[derive(Debug)]
struct Data {
    stdout: BufWriter<Stdout>,
    list: List,
    /// The final JSON object, until the output is closed.
    last: Option<Map<String, Value>>,
    /// What the repository lacks that this host has seen of it.
    back: Option<Finding>,
    /// The first error of a write.
    failed: Option<io::ErrorKind>,
}

/// A list that is written entry by entry inside the final JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Closed,
    Empty,
    Begun,
}

impl Output {
    /// An output of this form.
    pub(crate) fn new(form: Form, loudness: Loudness) -> Self {
        let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        let data = Data { stdout, list: List::Closed, last: None, back: None, failed: None };
        Self { form, loudness, data: Mutex::new(data) }
    }

    /// An output of one JSON object.
    pub(crate) fn json() -> Self {
        Self::new(Form::Json, Loudness::Normal)
    }

    /// In what form results are written.
    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    /// How much is said.
    pub(crate) const fn loudness(&self) -> Loudness {
        self.loudness
    }

    /// Writes a line of data for people.
    pub(crate) fn line(&self, text: Arguments<'_>) {
        if self.form == Form::Words {
            self.data().attempt(|stdout| writeln!(stdout, "{text}"));
        }
    }

    /// Writes data that is not for people; never beside a JSON object.
    pub(crate) fn text(&self, text: &str) {
        if self.form == Form::Words {
            self.data().attempt(|stdout| stdout.write_all(text.as_bytes()));
        }
    }

    /// Says what went wrong, of a command that goes on to its end.
    #[expect(clippy::unused_self, reason = "everything that is said goes through an output")]
    pub(crate) fn error(&self, text: &str) {
        say(format_args!("error: {text}"));
    }

    /// Says what was done; nothing with `--quiet`.
    pub(crate) fn note(&self, text: Arguments<'_>) {
        if self.loudness != Loudness::Quiet {
            say(text);
        }
    }

    /// Says what is being done; only with `--verbose`.
    pub(crate) fn detail(&self, text: Arguments<'_>) {
        if self.loudness == Loudness::Verbose {
            say(text);
        }
    }

    /// Says that somebody should look at something.
    #[expect(clippy::unused_self, reason = "everything that is said goes through an output")]
    pub(crate) fn warn(&self, text: &str) {
        say(format_args!("warning: {text}"));
    }

    /// Warns of a repository that went back, whatever the command is; its report gets the finding, too.
    pub(crate) fn warn_back(&self, finding: Finding) {
        self.warn_of(std::slice::from_ref(&finding));
        self.data().back = Some(finding);
    }

    /// Warns of what was found, and says once each what can be done.
    pub(crate) fn warn_of(&self, findings: &[Finding]) {
        let told = self.data().back.as_ref().map(|finding| finding.code);
        let findings: Vec<&Finding> =
            findings.iter().filter(|finding| Some(finding.code) != told).collect();
        for finding in &findings {
            self.warn(&format!("{}: {}", finding.object, finding.effect));
        }
        let losses = findings.iter().filter(|finding| finding.severity == Severity::Loss);
        let remedies: BTreeSet<&str> = losses.map(|finding| finding.remedy.as_str()).collect();
        for remedy in remedies {
            say(format_args!("hint: {remedy}"));
        }
    }

    /// Begins a list in the final JSON object whose entries are not kept in memory.
    pub(crate) fn open_list(&self, name: &str) {
        if self.form == Form::Json {
            let mut data = self.data();
            data.list = List::Empty;
            data.attempt(|stdout| write!(stdout, "{{{}:[", Value::from(name)));
        }
    }

    /// Adds an entry to the open list.
    pub(crate) fn push(&self, entry: &impl Serialize) {
        let mut data = self.data();
        let separator: &[u8] = if data.list == List::Begun { b",\n" } else { b"\n" };
        data.list = List::Begun;
        data.attempt(|stdout| {
            stdout.write_all(separator)?;
            Ok(serde_json::to_writer(stdout, entry)?)
        });
    }

    /// Gives the final JSON object, which closing writes; nothing in words, which were written before.
    pub(crate) fn finish(&self, report: &impl Serialize, exit: Exit) -> Exit {
        let mut data = self.data();
        if self.form == Form::Words && data.back.is_none() {
            return exit;
        }
        let mut fields = match serde_json::to_value(report) {
            Ok(Value::Object(fields)) => fields,
            Ok(other) => Map::from_iter([("result".to_owned(), other)]),
            Err(error) => Map::from_iter([("error".to_owned(), error.to_string().into())]),
        };
        let exit = match &data.back {
            Some(back) => add_back(&mut fields, back, exit),
            None => exit,
        };
        if self.form == Form::Json {
            fields.insert("exit_code".to_owned(), exit.code().into());
            data.last = Some(fields);
        }
        exit
    }

    /// Adds to the final JSON object where the records of this run are.
    pub(crate) fn add_audit(&self, reports: Vec<AuditReport>) {
        if let Some(fields) = &mut self.data().last
            && !reports.is_empty()
            && let Ok(value) = serde_json::to_value(reports)
        {
            fields.insert("audit".to_owned(), value);
        }
    }

    /// Says why a command failed.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        if self.is_closed_pipe() {
            return Exit::ClosedPipe;
        }
        match self.form {
            Form::Words => say(format_args!("{}", failure.words().trim_end())),
            Form::Json => {
                let error = Map::from_iter([("error".to_owned(), failure.json())]);
                self.finish(&error, failure.exit);
            }
        }
        failure.exit
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.data().failed == Some(io::ErrorKind::BrokenPipe)
    }

    /// Writes what is buffered, and turns an exit into the process's code.
    pub(crate) fn close(&self, exit: Exit) -> ExitCode {
        let mut data = self.data();
        if let Some(mut fields) = data.last.take() {
            fields.insert("exit_code".to_owned(), exit.code().into());
            data.object(&fields);
        }
        data.attempt(Write::flush);
        match data.failed {
            None => exit.into(),
            Some(io::ErrorKind::BrokenPipe) => Exit::ClosedPipe.into(),
            Some(kind) => {
                say(format_args!("error: cannot write to standard output\n  caused by: {kind}"));
                Exit::Failure.into()
            }
        }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.stdout).err().map(|error| error.kind());
        }
    }

    fn object(&mut self, fields: &Map<String, Value>) {
        let list = std::mem::replace(&mut self.list, List::Closed);
        self.attempt(|stdout| {
            if list == List::Closed {
                serde_json::to_writer(&mut *stdout, fields)?;
                return writeln!(stdout);
            }
            write!(stdout, "]")?;
            for (name, value) in fields {
                write!(stdout, ",\n{}:{value}", Value::from(name.as_str()))?;
            }
            writeln!(stdout, "}}")
        });
    }
}

/// Raw data, as `dump` writes it.
impl Write for &Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut data = self.data();
        let written = data.stdout.write(bytes);
        data.failed = data.failed.or(written.as_ref().err().map(io::Error::kind));
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut data = self.data();
        let flushed = data.stdout.flush();
        data.failed = data.failed.or(flushed.as_ref().err().map(io::Error::kind));
        flushed
    }
}

/// Adds to a report that the repository went back; the exit is as for any other of its findings, if it has some.
fn add_back(fields: &mut Map<String, Value>, back: &Finding, exit: Exit) -> Exit {
    let Ok(told) = serde_json::to_value(back) else { return exit };
    if let Some(findings) = fields.get_mut("findings").and_then(Value::as_array_mut) {
        if findings.iter().all(|finding| finding.get("code") != told.get("code")) {
            findings.push(told);
        }
        return if exit == Exit::Success { Exit::Damage } else { exit };
    }
    let counts = fields.values().any(|value| value.get("findings").is_some());
    fields.insert("findings".to_owned(), Value::Array(vec![told]));
    if counts && exit == Exit::Success { Exit::Damage } else { exit }
}

fn say(text: Arguments<'_>) {
    // If nobody hears errors there is nobody to tell.
    let _ignored = writeln!(io::stderr().lock(), "{text}");
}

const BUFFER_BYTES: usize = 65_536;
