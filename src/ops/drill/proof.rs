//! A dump comes back into a new database, and what is there then is compared with what was backed up.

use crate::command::Surroundings;
use crate::command::watched::drain;
use crate::format::dump::DumpForm;
use crate::format::dump::TABLES_COUNT_MAX;
use crate::ops::drill::Given;
use crate::ops::drill::cluster::FULL;
use crate::ops::drill::compare;
use crate::ops::drill::compare::Written;
use crate::ops::drill::compare::written_by;
use crate::ops::drill::database::Said;
use crate::ops::drill::database::Server;
use crate::ops::drill::database::stderr_words;
use crate::ops::drill::postgres::Dump;
use crate::ops::drill::prints::HEAD_BYTES;
use crate::ops::drill::prints::Printed;
use crate::ops::drill::prints::Prints;
use crate::ops::drill::prints::head_word;
use crate::ops::drill::record::Recorder;
use crate::ops::erasure::replays::Target;
use crate::ops::error::OpError;
use crate::ops::progress::NoProgress;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::dump;
use crate::ops::restore::restore;
use crate::ops::select::Selected;
use crate::ops::snapshot::scratch::Scratch;
use std::ffi::OsString;
use std::io;
use std::io::Write;

/// A dump that is to come back, and where.
pub(super) struct Proof<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) server: &'a Server<'a>,
    pub(super) dump: Dump<'a>,
    pub(super) selected: &'a Selected,
    /// Where a directory is put.
    pub(super) room: &'a Scratch,
    /// Whether the server's disk is full.
    pub(super) is_full: &'a dyn Fn() -> bool,
}

/// A dump as it is stored, which came back.
struct Stored {
    printed: Printed,
    /// The word behind `\restrict`.
    restrict: Option<String>,
}

impl Proof<'_> {
    /// Does all of it in a private server.
    pub(super) fn run(&self, recorder: &mut Recorder<'_>) -> Result<(), OpError> {
        self.run_in(recorder, "drill", "postgres")
    }

    /// Does all of it in a database of this name, made by way of another one.
    pub(super) fn run_in(
        &self,
        recorder: &mut Recorder<'_>,
        database: &str,
        by_way_of: &str,
    ) -> Result<(), OpError> {
        self.given.progress.begin("bringing the database back", 0, 0);
        let restored = match self.dump.fingerprint.form {
            DumpForm::PostgresqlDirectory => {
                self.restore_directory(recorder, database, by_way_of)?
            }
            DumpForm::PostgresqlPlain | DumpForm::PostgresqlCluster => {
                self.restore_plain(recorder, database, by_way_of)?
            }
        };
        recorder.phase("restore");
        let Some(stored) = restored else {
            recorder.not_reached(&CHECKS);
            return Ok(());
        };
        self.compare(recorder, database, &stored)?;
        if self.given.options.amcheck {
            self.amcheck(recorder, database)?;
        }
        let connection = (self.server.connect)(database);
        self.given.erase_again(recorder, Target::Database(&connection))?;
        self.assertions(recorder, database)
    }

    /// The path of the dump in the snapshot.
    fn path(&self) -> Selected {
        let mut selected = self.selected.clone();
        selected.path = vec![self.dump.stream.name.clone().into_bytes()];
        selected
    }

    /// Makes the database, in the encoding of the dump.
    fn make(
        &self,
        recorder: &mut Recorder<'_>,
        (database, by_way_of): (&str, &str),
        head: &[u8],
    ) -> Result<bool, OpError> {
        let encoding = head_word(head, "SET client_encoding = '", "';");
        let is_word =
            |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let encoding = encoding.filter(is_word).unwrap_or_else(|| "UTF8".to_owned());
        let locale = if encoding == "UTF8" { "" } else { " LC_COLLATE 'C' LC_CTYPE 'C'" };
        let sql =
            format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}'{locale}");
        // To its end, also if somebody asks to stop: a server goes on with what nobody waits for any more, and there would
        // be a database after the one that is dropped was not found.
        let made = self.server.sql_whatever(by_way_of, &sql);
        if self.given.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        match made {
            Said::Output(_) => Ok(true),
            Said::Failed(why) => {
                recorder.not_verified(RESTORE, self.with_room(&why));
                Ok(false)
            }
        }
    }

    /// What a program said, and whether the disk is full.
    fn with_room(&self, why: &str) -> String {
        if self.has_no_room(why) {
            return format!("the disk of the scratch directory is full: {why}");
        }
        why.to_owned()
    }

    fn has_no_room(&self, why: &str) -> bool {
        FULL.iter().any(|words| why.contains(words)) || (self.is_full)()
    }

    fn restore_failed(&self, recorder: &mut Recorder<'_>, why: &str) {
        // The machine has too little room: that says nothing of the backup.
        if self.has_no_room(why) {
            recorder.not_verified(RESTORE, self.with_room(why));
        } else {
            recorder.fail(RESTORE, why);
        }
    }

    fn restore_plain(
        &self,
        recorder: &mut Recorder<'_>,
        database: &str,
        by_way_of: &str,
    ) -> Result<Option<Stored>, OpError> {
        let given = self.given;
        let path = self.path();
        let mut head = Head(Vec::new());
        // It fails once there is enough.
        let peeked = dump(given.data, &path, &mut head, given.progress);
        match peeked {
            Err(OpError::Local { .. }) if head.0.len() >= HEAD_BYTES => {}
            Err(error) => return recorder.read_error(RESTORE, given.data, error).map(|()| None),
            Ok(_whole) => {}
        }
        let head = head.0;
        if !self.make(recorder, (database, by_way_of), &head)? {
            return Ok(None);
        }
        let (mut bytes, mut whole) = (0, None);
        let mut give = |input: &mut dyn Write| {
            let mut tee = Tee { input, prints: Prints::new(TABLES_COUNT_MAX) };
            bytes = dump(given.data, &path, &mut tee, given.progress)?;
            let printed = whole.insert(tee.prints.finish());
            // Before the end of the input is told: psql would take what was cut off for all of it.
            if printed.summary.as_ref().is_some_and(|summary| summary.is_complete) {
                Ok(())
            } else {
                Err(OpError::TargetCommand { how: "the dump is not whole".to_owned() })
            }
        };
        let fed = self.server.feed(database, &["-1"], &mut give)?;
        recorder.bytes += bytes;
        let restrict = head_word(&head, "\\restrict ", "");
        match fed {
            Err(error) => recorder.not_verified(RESTORE, format!("{error}: {}", error.source)),
            Ok((Err(OpError::TargetCommand { .. }), _)) => {
                recorder.fail(TRAILER, "the stored dump does not end as a whole one does");
            }
            // It stopped reading, and says why.
            Ok((Err(OpError::Local { .. }), outcome)) => {
                self.restore_failed(recorder, &stderr_words(&outcome.stderr));
            }
            Ok((Err(error), _killed)) => recorder.read_error(RESTORE, given.data, error)?,
            Ok((Ok(()), outcome)) => {
                recorder.pass(TRAILER, "the stored dump ends as a whole one does");
                if !outcome.end.is_success() {
                    self.restore_failed(recorder, &stderr_words(&outcome.stderr));
                    return Ok(None);
                }
                let has_said = !outcome.stderr.trim_ascii().is_empty();
                let warned = if has_said {
                    format!("; it said: {}", stderr_words(&outcome.stderr))
                } else {
                    String::new()
                };
                recorder
                    .pass(RESTORE, format!("psql took {bytes} bytes in one transaction{warned}"));
                return Ok(whole.map(|printed| Stored { printed, restrict }));
            }
        }
        Ok(None)
    }

    fn restore_directory(
        &self,
        recorder: &mut Recorder<'_>,
        database: &str,
        by_way_of: &str,
    ) -> Result<Option<Stored>, OpError> {
        let given = self.given;
        let folder = self.room.path().join("dump");
        let options = RestoreOptions::new(folder.clone());
        match restore(given.data, &self.path(), &options, given.progress) {
            Ok(report) => recorder.bytes += report.totals.bytes,
            Err(error) => return recorder.read_error(RESTORE, given.data, error).map(|()| None),
        }
        let restrict = self.restricts("pg_restore")?.then(|| "drill".to_owned());
        let mut argv = vec![self.server.programs.named("pg_restore"), "--file=-".into()];
        argv.extend(restrict.iter().map(|word| OsString::from(format!("--restrict-key={word}"))));
        argv.push(folder.clone().into());
        let (mut prints, mut head) = (Prints::new(TABLES_COUNT_MAX), Vec::new());
        let ended = self.drain_as_self(&argv, &mut |bytes| {
            let room = HEAD_BYTES.saturating_sub(head.len()).min(bytes.len());
            head.extend_from_slice(&bytes[..room]);
            prints.update(bytes);
        })?;
        let printed = prints.finish();
        let is_whole = printed.summary.as_ref().is_some_and(|summary| summary.is_complete);
        match ended {
            Ok(()) if is_whole => recorder.pass(TRAILER, "pg_restore reads all of the stored dump"),
            Ok(()) => {
                recorder.fail(TRAILER, "what pg_restore makes of the stored dump is not whole");
                return Ok(None);
            }
            Err(why) => {
                recorder.fail(TRAILER, why);
                return Ok(None);
            }
        }
        if !self.make(recorder, (database, by_way_of), &head)? {
            return Ok(None);
        }
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut argv = vec![self.server.programs.named("pg_restore")];
        argv.extend([
            "--exit-on-error".into(),
            "--no-password".into(),
            format!("--jobs={jobs}").into(),
        ]);
        argv.extend(["-d".into(), OsString::from((self.server.connect)(database)), folder.into()]);
        match self.drain_as_self(&argv, &mut |_bytes| {})? {
            Ok(()) => recorder.pass(RESTORE, format!("pg_restore took all of it with {jobs} jobs")),
            Err(why) => {
                self.restore_failed(recorder, &why);
                return Ok(None);
            }
        }
        Ok(Some(Stored { printed, restrict }))
    }

    /// Runs a program that interprets nothing of what it reads, as the user of this process, who has restored it.
    fn drain_as_self(
        &self,
        argv: &[OsString],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Result<(), String>, OpError> {
        let progress = self.given.progress;
        let ended = self.server.within(|around| {
            let around = Surroundings { user: None, ..*around };
            drain(argv, &around, &|| progress.is_cancelled(), take)
        });
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        Ok(match ended {
            Ok(outcome) if outcome.end.is_success() => Ok(()),
            Ok(outcome) => Err(stderr_words(&outcome.stderr)),
            Err(error) => Err(format!("{error}: {}", error.source)),
        })
    }

    /// Whether a program takes `--restrict-key`.
    fn restricts(&self, program: &str) -> Result<bool, OpError> {
        let mut help = Vec::new();
        let argv = [self.server.programs.named(program), "--help".into()];
        let _ended = self.drain_as_self(&argv, &mut |bytes| help.extend_from_slice(bytes))?;
        Ok(memchr::memmem::find(&help, b"--restrict-key").is_some())
    }

    /// Dumps again, and compares.
    fn compare(
        &self,
        recorder: &mut Recorder<'_>,
        database: &str,
        stored: &Stored,
    ) -> Result<(), OpError> {
        self.given.progress.begin("dumping again", 0, 0);
        let command = self.dump.stream.command.as_ref();
        let written = match command {
            Some(command) => written_by(&command.argv),
            None => written_by(&self.command_of_snapshot()),
        };
        let mut argv = vec![self.server.programs.named("pg_dump")];
        argv.extend(["--no-password", "--format=plain"].map(OsString::from));
        if let Written::With(options) = &written {
            argv.extend(options.iter().map(OsString::from));
        }
        if let Some(word) = &stored.restrict
            && self.restricts("pg_dump")?
        {
            argv.push(format!("--restrict-key={word}").into());
        }
        argv.extend(["-d".into(), OsString::from((self.server.connect)(database))]);
        let mut prints = Prints::new(TABLES_COUNT_MAX);
        let ended = self.server.drain(&argv, &mut |bytes| prints.update(bytes))?;
        let failure = match ended {
            Ok(outcome) if outcome.end.is_success() => None,
            Ok(outcome) => Some(stderr_words(&outcome.stderr)),
            Err(error) => Some(format!("{error}: {}", error.source)),
        };
        recorder.phase("re-dump");
        if let Some(why) = failure {
            for name in [compare::OBJECTS, compare::ROWS, compare::REDUMP] {
                recorder.not_verified(name, format!("pg_dump: {}", self.with_room(&why)));
            }
            return Ok(());
        }
        let (again, keys) = (prints.finish(), self.given.keys_of(self.selected));
        let hint = self.print_hint(database)?;
        compare::with_fingerprint(recorder, keys, self.dump.fingerprint, &again, &hint)?;
        if self.given.options.redump {
            compare::with_stored(recorder, &stored.printed, &again, &written);
        }
        recorder.phase("verify");
        Ok(())
    }

    /// The command of a snapshot that is one stream.
    fn command_of_snapshot(&self) -> Vec<String> {
        let command = self.selected.manifest.predicate.command.as_ref();
        command.map(|command| command.argv.clone()).unwrap_or_default()
    }

    /// What else rows may differ by: times are dumped in the time zone of the server, and settings of a database or a role
    /// say how values are written, which its dump does not have.
    fn print_hint(&self, database: &str) -> Result<String, OpError> {
        let said = self.server.sql(database, ZONED)?;
        let has_zones = matches!(&said, Said::Output(count) if count != "0");
        let zone = "; times with a zone are written in that of the server: is `timezone` of the drill that of the source?";
        let zone = if has_zones { zone } else { "" };
        Ok(format!(
            "{zone}; does a setting of the source's database (`bytea_output`) change how values are written?"
        ))
    }

    fn amcheck(&self, recorder: &mut Recorder<'_>, database: &str) -> Result<(), OpError> {
        self.given.progress.begin("looking at tables and indexes", 0, 0);
        let Some(program) = self.server.programs.path("pg_amcheck") else {
            recorder.not_verified(AMCHECK, "there is no pg_amcheck beside the other programs");
            return Ok(());
        };
        let known =
            "SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'";
        match self.server.sql(database, known)? {
            Said::Output(count) if count == "1" => {}
            Said::Output(_) => {
                recorder.not_verified(AMCHECK, "the server has no extension amcheck");
                return Ok(());
            }
            Said::Failed(why) => {
                recorder.not_verified(AMCHECK, why);
                return Ok(());
            }
        }
        let mut argv = vec![program];
        argv.extend(["--no-password", "--install-missing", "--heapallindexed"].map(OsString::from));
        argv.push(OsString::from((self.server.connect)(database)));
        let mut found = Vec::new();
        let ended = self.server.drain(&argv, &mut |bytes| {
            let room = FOUND_BYTES_MAX.saturating_sub(found.len()).min(bytes.len());
            found.extend_from_slice(&bytes[..room]);
        })?;
        match ended {
            Ok(outcome) if outcome.end.is_success() => {
                recorder.pass(AMCHECK, "pg_amcheck found nothing wrong in tables and indexes");
            }
            Ok(outcome) if outcome.end == crate::command::CommandEnd::Exited(CORRUPT) => {
                recorder.fail(AMCHECK, String::from_utf8_lossy(&found).into_owned());
            }
            Ok(outcome) => {
                recorder.not_verified(AMCHECK, self.with_room(&stderr_words(&outcome.stderr)));
            }
            Err(error) => recorder.not_verified(AMCHECK, format!("{error}: {}", error.source)),
        }
        recorder.phase("amcheck");
        Ok(())
    }

    fn assertions(&self, recorder: &mut Recorder<'_>, database: &str) -> Result<(), OpError> {
        let assertions = &self.given.options.assertions;
        for (number, sql) in assertions.iter().enumerate() {
            let name = format!("assert-{}", number + 1);
            match self.server.sql(database, sql)? {
                Said::Output(answer) if answer == "t" => recorder.pass(&name, sql.clone()),
                Said::Output(answer) => {
                    // Not the answer itself: it may be somebody's data.
                    let what = if answer == "f" { "false" } else { "not one `true`" };
                    recorder.fail(&name, format!("{sql}: the answer is {what}"));
                }
                Said::Failed(why) => recorder.fail(&name, format!("{sql}: {why}")),
            }
        }
        if !assertions.is_empty() {
            recorder.phase("assertions");
        }
        Ok(())
    }
}

/// The beginning of a stream; more is refused.
struct Head(Vec<u8>);

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() >= HEAD_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A small file may end here.
        Ok(())
    }
}

/// What is written is looked at.
struct Tee<'a> {
    input: &'a mut dyn Write,
    prints: Prints,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.write_all(bytes)?;
        self.prints.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.flush()
    }
}

impl Server<'_> {
    /// Runs SQL also if somebody asked to stop: it sets something right.
    pub(super) fn sql_whatever(&self, database: &str, sql: &str) -> Said {
        let go_on = NoProgress::new();
        let server = Server {
            programs: self.programs.clone(),
            connect: Box::new(|name| (self.connect)(name)),
            user: self.user,
            folder: self.folder.clone(),
            is_own: self.is_own,
            progress: &go_on,
        };
        server.sql(database, sql).unwrap_or_else(|error| Said::Failed(error.to_string()))
    }
}

/// The checks that follow a server, in their order.
pub(super) const CHECKS: [&str; 5] =
    [TRAILER, RESTORE, compare::OBJECTS, compare::ROWS, compare::REDUMP];
const TRAILER: &str = "dump-trailer";
const RESTORE: &str = "restore";
const AMCHECK: &str = "amcheck";
/// What `pg_amcheck` exits with when it found damage.
const CORRUPT: i32 = 2;
const FOUND_BYTES_MAX: usize = 4096;
const ZONED: &str = "SELECT count(*) FROM information_schema.columns WHERE data_type LIKE '% with time zone' \
     AND table_schema NOT IN ('pg_catalog', 'information_schema')";
