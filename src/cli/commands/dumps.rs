//! Options of `snapshot` for commands and databases, and for what guards their dumps.

use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::Expected;
use crate::ops::snapshot::options::Guards;
use crate::ops::snapshot::postgres::PostgresPlan;
use crate::ops::snapshot::postgres::PostgresSource;
use clap::Args;
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
    /// What the last line of a command's output or of standard input must begin with
    #[arg(long, value_name = "TEXT")]
    expect_trailer: Option<String>,
    /// Dump a database of PostgreSQL: a service of `pg_service.conf`, or a connection string without password
    #[arg(long, value_name = "SERVICE|DSN")]
    postgres: Option<String>,
    /// Database to dump, instead of the one that is connected to; may be repeated
    #[arg(long, value_name = "NAME", requires = "postgres")]
    pg_database: Vec<String>,
    /// Leave out roles and tablespaces
    #[arg(long, requires = "postgres")]
    pg_no_globals: bool,
    /// Directory of `pg_dump`, `pg_dumpall` and `psql` [default: `$SBF_REPO_PG_BIN`, or where PATH says]
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

impl DumpArguments {
    /// What a dump must be like.
    pub(crate) fn guards(&self) -> Guards {
        let row_drop_percent = if self.allow_row_drop { 100 } else { self.max_row_drop };
        let dropped_tables = self.allow_dropped_table.clone();
        Guards { whole: !self.accept_cut_off, row_drop_percent, dropped_tables }
    }

    /// What a command's output must be like.
    pub(crate) fn expected(&self) -> Expected {
        self.expect_trailer.clone().map_or(Expected::Any, Expected::Trailer)
    }

    /// The server that is to be dumped, asked what it is.
    pub(crate) fn plan(&self) -> Result<Option<PostgresPlan>, Failure> {
        let Some(connection) = &self.postgres else { return Ok(None) };
        let mut source = PostgresSource::new(connection)?;
        source.databases.clone_from(&self.pg_database);
        source.globals = !self.pg_no_globals;
        source.programs = self.pg_bin.clone().or_else(|| environment::path("SBF_REPO_PG_BIN"));
        Ok(Some(source.plan()?))
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
            command.expected = self.expected();
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
