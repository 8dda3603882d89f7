//! A real server of `PostgreSQL` for tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::scratch::is_root;
use crate::scratch::put;
use crate::scratch::skip;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use tempfile::TempDir;

/// A server of the test's own, on a socket; it ends with the test.
pub(crate) struct Server {
    folder: TempDir,
    /// Where its programs are.
    pub(crate) programs: PathBuf,
}

impl Server {
    /// `None`, with a word why, where there is no `PostgreSQL`.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("there is no PostgreSQL server below /usr/lib/postgresql");
            return None;
        };
        // The names of sockets are short.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        if is_root() {
            let id = Command::new("id").args(["-u", "postgres"]).output().unwrap();
            let Ok(user) = out(&id).trim().parse() else {
                skip("there is no user `postgres`, and the server does not run as root");
                return None;
            };
            chown(folder.path(), Some(user), None).unwrap();
        }
        let server = Self { folder, programs };
        let data = server.path("data");
        let mut make = server.own("initdb");
        make.args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]);
        assert_done(&make.arg(&data).output().unwrap());
        let settings = format!("-k {} -c listen_addresses='' -c fsync=off", server.socket());
        let mut start = server.own("pg_ctl");
        start.arg("-D").arg(&data).args(["-w", "-o", &settings, "-l"]).arg(server.path("log"));
        // It goes on in the background: no pipe of this process may stay open in it.
        start.arg("start").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().unwrap().success(), "{:?}", fs::read_to_string(server.path("log")));
        Some(server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    /// One of the server's programs, as a user that it takes.
    pub(crate) fn own(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/tmp");
        command
    }

    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("PGHOST", self.socket()).env("PGUSER", "postgres");
    }

    /// Runs SQL and returns what it prints.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        self.tell(&mut psql);
        let output = psql.output().unwrap();
        assert_done(&output);
        out(&output).trim().to_owned()
    }

    /// A dump with the same word behind `\restrict`.
    pub(crate) fn dump(&self, database: &str, like: &[u8]) -> Vec<u8> {
        let mut command = Command::new(self.programs.join("pg_dump"));
        let text = String::from_utf8_lossy(like);
        if let Some(word) = text.lines().find_map(|line| line.strip_prefix("\\restrict ")) {
            command.arg(format!("--restrict-key={word}"));
        }
        self.tell(&mut command);
        let output = command.args(["-d", database]).output().unwrap();
        assert_done(&output);
        output.stdout
    }

    pub(crate) fn run(&self, desk: &Desk, arguments: &[&str]) -> Output {
        let mut command = desk.command(arguments);
        self.tell(&mut command);
        command.env("SBF_REPO_PG_BIN", &self.programs);
        command.output().unwrap()
    }

    pub(crate) fn snapshot(&self, desk: &Desk, arguments: &[&str]) -> Output {
        let common = ["snapshot", "--source", "db", "--postgres", "dbname=app"];
        self.run(desk, &[&common, arguments].concat())
    }

    /// A directory of programs, in which this script is `pg_dump`.
    pub(crate) fn programs_with(&self, desk: &Desk, name: &str, script: &str) -> String {
        let folder = desk.path(name);
        fs::create_dir(&folder).unwrap();
        for program in ["psql", "pg_dumpall", "pg_restore"] {
            std::os::unix::fs::symlink(self.programs.join(program), folder.join(program)).unwrap();
        }
        let real = self.programs.join("pg_dump");
        let text = format!(
            "#!/bin/bash\nreal() {{ '{}' \"$@\"; }}\ncase \"$*\" in --version | --help) real \"$@\"; exit;; esac\n{script}\n",
            real.display()
        );
        let path = folder.join("pg_dump");
        put(&path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        folder.to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.own("pg_ctl");
        stop.arg("-D").arg(self.path("data")).args(["-m", "immediate", "stop"]);
        let _ended = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

#[track_caller]
pub(crate) fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}{}", out(output), err(output));
}

pub(crate) fn count(desk: &Desk) -> usize {
    desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len()
}

pub(crate) fn streams(desk: &Desk) -> Vec<Value> {
    let shown = desk.json(&["manifest", "show", "latest"], 0);
    shown["manifest"]["predicate"]["streams"].as_array().unwrap().clone()
}

pub(crate) fn content(desk: &Desk, name: &str) -> Vec<u8> {
    let output = desk.run(&["dump", &format!("latest:/{name}")]);
    check(&output, 0);
    output.stdout
}

/// A database with what is hard to read, and tables of several sizes.
pub(crate) fn fill(server: &Server) {
    server.sql("postgres", "CREATE DATABASE app");
    server.sql(
        "app",
        r#"CREATE TABLE users(id int PRIMARY KEY, name text);
        INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 1000) i;
        CREATE SCHEMA "Odd; Schema";
        CREATE TABLE "Odd; Schema"."a ""b"" FROM stdin;
c"(x text);
        INSERT INTO "Odd; Schema"."a ""b"" FROM stdin;
c" VALUES ('\.'), ('-- PostgreSQL database dump complete'), (E'a\nb\t\\'), (NULL);
        CREATE TABLE small AS SELECT 1 AS x;
        CREATE TABLE empty(x int);
        CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '
COPY public.evil FROM stdin;
\.
'::text $_$;
        CREATE VIEW v AS SELECT * FROM users;
        SELECT lo_from_bytea(4242, '\x00ff27')"#,
    );
}
