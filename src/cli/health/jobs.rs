//! What a job needs: the right to back up, what it reads, and the programs that it runs.

use crate::cli::arguments::Arguments;
use crate::cli::arguments::Command;
use crate::cli::environment;
use crate::cli::health::Looked;
use crate::cli::jobs::plan::snapshot_words;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::settings::job::JobSection;
use clap::Parser as _;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

/// Looks at a job without running anything of it but `psql`, which asks the server what it is.
pub(crate) fn look(job: &JobSection, repository: &Repository) -> Vec<Looked> {
    let name = &job.name.value;
    let mut all = Vec::new();
    let what = |part: &str| format!("job {name}: {part}");
    if !Right::SignSnapshots.roles().contains(&repository.role()) {
        let words = format!("a key of the role {} makes no snapshots", repository.role().word());
        all.push(Looked::wrong(what("key"), words));
    }
    for (point, argv) in &job.hooks.commands {
        let program = argv.value.first().map(OsString::from).unwrap_or_default();
        all.push(program_of(what(&format!("hook {}", point.word())), &program));
    }
    let words = [vec![OsString::from("sbf-repo")], snapshot_words(job)].concat();
    match Arguments::try_parse_from(words) {
        Ok(Arguments { command: Command::Snapshot(arguments), .. }) => {
            for path in arguments.files() {
                all.push(path_of(what("path"), path));
            }
            for program in arguments.programs() {
                all.push(program_of(what("program"), &program));
            }
            match arguments.database() {
                None => {}
                Some(Ok(databases)) => all.push(Looked::fine(what("database"), databases)),
                Some(Err(failure)) => all.push(Looked::wrong(what("database"), failure.summary())),
            }
        }
        Ok(_) => {}
        Err(error) => all.push(Looked::wrong(what("options"), first_line(&error.to_string()))),
    }
    all
}

/// The line of clap's words that says what is wrong.
pub(crate) fn first_line(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

fn path_of(what: String, path: &Path) -> Looked {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => match std::fs::read_dir(path) {
            Ok(_entries) => Looked::fine(what, path.display().to_string()),
            Err(error) => {
                Looked::wrong(what, format!("{} cannot be listed: {error}", path.display()))
            }
        },
        Ok(_found) => Looked::fine(what, path.display().to_string()),
        Err(error) => Looked::wrong(what, format!("{}: {error}", path.display())),
    }
}

fn program_of(what: String, program: &OsStr) -> Looked {
    let Some(path) = found(program) else {
        let words = format!("there is no program {}", Path::new(program).display());
        return Looked::wrong(what, words);
    };
    Looked::fine(what, path.display().to_string())
}

/// Where a program is, as the system looks for it.
fn found(program: &OsStr) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let given = Path::new(program);
    if given.components().count() > 1 || given.is_absolute() {
        return is_program(given).then(|| given.to_owned());
    }
    let folders = environment::variable("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(given));
    paths.find(|path| is_program(path))
}
