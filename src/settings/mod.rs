//! The configuration file: what it may say, and what is wrong with one. Pure: no file is read here.
//!
//! Each section is one file of this folder with a function that takes it from a [`Section`], and one
//! line in [`Settings::decode`]; keys and sections that nobody took are problems. No section holds a
//! secret: where one is needed, a [`Secret`](crate::settings::secret::Secret) says where it is.

pub(crate) mod cache;
pub(crate) mod channel;
pub(crate) mod copy;
pub(crate) mod drill;
pub(crate) mod erasure;
pub(crate) mod hooks;
pub(crate) mod job;
pub(crate) mod maintenance;
pub(crate) mod notify;
pub(crate) mod place;
pub(crate) mod problem;
pub(crate) mod quantities;
pub(crate) mod repository;
pub(crate) mod retention;
pub(crate) mod said;
pub(crate) mod secret;
pub(crate) mod section;

use crate::settings::cache::CacheSection;
use crate::settings::copy::CopySection;
use crate::settings::drill::DrillSection;
use crate::settings::erasure::ErasureSection;
use crate::settings::job::JobSection;
use crate::settings::maintenance::CheckSection;
use crate::settings::maintenance::MaintenanceSection;
use crate::settings::maintenance::MetricsSection;
use crate::settings::notify::NotifySection;
use crate::settings::problem::Lines;
use crate::settings::problem::Problem;
use crate::settings::repository::RepositorySection;
use crate::settings::retention::RetentionSection;
use crate::settings::said::Said;
use crate::settings::section::Section;
use std::path::Path;
use toml::de::DeTable;

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `[repository]`
    pub(crate) repository: RepositorySection,
    /// Every `[[copy]]`, in their order.
    pub(crate) copies: Vec<CopySection>,
    /// `[cache]`
    pub(crate) cache: CacheSection,
    /// Every `[job.NAME]`, in their order.
    pub(crate) jobs: Vec<JobSection>,
    /// Every `[drill.NAME]`, in their order.
    pub(crate) drills: Vec<DrillSection>,
    /// `[retention]`
    pub(crate) retention: Option<RetentionSection>,
    /// `[check]`
    pub(crate) check: Option<CheckSection>,
    /// `[maintenance]`
    pub(crate) maintenance: MaintenanceSection,
    /// `[erasure]`
    pub(crate) erasure: ErasureSection,
    /// `[metrics]`
    pub(crate) metrics: MetricsSection,
    /// The values of the sections behind `[cache]`, as the file has them.
    pub(crate) said: Vec<Said>,
    /// `[notify]`
    pub(crate) notify: NotifySection,
}

/// A value and the line of the file that has it, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

impl Settings {
    /// Decodes a file's text; relative paths in it start at `folder`, where the file lies.
    ///
    /// Errors: all that is wrong with it, in the order of the lines.
    pub(crate) fn decode(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        let lines = Lines::new(text);
        let parsed = DeTable::parse(text).map_err(|error| vec![lines.of_syntax(&error)])?;
        let mut file = Section::file(parsed.get_ref(), &lines, folder);
        let mut settings = Self {
            repository: RepositorySection::decode(&mut file),
            copies: CopySection::decode_all(&mut file),
            cache: CacheSection::decode(&mut file),
            jobs: JobSection::decode_all(&mut file),
            retention: RetentionSection::decode(&mut file),
            check: CheckSection::decode(&mut file),
            maintenance: MaintenanceSection::decode(&mut file),
            erasure: ErasureSection::decode(&mut file),
            metrics: MetricsSection::decode(&mut file),
            said: said::said(parsed.get_ref(), &lines),
            notify: NotifySection::decode(&mut file),
            drills: Vec::new(),
        };
        settings.drills = DrillSection::decode_all(&mut file, &settings.jobs);
        let problems = file.finish();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// The copy of this name.
    pub(crate) fn copy(&self, name: &str) -> Option<&CopySection> {
        self.copies.iter().find(|copy| copy.name.value == name)
    }

    /// The job of this name.
    pub(crate) fn job(&self, name: &str) -> Option<&JobSection> {
        self.jobs.iter().find(|job| job.name.value == name)
    }

    /// The drill of this name.
    pub(crate) fn drill(&self, name: &str) -> Option<&DrillSection> {
        self.drills.iter().find(|drill| drill.name.value == name)
    }
}

/// What a file may say, as JSON Schema.
pub(crate) const SCHEMA: &str = include_str!("../../docs/config.schema.json");

/// A file with every section, explained.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::copy::CopyMode;
    use crate::settings::secret::Secret;
    use std::path::PathBuf;

    fn decode(text: &str) -> Result<Settings, Vec<String>> {
        let decoded = Settings::decode(text, Path::new("/etc/sbf-repo"));
        decoded.map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }

    #[track_caller]
    fn refuses(text: &str, expected: &[&str]) {
        assert_eq!(decode(text).unwrap_err(), expected);
    }

    #[test]
    fn the_example_is_a_valid_file_that_has_every_section() {
        let settings = decode(EXAMPLE).unwrap();
        assert!(settings.repository.url.is_some() && settings.repository.secret.is_some());
        assert!(settings.cache.directory.is_some() && settings.cache.bytes_max.is_some());
        assert!(settings.cache.deltas.is_some());
        let modes: Vec<_> = settings.copies.iter().map(|copy| copy.mode.value).collect();
        assert_eq!(modes, [CopyMode::Mirror, CopyMode::Snapshots]);
        let levels: Vec<_> =
            settings.notify.channels.iter().map(|channel| channel.level.value).collect();
        assert_eq!(levels, [1, 1, 1, 2]);
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(decode("# nothing\n"), Ok(Settings::default()));
    }

    #[test]
    fn values_are_taken_with_their_lines_and_relative_paths_start_at_the_file() {
        let text = "[repository]\nurl = 'store'\npassword = { command = ['pass', 'show'] }\n\
             [[copy]]\nname = 'far'\nmode = 'mirror'\nurl = 'gs://bucket/app'\n\
             [[copy]]\nname = 'near'\nmode = 'snapshots'\nurl = '/srv/near'\nkey_file = 'near.key'\n\
             [cache]\nsize = '1.5GiB'\n";
        let settings = decode(text).unwrap();
        let url = settings.repository.url.unwrap();
        assert_eq!((url.value.as_str(), url.line), ("/etc/sbf-repo/store", 2));
        let command = vec!["pass".to_owned(), "show".to_owned()];
        assert_eq!(settings.repository.secret.unwrap().value, Secret::Command(command));
        assert_eq!(settings.copies[0].url.value, "gs://bucket/app");
        let key = Secret::KeyFile(PathBuf::from("/etc/sbf-repo/near.key"));
        assert_eq!(settings.copies[1].secret.as_ref().unwrap(), &At { value: key, line: 12 });
        assert_eq!(settings.cache.bytes_max.unwrap().value, 3 << 29);
    }

    #[test]
    fn unknown_keys_and_sections_are_met_with_what_may_be_meant() {
        refuses(
            "[repositry]\nurl = 'x'\n[cache]\nsise = '1G'\nfrobnicate = 1\n[[coppy]]\nname = 'x'\n",
            &[
                "line 1: there is no section `repositry`; did you mean `repository`?",
                "line 4: there is no key `sise` in [cache]; did you mean `size`?",
                "line 5: there is no key `frobnicate` in [cache]; it may have `directory`, `size`, `delta_cache`",
                "line 6: there is no section `coppy`; did you mean `copy`?",
            ],
        );
        refuses(
            "url = 'x'\n",
            &[
                "line 1: there is no section `url`; sections are `repository`, `copy`, `cache`, `job`, `retention`, `check`, `maintenance`, `erasure`, `metrics`, `notify`, `drill`",
            ],
        );
    }

    #[test]
    fn wrong_values_are_named_with_line_section_and_key() {
        refuses(
            "[repository]\nurl = 7\n[cache]\nsize = 'huge'\ndirectory = '~/cache'\n",
            &[
                "line 2: `url` in [repository] is an integer, and should be a string",
                "line 4: `size` in [cache]: `huge` is not a size such as `512MiB`",
                "line 5: `directory` in [cache]: `~` is not replaced here: write the whole path",
            ],
        );
        refuses(
            "[cache]\ndelta_cache = 'repository'\n",
            &["line 2: `delta_cache` in [cache]: there is no `repository`, only `off`, `host`"],
        );
        refuses(
            "cache = 'big'\n[copy]\nname = 'x'\n",
            &[
                "line 1: `cache` is a string, and should be a section `[cache]`",
                "line 2: `copy` is a table, and should be one or more sections `[[copy]]`",
            ],
        );
        refuses("[repository\n", &["line 1: this is not TOML: unclosed table, expected `]`"]);
    }

    #[test]
    fn secrets_are_named_and_never_written() {
        let line = |value: &str| format!("[repository]\npassword = {value}\n");
        let why = "line 2: `password` in [repository] must not be in this file: write where it is, \
             as `{ file = \"…\" }`, `{ command = […] }`, `{ credential = \"…\" }` or \
             `{ environment = \"…\" }`";
        refuses(&line("'hunter2'"), &[why]);
        refuses(
            &line("{ file = 'a', command = ['b'] }"),
            &[
                "line 2: `password` in [repository] needs exactly one of `file`, `command`, `credential`, `environment`",
            ],
        );
        refuses(
            &line("{ comand = ['b'] }"),
            &[
                "line 2: `password` in [repository] needs exactly one of `file`, `command`, `credential`, `environment`",
                "line 2: there is no key `comand` in `password` in [repository]; did you mean `command`?",
            ],
        );
        refuses(
            &line("{ command = [] }"),
            &["line 2: `command` in `password` in [repository] is empty"],
        );
        refuses(
            &line("{ credential = '../shadow' }"),
            &[
                "line 2: `credential` in `password` in [repository]: `../shadow` is not a name of letters, digits, `.`, `_` and `-`",
            ],
        );
        let both = "[repository]\nkey_file = 'k'\npassword = { file = 'p' }\n";
        refuses(
            both,
            &["line 3: [repository] has `key_file` and `password`: one of them opens it"],
        );
    }

    #[test]
    fn copies_have_what_their_mode_needs() {
        refuses(
            "[[copy]]\nmode = 'mirror'\n",
            &["line 1: [[copy]] has no `name`", "line 1: [[copy]] has no `url`"],
        );
        let copy = |more: &str| format!("[[copy]]\nname = 'a'\nurl = '/a'\n{more}\n");
        refuses(
            &copy("mode = 'miror'"),
            &["line 4: `mode` in [[copy]]: there is no `miror`; did you mean `mirror`?"],
        );
        refuses(
            &copy("mode = 'mirror'\nkey_file = 'k'"),
            &["line 5: `key_file` in [[copy]]: a mirror opens with the keys of the repository"],
        );
        refuses(
            &copy("mode = 'mirror'\nkeep_last = 3"),
            &["line 5: `keep_last` in [[copy]]: a mirror has all snapshots"],
        );
        refuses(
            &copy("mode = 'snapshots'\nkeep_last = 0"),
            &["line 5: `keep_last` in [[copy]] is not a whole number of 1 or more"],
        );
        let twice = [copy("mode = 'mirror'"), copy("mode = 'snapshots'")].concat();
        refuses(&twice, &["line 6: `name` in [[copy]]: line 2 names a copy `a`, too"]);
        let named = copy("mode = 'mirror'").replace("'a'", "'a/b'");
        refuses(
            &named,
            &[
                "line 2: `name` in [[copy]]: `a/b` is not a name of letters, digits, `.`, `_` and `-`",
            ],
        );
    }
}
