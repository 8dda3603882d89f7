//! Which commands dump databases of a server of `PostgreSQL`.

use crate::command::CommandEnd;
use crate::command::CommandReader;
use crate::command::ErrorOutput;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::snapshot::options::CommandOutput;
use crate::ops::snapshot::options::CommandSource;
use crate::ops::snapshot::options::Expected;
use crate::ops::snapshot::options::SeveralSource;
use crate::repo::repository::Repository;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Databases of one server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresSource {
    /// How `libpq` finds the server; without a password.
    connection: String,
    /// The databases; the one of the connection if there is none.
    pub databases: Vec<String>,
    /// Whether roles and tablespaces are dumped, too, without passwords.
    pub globals: bool,
    /// Where the programs are, if not in the search path.
    pub programs: Option<PathBuf>,
    /// What each database becomes.
    pub format: PostgresFormat,
}

/// What a dump of a database is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresFormat {
    /// One file of SQL, which needs no room on this host.
    #[default]
    Plain,
    /// A directory, which is made before it is stored.
    Directory {
        /// Tables that are dumped at once.
        jobs: u16,
        /// In which directory there is room for it.
        scratch: PathBuf,
    },
}

/// A server that answered, and what is to be dumped of it.
#[derive(Debug, Clone)]
pub struct PostgresPlan {
    source: PostgresSource,
    databases: Vec<String>,
    /// Whether the programs take `--restrict-key`.
    restricts: bool,
}

impl PostgresSource {
    /// The databases that a connection string, or the name of a service, leads to.
    ///
    /// Errors: [`OpError::Usage`] if it holds a password: command lines are no secret.
    pub fn new(connection: &str) -> Result<Self, OpError> {
        let usage = |why: &str| Err(OpError::Usage { why: why.to_owned() });
        if holds_password(connection) {
            return usage(
                "the connection string holds a password, which everybody on this host could read: put it into \
                 `~/.pgpass`, or name a service of `pg_service.conf`",
            );
        }
        if connection.is_empty() || connection.contains(['\0', '\n']) {
            return usage("the connection string is empty or holds a line break");
        }
        let is_string = is_url(connection) || connection.contains('=');
        let is_service = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
        if !is_string && !connection.chars().all(is_service) {
            return usage("this is neither a connection string nor the name of a service");
        }
        let connection =
            if is_string { connection.to_owned() } else { format!("service={connection}") };
        let (databases, format) = (Vec::new(), PostgresFormat::Plain);
        Ok(Self { connection, databases, globals: true, programs: None, format })
    }

    /// Asks the server what it is, and whether the programs here can dump it.
    ///
    /// Errors: [`OpError::SourceCommand`] if a program fails, or `pg_dump` is older than the server.
    pub fn plan(self) -> Result<PostgresPlan, OpError> {
        let own = self.own_version()?;
        let asked = self.ask("SHOW server_version_num")?;
        let server = asked.trim().parse::<u32>().ok().map(|number| number / 10_000);
        let failed = |how: String| Err(OpError::SourceCommand { how });
        let Some(server) = server else {
            return failed(format!("the server's version `{}` is no number", asked.trim()));
        };
        if own < server {
            return failed(format!(
                "pg_dump {own} is older than the server, which is PostgreSQL {server}, and cannot dump it: name the \
                 directory of newer programs with `--pg-bin DIRECTORY`"
            ));
        }
        if own < READER_VERSION_MIN && self.format != PostgresFormat::Plain {
            return failed(format!(
                "pg_dump {own} is too old for a dump in a directory, which takes PostgreSQL {READER_VERSION_MIN}"
            ));
        }
        let databases = if self.databases.is_empty() {
            vec![self.ask("SELECT current_database()")?.trim_end_matches('\n').to_owned()]
        } else {
            self.databases.clone()
        };
        for (at, database) in databases.iter().enumerate() {
            if databases[..at].contains(database) {
                return Err(OpError::Usage { why: format!("`{database}` is named twice") });
            }
        }
        let help = output(&[self.program("pg_dump"), "--help".into()])?;
        let restricts = help.contains("--restrict-key");
        Ok(PostgresPlan { source: self, databases, restricts })
    }

    fn own_version(&self) -> Result<u32, OpError> {
        let words = output(&[self.program("pg_dump"), "--version".into()])?;
        let version = words.split_whitespace().find_map(|word| {
            let major = word.split(|letter: char| !letter.is_ascii_digit()).next()?;
            major.parse().ok()
        });
        version.ok_or_else(|| OpError::SourceCommand {
            how: format!("`pg_dump --version` says `{}`", words.trim()),
        })
    }

    fn ask(&self, question: &str) -> Result<String, OpError> {
        let database = self.databases.first();
        let connection =
            database.map_or_else(|| self.connection.clone(), |name| self.connection_to(name));
        let mut argv = vec![self.program("psql")];
        argv.extend(["-X", "-A", "-t", "-q", "--no-password", "-c", question].map(OsString::from));
        argv.extend(["-d".into(), connection.into()]);
        output(&argv)
    }

    fn program(&self, name: &str) -> OsString {
        self.programs.as_ref().map_or_else(|| name.into(), |folder| folder.join(name).into())
    }

    /// What a database is called in the snapshot: a slash is the one letter that names of databases may have
    /// and names of files may not.
    fn name_of(&self, database: &str) -> String {
        let name = database.replace('/', "%2F");
        match self.format {
            PostgresFormat::Plain => format!("{name}.sql"),
            PostgresFormat::Directory { .. } => name,
        }
    }

    /// The connection as it was named.
    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// The connection with another database: what comes last counts.
    pub(crate) fn connection_to(&self, database: &str) -> String {
        let connection = &self.connection;
        if !is_url(connection) {
            let quoted = database.replace('\\', "\\\\").replace('\'', "\\'");
            return format!("{connection} dbname='{quoted}'");
        }
        let mut encoded = String::new();
        for byte in database.bytes() {
            // Writing into a string does not fail.
            let _ignored = write!(encoded, "%{byte:02X}");
        }
        let mark = if connection.contains('?') { '&' } else { '?' };
        format!("{connection}{mark}dbname={encoded}")
    }
}

impl PostgresPlan {
    /// The names of the files that the dumps become.
    pub fn names(&self) -> Vec<String> {
        self.databases.iter().map(|database| self.source.name_of(database)).collect()
    }

    /// The commands that dump what was planned, for a source of this name.
    ///
    /// Errors: [`OpError::Usage`] if a name of a database is none of a file.
    pub fn commands(
        &self,
        repository: &Repository,
        source: &str,
    ) -> Result<SeveralSource, OpError> {
        let Self { source: postgres, databases, restricts } = self;
        let word = repository.keys.restrict_word(source).during("cannot name the dump")?;
        // Otherwise `\restrict` has another word each time.
        let restrict = restricts.then(|| OsString::from(format!("--restrict-key={word}")));
        let command = |name: String, program: &str, arguments: &[&str], connection: String| {
            let mut argv = vec![postgres.program(program), "--no-password".into()];
            argv.extend(arguments.iter().map(OsString::from));
            argv.extend(["-d".into(), connection.into()]);
            let mut command = CommandSource::new(name, argv);
            command.variables = variables();
            command
        };
        let printed = |mut command: CommandSource| {
            command.argv.splice(2..2, restrict.clone());
            command.expected = Expected::PostgresDump;
            command
        };
        let mut commands = Vec::new();
        if postgres.globals {
            let arguments = ["--globals-only", "--no-role-passwords"];
            let connection = postgres.connection_to(&databases[0]);
            let globals = command(GLOBALS.to_owned(), "pg_dumpall", &arguments, connection);
            commands.push(printed(globals));
        }
        for database in databases {
            let connection = postgres.connection_to(database);
            let name = postgres.name_of(database);
            commands.push(match &postgres.format {
                PostgresFormat::Plain => {
                    printed(command(name, "pg_dump", &["--format=plain"], connection))
                }
                PostgresFormat::Directory { jobs, scratch } => {
                    let jobs = format!("--jobs={jobs}");
                    // Durable is what the repository stores, and not what is removed afterwards.
                    let arguments =
                        ["--format=directory", "--compress=0", "--no-sync", jobs.as_str()];
                    let reader = postgres.program("pg_restore");
                    let scratch = scratch.clone();
                    let mut command = command(name, "pg_dump", &arguments, connection);
                    command.output = CommandOutput::Directory { reader, scratch };
                    command
                }
            });
        }
        let mut several = SeveralSource::new(commands);
        several.is_postgres = true;
        Ok(several)
    }
}

/// Runs a short command and returns its output.
fn output(argv: &[OsString]) -> Result<String, OpError> {
    let program = argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let failed = |how: String| OpError::SourceCommand { how: format!("{program}: {how}") };
    let mut child =
        CommandReader::spawn_with(argv, ErrorOutput::Capture, &variables()).map_err(|error| {
            failed(format!(
                "cannot {}: {}; `--pg-bin DIRECTORY` says where the programs of PostgreSQL are",
                error.call, error.source
            ))
        })?;
    let mut buffer = vec![0; OUTPUT_BYTES_MAX];
    let read = child.read(&mut buffer);
    let length = read.map_err(|error| failed(format!("{error}: {}", error.source)))?;
    let outcome = child.finish().map_err(|error| failed(format!("{error}: {}", error.source)))?;
    if outcome.end == CommandEnd::Exited(0) {
        buffer.truncate(length);
        return Ok(String::from_utf8_lossy(&buffer).into_owned());
    }
    let words = String::from_utf8_lossy(&outcome.stderr).trim().replace('\n', "; ");
    let words = words.trim_start_matches("psql: ").trim_start_matches("error: ");
    Err(failed(words.to_owned()))
}

fn variables() -> Vec<(OsString, OsString)> {
    vec![("PGAPPNAME".into(), "sbf-repo".into())]
}

fn is_url(connection: &str) -> bool {
    connection.starts_with("postgres://") || connection.starts_with("postgresql://")
}

/// Whether a connection string may hold a password, also in forms that `libpq` would not take.
pub(crate) fn holds_password(connection: &str) -> bool {
    let lower = connection.to_lowercase();
    let is_named = lower
        .match_indices("password")
        .any(|(at, word)| lower[at + word.len()..].trim_start().starts_with(['=', '%']));
    let Some((_, rest)) = connection.split_once("://") else { return is_named };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    // A password may hold any of `/?@`, unless it is written as it should be.
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    let is_in_user = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        || (!authority.contains('@') && user.contains(':'));
    is_named || is_in_user
}

/// The file of roles and tablespaces.
const GLOBALS: &str = "globals.sql";
/// The first `pg_restore` that prints what it reads if it is told to.
const READER_VERSION_MIN: u32 = 12;
/// Much more than the help of `pg_dump`.
const OUTPUT_BYTES_MAX: usize = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_connection_strings_are_found() {
        for secret in [
            "host=h password=x",
            "host=h PASSWORD = x",
            "sslpassword=x",
            "postgres://u:x@h/db",
            "postgresql://u:a/b@h/db",
            "postgresql://h/db?password=x",
            "postgresql://h/db?user=u&password=x",
        ] {
            assert!(PostgresSource::new(secret).is_err(), "{secret}");
        }
        for plain in [
            "service=app",
            "app",
            "postgres://u@h:5432/db",
            "postgresql:///db?host=/run/x",
            "dbname=x",
        ] {
            assert!(PostgresSource::new(plain).is_ok(), "{plain}");
        }
    }

    #[test]
    fn another_database_takes_the_place_of_the_first() {
        let to = |connection: &str| PostgresSource::new(connection).unwrap().connection_to("a'b");
        assert_eq!(to("app"), "service=app dbname='a\\'b'");
        assert_eq!(to("postgres:///x"), "postgres:///x?dbname=%61%27%62");
        assert_eq!(to("postgres:///x?host=h"), "postgres:///x?host=h&dbname=%61%27%62");
    }
}
