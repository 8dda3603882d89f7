//! The programs of `PostgreSQL` on this host.

use crate::command::Surroundings;
use crate::command::watched::IsCancelled;
use crate::command::watched::drain;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Programs of one version.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    /// As `pg_dump --version` says it.
    pub(crate) version: String,
    pub(crate) major: u32,
}

impl Programs {
    /// Those in `named`, or else those of the system: of the version `least` if there are some, since only they
    /// write the same dump again; else of the newest above it.
    ///
    /// Errors: why there are none, in words.
    pub(crate) fn find(
        named: Option<&Path>,
        least: u32,
        is_cancelled: IsCancelled<'_>,
    ) -> Result<Self, String> {
        let folders = named.map_or_else(installed, |folder| vec![folder.to_owned()]);
        let mut found: Vec<Self> = Vec::new();
        let mut wrong = Vec::new();
        for folder in folders {
            match Self::in_folder(&folder, is_cancelled) {
                Ok(programs) => found.push(programs),
                Err(why) => wrong.push(format!("{}: {why}", folder.display())),
            }
        }
        let known: Vec<String> = found.iter().map(|each| each.version.clone()).collect();
        let fit = found.into_iter().filter(|each| each.major >= least);
        let best = fit.max_by_key(|each| (each.major == least, each.major));
        best.ok_or_else(|| match (known.is_empty(), wrong.is_empty()) {
            (false, _) => format!(
                "the dump needs the programs of PostgreSQL {least} or newer, and there are those of {}",
                known.join(", ")
            ),
            (true, false) => wrong.join("; "),
            (true, true) => format!("there are no programs of PostgreSQL below {SYSTEM}"),
        })
    }

    fn in_folder(folder: &Path, is_cancelled: IsCancelled<'_>) -> Result<Self, String> {
        let program = folder.join("pg_dump").into_os_string();
        let mut said = Vec::new();
        let mut take = |bytes: &[u8]| said.extend_from_slice(bytes);
        let argv = [program, OsString::from("--version")];
        let ended = drain(&argv, &Surroundings::default(), is_cancelled, &mut take);
        let ended = ended.map_err(|error| format!("{error}: {}", error.source))?;
        let words = String::from_utf8_lossy(&said);
        let version = words.split(") ").nth(1).unwrap_or_default().trim().to_owned();
        match major_of(&version) {
            Some(major) if ended.end.is_success() => {
                Ok(Self { folder: folder.to_owned(), version, major })
            }
            Some(_) | None => Err(format!("`pg_dump --version` says `{}`", words.trim())),
        }
    }

    /// A program of them, if it is there.
    pub(crate) fn path(&self, name: &str) -> Option<OsString> {
        let path = self.folder.join(name);
        path.exists().then(|| path.into_os_string())
    }

    /// The same, whether it is there or not.
    pub(crate) fn named(&self, name: &str) -> OsString {
        self.folder.join(name).into_os_string()
    }
}

/// The first number of a version, as `15` of `15.14 (Debian 15.14-0)`.
pub(crate) fn major_of(version: &str) -> Option<u32> {
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Where distributions put them.
fn installed() -> Vec<PathBuf> {
    let below = |parent: &str| fs::read_dir(parent).into_iter().flatten().flatten();
    let debian = below(SYSTEM).map(|entry| entry.path().join("bin"));
    let red_hat = below("/usr").filter_map(|entry| {
        let is_one = entry.file_name().to_string_lossy().starts_with("pgsql-");
        is_one.then(|| entry.path().join("bin"))
    });
    debian.chain(red_hat).filter(|folder| folder.join("initdb").exists()).collect()
}

const SYSTEM: &str = "/usr/lib/postgresql";
