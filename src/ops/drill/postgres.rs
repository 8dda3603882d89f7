//! Databases come back: into a server of the drill's own, or into a database that it makes on a named one.

use crate::format::dump::DumpForm;
use crate::format::dump::StatedDump;
use crate::format::dump::StatedStream;
use crate::ops::drill::Given;
use crate::ops::drill::cancelled;
use crate::ops::drill::cluster::Cluster;
use crate::ops::drill::cluster::ClusterOptions;
use crate::ops::drill::cluster::NoCluster;
use crate::ops::drill::database::Said;
use crate::ops::drill::database::Server;
use crate::ops::drill::globals::for_private;
use crate::ops::drill::programs::Programs;
use crate::ops::drill::programs::major_of;
use crate::ops::drill::proof::CHECKS;
use crate::ops::drill::proof::Proof;
use crate::ops::drill::record::Recorder;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::ops::restore::dump;
use crate::ops::select::Selected;
use crate::ops::snapshot::postgres::PostgresSource;
use crate::ops::snapshot::scratch::Scratch;
use crate::ops::words::path_words;
use crate::repo::environment::random;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::chown;

/// A dump in a snapshot.
#[derive(Clone, Copy)]
pub(crate) struct Dump<'a> {
    pub(crate) stream: &'a StatedStream,
    pub(crate) fingerprint: &'a StatedDump,
}

/// The dump of a snapshot that is meant.
///
/// Errors: [`OpError::Usage`] if that is none, or not clear.
pub(crate) fn choose_dump<'a>(
    selected: &'a Selected,
    options: &crate::ops::drill::DrillOptions,
) -> Result<Dump<'a>, OpError> {
    let usage = |why: String| Err(OpError::Usage { why });
    let mut path = options.path.as_deref().map(|path| path.trim_matches('/').to_owned());
    if !selected.path.is_empty() {
        path = Some(path_words(&selected.path.join(&b'/')));
    }
    let database = options.database.as_ref().map(|name| name.replace('/', "%2F"));
    let is_meant = |dump: &Dump<'_>| {
        let name = &dump.stream.name;
        path.as_ref().is_none_or(|path| path == name)
            && database.as_ref().is_none_or(|database| {
                name == database || name.strip_suffix(".sql") == Some(database)
            })
    };
    let streams = selected.manifest.predicate.streams.iter();
    let dumps = streams.filter_map(|stream| {
        let fingerprint = stream.dump.as_ref()?;
        (fingerprint.form != DumpForm::PostgresqlCluster).then_some(Dump { stream, fingerprint })
    });
    let dumps: Vec<Dump<'_>> = dumps.collect();
    let meant: Vec<Dump<'_>> = dumps.iter().copied().filter(is_meant).collect();
    let names: Vec<&str> = dumps.iter().map(|dump| dump.stream.name.as_str()).collect();
    match (meant.as_slice(), names.is_empty()) {
        ([dump], _) => Ok(*dump),
        ([], true) => usage(format!(
            "snapshot {} has no dump of a database of PostgreSQL",
            selected.snapshot().short()
        )),
        ([], false) => usage(format!("no dump is meant; there are `{}`", names.join("`, `"))),
        (_, _) => usage(format!(
            "the snapshot has several dumps, `{}`: the drill needs `database`",
            names.join("`, `")
        )),
    }
}

/// The drill in a server of its own.
pub(super) fn on_own_server(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    selected: &Selected,
) -> Result<(), OpError> {
    let options = given.options;
    let dump = choose_dump(selected, options)?;
    let Some(programs) = find_programs(given, recorder, dump)? else { return Ok(()) };
    let around = ClusterOptions { parent: &options.scratch, timezone: options.timezone.as_deref() };
    given.progress.begin("making a server", 0, 0);
    let cluster = match Cluster::start(programs, &around, given.progress) {
        Ok(cluster) => cluster,
        Err(NoCluster::Interrupted) => return Err(OpError::Interrupted),
        Err(NoCluster::Why(why)) => {
            recorder.phase("prepare");
            recorder.not_verified("restore", why);
            recorder.not_reached(&CHECKS);
            return Ok(());
        }
    };
    recorder.phase("prepare");
    let is_full = || cluster.is_full();
    let proof = Proof {
        given,
        server: &cluster.server,
        dump,
        selected,
        room: &cluster.scratch,
        is_full: &is_full,
    };
    let ended = match prepare_roles(given, recorder, &cluster, selected) {
        Ok(true) => proof.run(recorder),
        Ok(false) => {
            recorder.not_reached(&CHECKS);
            Ok(())
        }
        Err(error) => Err(error),
    };
    given.wiped(cluster.wipe());
    recorder.phase("wipe");
    ended
}

/// The drill in a database that it makes on a server that was named.
pub(super) fn on_server(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    selected: &Selected,
    dsn: &str,
) -> Result<(), OpError> {
    let options = given.options;
    let dump = choose_dump(selected, options)?;
    let source = PostgresSource::new(dsn)?;
    let Some(programs) = find_programs(given, recorder, dump)? else { return Ok(()) };
    let room = match Scratch::named(&options.scratch, crate::ops::drill::cluster::PREFIX) {
        Ok(room) => room,
        Err(error) => {
            recorder.not_verified("restore", chain_words(&error));
            recorder.not_reached(&CHECKS);
            return Ok(());
        }
    };
    // An empty name stands for the database of the connection itself.
    let connect = |database: &str| match database {
        "" => source.connection().to_owned(),
        name => source.connection_to(name),
    };
    let (connect, folder) = (Box::new(connect), room.path().to_owned());
    let server =
        Server { programs, connect, user: None, folder, is_own: false, progress: given.progress };
    if !is_fit(recorder, &server)? {
        recorder.not_reached(&CHECKS);
        given.wiped(room.remove().map_err(|error| chain_words(&error)));
        return Ok(());
    }
    warn_of_leftovers(given, &server)?;
    recorder.phase("prepare");
    let name =
        format!("sbf_drill_{}", crate::id::to_hex(&random::<6>(given.main.environment.as_ref())));
    let is_full = || false;
    let proof = Proof { given, server: &server, dump, selected, room: &room, is_full: &is_full };
    let ended = proof.run_in(recorder, &name, "");
    let mut dropped =
        server.sql_whatever("", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    if matches!(dropped, Said::Failed(_)) {
        // Servers before 13 do not know that.
        dropped = server.sql_whatever("", &format!("DROP DATABASE IF EXISTS {name}"));
    }
    let wiped = match dropped {
        Said::Output(_) => room.remove().map_err(|error| chain_words(&error)),
        Said::Failed(why) => Err(format!("database {name}: {why}")),
    };
    given.wiped(wiped);
    recorder.phase("wipe");
    ended
}

/// Whether a server is one where a drill may make a database: nobody's data is where it was pointed at.
fn is_fit(recorder: &mut Recorder<'_>, server: &Server<'_>) -> Result<bool, OpError> {
    match server.sql("", TABLES_THERE)? {
        Said::Output(answer) => {
            let (name, count) = answer.split_once('|').unwrap_or((&answer, "?"));
            if count == "0" {
                recorder.pass(TARGET, format!("database {name} of the server has no tables"));
                return Ok(true);
            }
            recorder.fail(
                TARGET,
                format!(
                    "database {name} has {count} tables: a drill is pointed at a server's empty database, as `postgres`, \
                     and makes one of its own"
                ),
            );
        }
        Said::Failed(why) => recorder.not_verified(TARGET, why),
    }
    Ok(false)
}

/// Names what drills left there that were killed outright.
///
/// They are not dropped: nothing tells one from that of a drill of another host which is between two connections.
fn warn_of_leftovers(given: &Given<'_>, server: &Server<'_>) -> Result<(), OpError> {
    // That this cannot be asked is no reason against the drill.
    let Said::Output(names) = server.sql("", LEFTOVERS)? else { return Ok(()) };
    let names: Vec<&str> = names.lines().filter(|name| !name.is_empty()).collect();
    if let Some(first) = names.first() {
        (given.warn)(&format!(
            "the server has databases that nobody is connected to, of drills that were killed or run elsewhere: {}; if none \
             runs, `DROP DATABASE {first}` removes one with the data that came back",
            names.join(", ")
        ));
    }
    Ok(())
}

fn find_programs(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    dump: Dump<'_>,
) -> Result<Option<Programs>, OpError> {
    let versions = [&dump.fingerprint.program, &dump.fingerprint.server];
    let least = versions.into_iter().filter_map(|version| major_of(version)).max().unwrap_or(0);
    let asked = given.is_cancelled();
    let found = Programs::find(given.options.programs.as_deref(), least, cancelled(&asked));
    if given.progress.is_cancelled() {
        return Err(OpError::Interrupted);
    }
    match found {
        Ok(programs) => {
            recorder.environment.insert("postgresql".to_owned(), programs.version.clone());
            Ok(Some(programs))
        }
        Err(why) => {
            recorder.not_verified("restore", why);
            recorder.not_reached(&CHECKS);
            Ok(None)
        }
    }
}

/// Makes the roles that own what comes back; returns whether they are there.
fn prepare_roles(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    cluster: &Cluster<'_>,
    selected: &Selected,
) -> Result<bool, OpError> {
    let streams = &selected.manifest.predicate.streams;
    let mut text = String::new();
    for role in given.options.roles.iter().filter(|role| *role != USUAL) {
        // Writing into a string does not fail.
        use std::fmt::Write as _;
        let _ignored = writeln!(text, "CREATE ROLE \"{}\";", role.replace('"', "\"\""));
    }
    if streams.iter().any(|stream| stream.name == GLOBALS) {
        let mut globals = selected.clone();
        globals.path = vec![GLOBALS.as_bytes().to_vec()];
        let mut bytes = Vec::new();
        if let Err(error) = dump(given.data, &globals, &mut bytes, given.progress) {
            recorder.read_error(ROLES, given.data, error)?;
            return Ok(false);
        }
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    if !text.lines().any(|line| line == format!("CREATE ROLE {USUAL};")) {
        // Dumps without roles name it as the owner of what most servers have.
        let made = cluster.server.sql("postgres", &format!("CREATE ROLE {USUAL} SUPERUSER"))?;
        if let Said::Failed(why) = made {
            recorder.not_verified(ROLES, why);
            return Ok(false);
        }
    }
    if text.is_empty() {
        return Ok(true);
    }
    let (told, folders) = for_private(&text, &cluster.home.to_string_lossy());
    for folder in folders {
        let made = DirBuilder::new().mode(0o700).create(&folder);
        let owner = std::fs::metadata(&cluster.home);
        let made = made.and(owner).and_then(|owner| chown(&folder, Some(owner.uid()), None));
        if let Err(error) = made {
            recorder.not_verified(ROLES, format!("cannot make {folder}: {error}"));
            return Ok(false);
        }
    }
    let mut give = |input: &mut dyn std::io::Write| {
        // If it stopped reading, how it ended says why.
        let _ignored = input.write_all(told.as_bytes());
        Ok(())
    };
    match cluster.server.feed("postgres", &[], &mut give)? {
        Ok((_, outcome)) if outcome.end.is_success() => {
            recorder.pass(ROLES, "roles and tablespaces are made");
            recorder.phase("roles");
            return Ok(true);
        }
        Ok((_, outcome)) => {
            let why = crate::ops::drill::database::stderr_words(&outcome.stderr);
            if cluster.is_full() {
                recorder.not_verified(
                    ROLES,
                    format!("the disk of the scratch directory is full: {why}"),
                );
            } else {
                recorder.fail(ROLES, why);
            }
        }
        Err(error) => recorder.not_verified(ROLES, format!("{error}: {}", error.source)),
    }
    recorder.phase("roles");
    Ok(false)
}

/// The file of roles and tablespaces.
const GLOBALS: &str = "globals.sql";
/// The superuser of most servers.
const USUAL: &str = "postgres";
const ROLES: &str = "roles";
const TARGET: &str = "target";
const LEFTOVERS: &str = "SELECT d.datname FROM pg_catalog.pg_database d WHERE d.datname ~ '^sbf_drill_[0-9a-f]{12}$' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.datname = d.datname) ORDER BY 1";
const TABLES_THERE: &str = "SELECT current_database() || '|' || count(*) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'm') \
     AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
