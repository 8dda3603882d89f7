//! `[job.NAME]`: what is backed up, when, and what is expected of it.

use crate::calendar::Calendar;
use crate::settings::At;
use crate::settings::hooks::Hooks;
use crate::settings::place;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A section `[job.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobSection {
    /// What `run` and `status` call it.
    pub(crate) name: At<String>,
    /// The source of its snapshots.
    pub(crate) source: At<String>,
    /// When it runs.
    pub(crate) schedule: Option<At<Calendar>>,
    /// What else starts it, in a word: `deployment`. For people: nothing here acts on it.
    pub(crate) trigger: Option<At<String>>,
    /// How old the data of the newest snapshot may be.
    pub(crate) rpo: Option<At<Duration>>,
    /// How long getting it back may take; drills of the job measure it.
    pub(crate) rto: Option<At<Duration>>,
    /// How long after its time a run may end before it counts as missed.
    pub(crate) grace: Duration,
    /// Commands around it.
    pub(crate) hooks: Hooks,
    /// What erases again when older data of it comes back: a program with its arguments, without a shell.
    pub(crate) replay: Option<At<Vec<String>>>,
    /// The database that it dumps: a service or a connection string.
    pub(crate) connection: Option<At<String>>,
    /// What `snapshot` is told beside the source.
    pub(crate) words: Vec<OsString>,
}

/// What a job backs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Files,
    Postgres,
    Command,
    /// Any of them in one snapshot.
    Several,
}

impl JobSection {
    /// Takes every such section from a file.
    pub(crate) fn decode_all(file: &mut Section<'_>) -> Vec<Self> {
        let mut jobs: Vec<Self> = Vec::new();
        for (name, mut section) in file.named_sections("job") {
            if let Some(job) = Self::decode(name, &mut section) {
                match jobs.iter().find(|other| other.source.value == job.source.value) {
                    Some(other) => section.refuse(
                        job.name.line,
                        format!(
                            "{} has the source `{}`, as [job.{}] has",
                            section.name(),
                            job.source.value,
                            other.name.value
                        ),
                    ),
                    None => jobs.push(job),
                }
            }
            section.finish();
        }
        jobs
    }

    fn decode(name: At<String>, section: &mut Section<'_>) -> Option<Self> {
        let kinds = [
            ("files", Kind::Files),
            ("postgres", Kind::Postgres),
            ("command", Kind::Command),
            ("several", Kind::Several),
        ];
        if section.line_of("kind").is_none() {
            section.refuse_missing("kind");
        }
        let kind = section.choice("kind", &kinds);
        let source = section.text("source");
        let schedule = section.parsed("schedule", str::parse);
        let trigger = section.parsed("trigger", place::name);
        let rpo = section.parsed("rpo", quantities::duration);
        let rto = section.parsed("rto", quantities::duration);
        let grace = section.parsed("grace", quantities::duration);
        let hooks = Hooks::decode(section);
        let replay = section.texts("replay");
        let mut words = common(section);
        let kind = kind?.value;
        let mut connection = None;
        if matches!(kind, Kind::Postgres | Kind::Several) {
            connection = section.text("dsn");
            words.extend(postgres(section, kind, connection.clone()));
        }
        if kind == Kind::Several {
            words.extend(streams(section));
        }
        if matches!(kind, Kind::Files | Kind::Several) {
            words.extend(files(section, kind));
        }
        if kind == Kind::Command {
            words.extend(command(section));
        }
        if let Err(why) = place::name(&name.value) {
            section.refuse(name.line, format!("[job.{}]: {why}", name.value));
            return None;
        }
        let source = source.unwrap_or_else(|| name.clone());
        let grace = grace.map_or(USUAL_GRACE, |at| at.value);
        Some(Self {
            name,
            source,
            schedule,
            trigger,
            rpo,
            rto,
            grace,
            hooks,
            replay,
            connection,
            words,
        })
    }
}

/// What any job may say.
fn common(section: &mut Section<'_>) -> Vec<OsString> {
    let mut words = Words::default();
    words.each("--tag", section.texts("tags"));
    words.text("--host", section.text("host"));
    let deltas = ["auto", "on", "off"].map(|word| (word, word));
    words.choice("--delta", section.choice("delta", &deltas).as_ref());
    words.0
}

fn postgres(
    section: &mut Section<'_>,
    kind: Kind,
    connection: Option<At<String>>,
) -> Vec<OsString> {
    let mut words = Words::default();
    words.text("--postgres", connection);
    if kind == Kind::Postgres && section.line_of("dsn").is_none() {
        section.refuse_missing("dsn");
    }
    words.each("--pg-database", section.texts("databases"));
    words.switch("--pg-no-globals", section.switch("globals").map(|at| !at.value));
    let formats = ["plain", "directory"].map(|word| (word, word));
    words.choice("--pg-format", section.choice("format", &formats).as_ref());
    if let Some(At { value, .. }) = section.count("jobs") {
        words.push("--pg-jobs", value.to_string());
    }
    words.path("--pg-scratch", section.path("scratch"));
    words.path("--pg-bin", section.path("programs"));
    words.text("--max-row-drop", section.parsed("max_row_drop", percent));
    words.each("--allow-dropped-table", section.texts("allow_dropped_tables"));
    words.0
}

fn files(section: &mut Section<'_>, kind: Kind) -> Vec<OsString> {
    let mut words = Words::default();
    words.each("--exclude", section.texts("exclude"));
    words.each("--exclude-if-present", section.texts("exclude_if_present"));
    words.path("--exclude-file", section.path("exclude_file"));
    words.switch("--exclude-caches", section.switch("exclude_caches").map(|at| at.value));
    words.switch("--one-file-system", section.switch("one_file_system").map(|at| at.value));
    if kind == Kind::Files && section.line_of("paths").is_none() {
        section.refuse_missing("paths");
    }
    if let Some(paths) = section.paths("paths") {
        words.0.push("--".into());
        words.0.extend(paths.value.into_iter().map(PathBuf::into_os_string));
    }
    words.0
}

fn command(section: &mut Section<'_>) -> Vec<OsString> {
    let mut words = Words::default();
    for key in ["file", "command"] {
        if section.line_of(key).is_none() {
            section.refuse_missing(key);
        }
    }
    words.text("--stdin-name", section.parsed("file", file_name));
    words.text("--expect-trailer", section.text("expect_trailer"));
    if let Some(argv) = section.texts("command") {
        words.0.extend(["--from-command".into(), "--".into()]);
        words.0.extend(argv.value.into_iter().map(OsString::from));
    }
    words.0
}

/// `[[job.NAME.stream]]`: the output of more commands.
fn streams(section: &mut Section<'_>) -> Vec<OsString> {
    let mut words = Words::default();
    for mut stream in section.sections("stream") {
        for key in ["file", "command"] {
            if stream.line_of(key).is_none() {
                stream.refuse_missing(key);
            }
        }
        let (file, argv) = (stream.parsed("file", file_name), stream.texts("command"));
        let trailer = stream.text("expect_trailer");
        if let (Some(file), Some(argv)) = (file, argv) {
            let quoted: Vec<String> = argv.value.iter().map(|word| quote(word)).collect();
            words.push("--stream", format!("{}={}", file.value, quoted.join(" ")));
            if let Some(trailer) = trailer {
                words.push("--expect-trailer-of", format!("{}={}", file.value, trailer.value));
            }
        }
        stream.finish();
    }
    words.0
}

/// Options, each one word, so that a value cannot be taken for an option.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn push(&mut self, option: &str, value: impl Into<OsString>) {
        let mut word = OsString::from(format!("{option}="));
        word.push(value.into());
        self.0.push(word);
    }

    fn text(&mut self, option: &str, value: Option<At<String>>) {
        if let Some(At { value, .. }) = value {
            self.push(option, value);
        }
    }

    fn choice(&mut self, option: &str, value: Option<&At<&str>>) {
        if let Some(At { value, .. }) = value {
            self.push(option, value);
        }
    }

    fn path(&mut self, option: &str, value: Option<At<PathBuf>>) {
        if let Some(At { value, .. }) = value {
            self.push(option, value);
        }
    }

    fn each(&mut self, option: &str, values: Option<At<Vec<String>>>) {
        for value in values.into_iter().flat_map(|at| at.value) {
            self.push(option, value);
        }
    }

    fn switch(&mut self, option: &str, is_on: Option<bool>) {
        if is_on == Some(true) {
            self.0.push(option.into());
        }
    }
}

/// A word as `--stream` takes it apart.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// A name at the top of a snapshot; `--stream` takes it up to the first `=`.
fn file_name(text: &str) -> Result<String, String> {
    if text.contains(['/', '=', '\0']) || [".", ".."].contains(&text) {
        return Err(format!("{text:?} is no name of a file, or holds `=`"));
    }
    Ok(text.to_owned())
}

/// A whole number of percent.
fn percent(text: &str) -> Result<String, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
    let number = number.filter(|number| *number <= 100);
    let number = number.ok_or_else(|| format!("`{text}` is not a share such as `50%`"))?;
    Ok(number.to_string())
}

const USUAL_GRACE: Duration = Duration::from_hours(2);
