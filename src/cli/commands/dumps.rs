//! Options of `snapshot` for commands and databases, and for what guards their dumps.

use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::Expected;
use crate::ops::snapshot::options::Guards;
use crate::ops::snapshot::postgres::PostgresFormat;
use crate::ops::snapshot::postgres::PostgresPlan;
use crate::ops::snapshot::postgres::PostgresSource;
use clap::Args;
use clap::ValueEnum;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is dumped, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Dumps")]
pub(crate) struct DumpArguments {
    /// Also back up what COMMAND prints, as a file NAME; its words are split at spaces, quotes hold them
    /// together, and there is no shell; may be repeated
    #[arg(long, value_name = "NAME=COMMAND")]
    stream: Vec<String>,
    /// What the last line of each command's output, or of standard input, must begin with
    #[arg(long, value_name = "TEXT")]
    expect_trailer: Option<String>,
    /// The same for the stream NAME alone, instead of what holds for all; may be repeated
    #[arg(long, value_name = "NAME=TEXT")]
    expect_trailer_of: Vec<String>,
    /// Dump a database of PostgreSQL: a service of `pg_service.conf`, or a connection string without password
    #[arg(long, value_name = "SERVICE|DSN")]
    postgres: Option<String>,
    /// Database to dump, instead of the one that is connected to; may be repeated
    #[arg(long, value_name = "NAME", requires = "postgres")]
    pg_database: Vec<String>,
    /// Leave out roles and tablespaces
    #[arg(long, requires = "postgres")]
    pg_no_globals: bool,
    /// What each database becomes: `plain`, a file of SQL, or `directory`, for large ones: several tables are
    /// dumped at once, into a scratch directory that needs room for all of a database's dump
    #[arg(long, value_name = "FORMAT", default_value = "plain", requires = "postgres")]
    pg_format: PgFormat,
    /// Tables that are dumped at once into a directory [default: 2]
    #[arg(long, value_name = "COUNT", requires = "postgres", value_parser = clap::value_parser!(u16).range(1..=256))]
    pg_jobs: Option<u16>,
    /// Where there is room for a dump in a directory, uncompressed [default: `$TMPDIR`, or /var/tmp]
    #[arg(long, value_name = "DIRECTORY", requires = "postgres")]
    pg_scratch: Option<PathBuf>,
    /// Directory of `pg_dump`, `pg_dumpall`, `pg_restore` and `psql` [default: `$SBF_REPO_PG_BIN`, or where PATH says]
    #[arg(long, value_name = "DIRECTORY", requires = "postgres")]
    pg_bin: Option<PathBuf>,
    /// Refuse a dump of PostgreSQL if a table lost more of its rows since the snapshot before
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    max_row_drop: u8,
    /// Let tables lose any number of rows
    #[arg(long, conflicts_with = "max_row_drop")]
    allow_row_drop: bool,
    /// Let this table be gone, named as `public.users`; may be repeated
    #[arg(long, value_name = "TABLE")]
    allow_dropped_table: Vec<String>,
    /// Keep dumps that do not end as whole ones do
    #[arg(long)]
    accept_cut_off: bool,
}

/// What a database becomes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PgFormat {
    Plain,
    Directory,
}

impl DumpArguments {
    /// What a dump must be like.
    pub(crate) fn guards(&self) -> Guards {
        let row_drop_percent = if self.allow_row_drop { 100 } else { self.max_row_drop };
        let dropped_tables = self.allow_dropped_table.clone();
        Guards { whole: !self.accept_cut_off, compared: true, row_drop_percent, dropped_tables }
    }

    /// What the stream of this name must be like.
    pub(crate) fn expected(&self, name: &str) -> Expected {
        let own = self.trailers().find(|(stream, _)| *stream == name).map(|(_, text)| text);
        let trailer = own.or(self.expect_trailer.as_deref());
        trailer.map_or(Expected::Any, |trailer| Expected::Trailer(trailer.to_owned()))
    }

    /// Checks that every trailer of a stream has its stream, of those that commands and standard input give.
    pub(crate) fn check_trailers(&self, stdin_name: Option<&str>) -> Result<(), Failure> {
        let streams: Vec<&str> = self.stream.iter().map(|text| name_of(text)).collect();
        for (at, text) in self.expect_trailer_of.iter().enumerate() {
            let wrong = |why: &str| {
                let why = format!("`--expect-trailer-of {text}`: {why}");
                Failure::usage(why).with_hint(
                    "write it as `--expect-trailer-of 'shop.sql=-- Dump completed'`, with the name of a \
                     `--stream` or of `--stdin-name`",
                )
            };
            let (name, _) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
            if !streams.contains(&name) && stdin_name != Some(name) {
                return Err(wrong("no command and no standard input has this name"));
            }
            if self.trailers().take(at).any(|(other, _)| other == name) {
                return Err(wrong("the stream has a trailer already"));
            }
        }
        Ok(())
    }

    fn trailers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.expect_trailer_of.iter().filter_map(|text| text.split_once('='))
    }

    /// The server that is to be dumped, asked what it is.
    pub(crate) fn plan(&self) -> Result<Option<PostgresPlan>, Failure> {
        let Some(connection) = &self.postgres else { return Ok(None) };
        let mut source = PostgresSource::new(connection)?;
        source.databases.clone_from(&self.pg_database);
        source.globals = !self.pg_no_globals;
        source.programs = self.pg_bin.clone().or_else(|| environment::path("SBF_REPO_PG_BIN"));
        source.format = self.format()?;
        Ok(Some(source.plan()?))
    }

    fn format(&self) -> Result<PostgresFormat, Failure> {
        match self.pg_format {
            PgFormat::Plain if self.pg_jobs.is_some() || self.pg_scratch.is_some() => {
                let why = "`--pg-jobs` and `--pg-scratch` are for dumps in a directory".to_owned();
                Err(Failure::usage(why).with_hint("`--pg-format directory` makes them"))
            }
            PgFormat::Plain => Ok(PostgresFormat::Plain),
            PgFormat::Directory => {
                let scratch = self.pg_scratch.clone().or_else(|| environment::path("TMPDIR"));
                let scratch = scratch.unwrap_or_else(|| PathBuf::from(SCRATCH));
                Ok(PostgresFormat::Directory { jobs: self.pg_jobs.unwrap_or(JOBS_COUNT), scratch })
            }
        }
    }

    /// The commands of `--stream`.
    pub(crate) fn commands(&self) -> Result<Vec<CommandSource>, Failure> {
        let command = |text: &String| {
            let wrong = |why: &str| {
                let failure = Failure::usage(format!("`--stream {}`: {why}", name_of(text)));
                failure.with_hint(
                    "write it as `--stream 'app.sql=mysqldump --single-transaction app'`",
                )
            };
            let (name, words) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
            let argv = split_words(words).ok_or_else(|| wrong("a quote has no end"))?;
            if name.is_empty() || argv.is_empty() {
                return Err(wrong("the name or the command is missing"));
            }
            let mut command = CommandSource::new(name.to_owned(), argv);
            command.expected = self.expected(name);
            Ok(command)
        };
        self.stream.iter().map(command).collect()
    }
}

/// What may be shown of an option: the command may hold a secret.
fn name_of(text: &str) -> &str {
    text.split('=').next().unwrap_or_default()
}

/// The words of a command line: at spaces, but for those in quotes or behind a backslash. In single
/// quotes a backslash is one. `None` if a quote has no end.
fn split_words(text: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(letters.next()?),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then(|| words.into_iter().map(OsString::from).collect())
}

/// Where large temporary files belong: `/tmp` is in memory on many hosts.
const SCRATCH: &str = "/var/tmp";
/// How many tables are dumped at once if nobody says so: each is a session of the server.
const JOBS_COUNT: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|words| words.iter().map(OsString::from).collect());
            assert_eq!(split_words(text), expected, "{text}");
        };
        check("  pg_dump  -d app ", Some(&["pg_dump", "-d", "app"]));
        check(
            r#"sh -c 'a "b" \ c' "d 'e' \" f""#,
            Some(&["sh", "-c", r#"a "b" \ c"#, r#"d 'e' " f"#]),
        );
        check(r"a\ b '' c''d", Some(&["a b", "", "cd"]));
        check("", Some(&[]));
        check("a 'b", None);
        check("a \\", None);
    }
}
