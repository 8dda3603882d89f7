//! A private server of `PostgreSQL`: made, started, stopped and gone. Nothing but a socket in a directory of its
//! own leads to it, and no code of a dump runs as root or as somebody who owns anything.

use crate::command::CommandError;
use crate::command::CommandRun;
use crate::command::Surroundings;
use crate::command::User;
use crate::ops::drill::database::Said;
use crate::ops::drill::database::Server;
use crate::ops::drill::database::quoted;
use crate::ops::drill::database::stderr_words;
use crate::ops::drill::programs::Programs;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::scratch::Scratch;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// What a private server is made with.
pub(crate) struct ClusterOptions<'a> {
    /// In which directory there is room for it.
    pub(crate) parent: &'a Path,
    /// The time zone that dumps write times in; the system's if there is none.
    pub(crate) timezone: Option<&'a str>,
}

/// A private server that runs.
pub(crate) struct Cluster<'a> {
    // Before its directory in the order of drops.
    process: Process,
    pub(crate) scratch: Scratch,
    pub(crate) server: Server<'a>,
    /// The socket's directory, where that of the data has too long a name.
    socket: Option<Scratch>,
    /// Where tablespaces are made.
    pub(crate) home: PathBuf,
}

/// Why there is no server.
pub(crate) enum NoCluster {
    /// Somebody asked to stop.
    Interrupted,
    /// In words.
    Why(String),
}

/// The server's process, which is stopped when this is dropped.
struct Process(Option<CommandRun>);

impl<'a> Cluster<'a> {
    /// Makes and starts one.
    pub(crate) fn start(
        programs: Programs,
        options: &ClusterOptions<'_>,
        progress: &'a dyn Progress,
    ) -> Result<Self, NoCluster> {
        let why = |text: String| NoCluster::Why(text);
        let user = unprivileged().map_err(why)?;
        end_leftovers(options.parent);
        let scratch = Scratch::named(options.parent, PREFIX).map_err(|error| words(&error))?;
        let home = own_folder(scratch.path(), "pg", user).map_err(why)?;
        let is_short = home.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX;
        let socket = if is_short {
            None
        } else {
            Some(Scratch::named(Path::new(SHORT), PREFIX).map_err(|error| words(&error))?)
        };
        let socket_folder = match &socket {
            Some(socket) => own_folder(socket.path(), "s", user).map_err(why)?,
            None => home.clone(),
        };
        let text = path_text(&socket_folder).map_err(why)?;
        let connect = move |database: &str| {
            let (host, name) = (quoted(&text), quoted(database));
            format!("host={host} port=5432 user={SUPERUSER} dbname={name}")
        };
        let (connect, folder, is_own) = (Box::new(connect), home.clone(), true);
        let server = Server { programs, connect, user, folder, is_own, progress };
        let mut cluster = Self { process: Process(None), scratch, server, socket, home };
        cluster.make()?;
        cluster.run(&socket_folder, options.timezone)?;
        Ok(cluster)
    }

    fn make(&self) -> Result<(), NoCluster> {
        let data = self.home.join("data");
        let mut failure = String::new();
        // Not every system knows the first.
        for locale in ["C.UTF-8", "C"] {
            let mut argv = vec![self.server.programs.named("initdb")];
            argv.extend(
                ["-A", "trust", "-U", SUPERUSER, "--no-sync", "-E", "UTF8"].map(Into::into),
            );
            argv.extend([format!("--locale={locale}").into(), "-D".into(), data.clone().into()]);
            let ended = self.server.drain(&argv, &mut |_bytes| {});
            failure = match ended.map_err(|_interrupted| NoCluster::Interrupted)? {
                Ok(outcome) if outcome.end.is_success() => return Ok(()),
                Ok(outcome) => stderr_words(&outcome.stderr),
                Err(error) => self.not_started(&error),
            };
            // A half of it is in the way of the next.
            fs::remove_dir_all(&data).ok();
        }
        Err(NoCluster::Why(format!("a server cannot be made: {failure}")))
    }

    /// Why a program did not start: what is most often wrong is a directory above, which is closed to others.
    fn not_started(&self, error: &CommandError) -> String {
        let words = format!("{error}: {}", error.source);
        match self.server.user {
            Some(User { id, .. }) if error.source.kind() == ErrorKind::PermissionDenied => format!(
                "{words}: the scratch directory {} must let user {id} pass through, as whom the server runs",
                self.scratch.path().display()
            ),
            Some(_) | None => words,
        }
    }

    fn run(&mut self, socket: &Path, timezone: Option<&str>) -> Result<(), NoCluster> {
        let mut argv = vec![self.server.programs.named("postgres"), "-D".into()];
        argv.extend([self.home.join("data").into_os_string(), "-k".into(), socket.into()]);
        let mut settings = SETTINGS.map(str::to_owned).to_vec();
        settings.extend(timezone.map(|zone| format!("timezone={zone}")));
        for setting in settings {
            argv.extend([OsString::from("-c"), setting.into()]);
        }
        let spawned = self.server.within(|around: &Surroundings<'_>| {
            CommandRun::spawn_within(&argv, around, (Stdio::null(), Stdio::null()))
        });
        let process = spawned.map_err(|error| {
            NoCluster::Why(format!("the server does not start: {error}: {}", error.source))
        })?;
        self.process.0 = Some(process);
        self.await_answer()
    }

    /// Waits until it answers, for as long as its process lives.
    fn await_answer(&self) -> Result<(), NoCluster> {
        loop {
            let asked = self.server.sql("postgres", "SELECT 1");
            if let Said::Output(_) = asked.map_err(|_interrupted| NoCluster::Interrupted)? {
                return Ok(());
            }
            if self.process.0.as_ref().is_none_or(|run| run.has_ended().unwrap_or(true)) {
                let said = self.said();
                return Err(NoCluster::Why(format!("the server does not start: {said}")));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// The end of what the server said.
    pub(crate) fn said(&self) -> String {
        let said = self.process.0.as_ref().map(CommandRun::said).unwrap_or_default();
        stderr_words(&said)
    }

    /// Whether the disk is full, by what is free and what the server said.
    pub(crate) fn is_full(&self) -> bool {
        let free = self.scratch.free_bytes();
        let said = self.said();
        free.is_some_and(|free| free < FREE_BYTES_MIN)
            || FULL.iter().any(|words| said.contains(words))
    }

    /// Stops it and removes all of it; returns what stays, in words.
    pub(crate) fn wipe(self) -> Result<(), String> {
        let Self { mut process, scratch, socket, .. } = self;
        process.stop();
        let mut left = Vec::new();
        for each in std::iter::once(scratch).chain(socket) {
            let path = each.path().to_owned();
            if let Err(error) = each.remove() {
                left.push(crate::ops::finding::chain_words(&error));
            } else if path.exists() {
                left.push(format!("{} is there again", path.display()));
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }
}

impl Process {
    fn stop(&mut self) {
        if let Some(run) = self.0.take() {
            // At once: nothing of it is kept.
            run.end_by(Signal::QUIT).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn words(error: &OpError) -> NoCluster {
    NoCluster::Why(crate::ops::finding::chain_words(error))
}

/// Who runs the server: `initdb` refuses root.
///
/// Not `postgres`, if there is somebody else: code in a dump runs as this user, and a server of this host may trust it.
fn unprivileged() -> Result<Option<User>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        let (Some(Ok(id)), Some(Ok(group))) = (numbers.next(), numbers.next()) else { return None };
        Some(User { id, group })
    };
    let found = ["nobody", "postgres"].into_iter().find_map(find).filter(|user| user.id != 0);
    found.map(Some).ok_or_else(|| {
        "PostgreSQL does not run as root, and there is no user `nobody` or `postgres`".to_owned()
    })
}

/// A directory of the server's user in a scratch directory.
fn own_folder(scratch: &Path, name: &str, user: Option<User>) -> Result<PathBuf, String> {
    let path = scratch.join(name);
    let made = DirBuilder::new().mode(0o700).create(&path).and_then(|()| {
        let Some(User { id, group }) = user else { return Ok(()) };
        // To pass through, and see nothing.
        fs::set_permissions(scratch, Permissions::from_mode(0o711))?;
        chown(&path, Some(id), Some(group))
    });
    made.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    Ok(path)
}

fn path_text(path: &Path) -> Result<String, String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{} is not valid UTF-8", path.display()))
}

/// Ends servers of drills that were killed; the directory of one that is under way is locked.
fn end_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(folder) = File::open(&path) else { continue };
        if folder.try_lock().is_err() {
            continue;
        }
        let file = fs::read_to_string(path.join("pg/data/postmaster.pid")).unwrap_or_default();
        let Some(number) = file.lines().next().and_then(|line| line.parse::<i32>().ok()) else {
            continue;
        };
        // Another process may have the number by now.
        let command = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let data = path.join("pg/data");
        let is_it = command
            .split(|byte| *byte == 0)
            .any(|word| word == data.as_os_str().as_encoded_bytes());
        if is_it && let Some(process) = rustix::process::Pid::from_raw(number) {
            rustix::process::kill_process(process, Signal::QUIT).ok();
        }
    }
}

/// The role that makes everything. No dump has it: what a dump says of its own superuser, `postgres` or another, must not
/// take anything from this one.
pub(crate) const SUPERUSER: &str = "sbf_drill_admin";
/// What programs and servers print of a full disk.
pub(crate) const FULL: [&str; 2] = ["No space left on device", "Check free disk space"];
/// How names of scratch directories of drills begin.
pub(crate) const PREFIX: &str = "sbf-drill-";
/// What it is to do fast and what not at all: it is gone in the end.
const SETTINGS: [&str; 11] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=20",
    // A dump comes back in one transaction, which locks every object.
    "max_locks_per_transaction=4096",
    "logging_collector=off",
];
/// Names of sockets have at most 107 bytes, and `/.s.PGSQL.5432.lock` follows.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;
/// Where a socket is put whose data is below a long name.
const SHORT: &str = "/tmp";
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A disk with less is full.
const FREE_BYTES_MIN: u64 = 1_048_576;
