//! What a run will do: its steps, and when each is left out.

use crate::cli::arguments::GlobalArguments;
use crate::settings::Settings;
use crate::settings::copy::CopyMode;
use crate::settings::copy::CopySection;
use crate::settings::hooks::HookPoint;
use crate::settings::job::JobSection;
use crate::settings::maintenance::Task;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Something that a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// In a word or two, for people and reports: `snapshot`, `copy far`.
    pub(crate) name: String,
    pub(crate) what: What,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A hook, with the time that it has.
    Hook { point: HookPoint, argv: Vec<String>, timeout: Duration },
    /// The snapshot: the words of the command.
    Snapshot(Vec<OsString>),
    /// A task after it: the words of the command.
    Task(Task, Vec<OsString>),
}

/// What the next share of a full check is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SinceCheck {
    /// Since the last one of this host; or, if there was none, the pause between two runs.
    pub(crate) elapsed: Duration,
}

/// The steps of a job.
pub(crate) fn steps_of_job(settings: &Settings, job: &JobSection, since: SinceCheck) -> Vec<Step> {
    let hook = |point: HookPoint| {
        let argv = job.hooks.at(point)?.to_vec();
        let what = What::Hook { point, argv, timeout: job.hooks.timeout };
        Some(Step { name: format!("hook {}", point.word()), what })
    };
    let what = What::Snapshot(snapshot_words(job));
    let snapshot = Step { name: "snapshot".to_owned(), what };
    let mut steps: Vec<Step> = hook(HookPoint::Before).into_iter().collect();
    steps.push(snapshot);
    steps.extend(hook(HookPoint::After));
    for task in Task::ALL {
        if settings.maintenance.schedule(task).is_none() {
            steps.extend(steps_of_task(settings, task, Some(&job.source.value), since));
        }
    }
    steps.extend(hook(HookPoint::OnFailure));
    steps.extend(hook(HookPoint::Always));
    steps
}

/// The words of the command that makes the snapshot.
pub(crate) fn snapshot_words(job: &JobSection) -> Vec<OsString> {
    let source = format!("--source={}", job.source.value);
    let words = [OsString::from("snapshot"), source.into()];
    words.into_iter().chain(job.words.iter().cloned()).collect()
}

/// The steps of a task: of one source, or of all.
pub(crate) fn steps_of_task(
    settings: &Settings,
    task: Task,
    source: Option<&str>,
    since: SinceCheck,
) -> Vec<Step> {
    let step = |name: String, words: Vec<OsString>| Step { name, what: What::Task(task, words) };
    match task {
        Task::Forget => {
            let Some(retention) = &settings.retention else { return Vec::new() };
            let mut words = vec![OsString::from("forget"), "--accept-policy".into()];
            words.extend(source.map(|source| format!("--source={source}").into()));
            words.extend(retention.options().into_iter().map(OsString::from));
            vec![step("forget".to_owned(), words)]
        }
        // Without a policy nothing is forgotten, and what was forgotten by hand is left to a hand.
        Task::Prune if settings.retention.is_none() && source.is_some() => Vec::new(),
        Task::Prune => vec![step("prune".to_owned(), vec!["prune".into()])],
        Task::Copies => settings.copies.iter().map(step_of_copy).collect(),
        Task::Check => {
            let max_age = settings.check.as_ref().and_then(|check| check.max_age.as_ref());
            let share = max_age.and_then(|at| share(at.value, since));
            let words = |share| vec!["check".into(), format!("--read-data-subset={share}%").into()];
            share.map(|share| step("check".to_owned(), words(share))).into_iter().collect()
        }
        // What was missed is looked at by the run itself, in the end.
        Task::Status => Vec::new(),
    }
}

fn step_of_copy(copy: &CopySection) -> Step {
    let (name, command) = match copy.mode.value {
        CopyMode::Mirror => ("mirror", "mirror"),
        CopyMode::Snapshots => ("copy", "copy"),
    };
    let words = vec![command.into(), "--to".into(), copy.name.value.clone().into()];
    Step { name: format!("{name} {}", copy.name.value), what: What::Task(Task::Copies, words) }
}

/// The share of all packs that is due, in percent; `None` if so little is that it can wait.
///
/// Everything comes up within four fifths of the time, which leaves room for runs that fail.
fn share(max_age: Duration, since: SinceCheck) -> Option<u64> {
    let within = max_age.as_secs().saturating_mul(4) / 5;
    if since.elapsed < LEAST_PAUSE || within == 0 {
        return None;
    }
    Some((since.elapsed.as_secs().saturating_mul(100)).div_ceil(within).clamp(1, 100))
}

/// The options of the run that its steps get, too.
pub(crate) fn passed_on(global: &GlobalArguments) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut add = |option: &str, value: Option<OsString>| {
        if let Some(value) = value {
            let mut word = OsString::from(format!("{option}="));
            word.push(value);
            words.push(word);
        }
    };
    let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
    let text = |text: &Option<String>| text.clone().map(OsString::from);
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| format!("{bytes}B").into());
    add("--repo", text(&global.repo));
    add("--config", path(&global.config));
    add("--key-file", path(&global.key_file));
    add("--password-file", path(&global.password_file));
    add("--password-command", text(&global.password_command));
    add("--authority-file", path(&global.authority_file));
    add("--limit-upload", bytes(global.limit_upload));
    add("--limit-download", bytes(global.limit_download));
    add("--reason", text(&global.reason));
    add("--ticket", text(&global.ticket));
    add("--cache-dir", path(&global.cache_dir));
    add("--cache-size", bytes(global.cache_size));
    let switches = [
        ("--require-audit", global.require_audit),
        ("--accept-rollback", global.accept_rollback),
        ("--no-cache", global.no_cache),
        ("--quiet", global.quiet),
        ("--verbose", global.verbose),
    ];
    words.extend(switches.iter().filter(|(_, is_on)| *is_on).map(|(word, _)| OsString::from(word)));
    words
}

/// A share is not read again sooner: several jobs of a day are one occasion.
const LEAST_PAUSE: Duration = Duration::from_hours(12);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(text: &str) -> Settings {
        Settings::decode(text, Path::new("/etc/x")).unwrap()
    }

    const DAY: SinceCheck = SinceCheck { elapsed: Duration::from_hours(24) };

    fn lines(steps: &[Step]) -> Vec<String> {
        let line = |step: &Step| match &step.what {
            What::Hook { argv, .. } => format!("{}: {}", step.name, argv.join(" ")),
            What::Snapshot(words) | What::Task(_, words) => {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                words.join(" ")
            }
        };
        steps.iter().map(line).collect()
    }

    #[test]
    fn a_job_is_a_series_of_commands() {
        let text = "[job.db]\nkind = 'postgres'\ndsn = 'service=app'\nmax_row_drop = '20%'\nglobals = false\n\
             hooks = { before = ['b', '1'], always = ['a'] }\n\
             [retention]\ndaily = 7\nwithin_monthly = '1y'\n[check]\nmax_age = '30d'\n\
             [[copy]]\nname = 'far'\nurl = 'gs://b/x'\nmode = 'mirror'\n\
             [[copy]]\nname = 'near'\nurl = '/srv'\nmode = 'snapshots'\n\
             [maintenance]\nprune = 'weekly'\n";
        let settings = settings(text);
        let steps = steps_of_job(&settings, settings.job("db").unwrap(), DAY);
        let expected = [
            "hook before: b 1",
            "snapshot --source=db --postgres=service=app --pg-no-globals --max-row-drop=20",
            "forget --accept-policy --source=db --keep-daily=7 --keep-within-monthly=1y",
            "mirror --to far",
            "copy --to near",
            "check --read-data-subset=5%",
            "hook always: a",
        ];
        assert_eq!(lines(&steps), expected);
        let prune = steps_of_task(&settings, Task::Prune, None, DAY);
        assert_eq!(lines(&prune), ["prune"]);
    }

    #[test]
    fn paths_and_programs_stand_last_whatever_they_are_called() {
        let text = "[job.a]\nkind = 'several'\npaths = ['--x']\nexclude = ['--y']\n\
             [[job.a.stream]]\nfile = 'f'\ncommand = ['sh', '-c', \"a'b\"]\nexpect_trailer = 'end'\n\
             [job.b]\nkind = 'command'\nfile = 'out'\ncommand = ['prog', '--opt']\n";
        let settings = settings(text);
        let line = |name: &str| {
            let job = settings.job(name).unwrap();
            lines(&steps_of_job(&settings, job, DAY)).join("; ")
        };
        let several = "snapshot --source=a --stream=f='sh' '-c' 'a'\"'\"'b' --expect-trailer-of=f=end \
                       --exclude=--y -- /etc/x/--x";
        assert_eq!(line("a"), several);
        assert_eq!(line("b"), "snapshot --source=b --stdin-name=out --from-command -- prog --opt");
    }

    #[test]
    fn the_share_that_is_due_grows_with_time() {
        let share = |age: u64, elapsed: u64| {
            let since = SinceCheck { elapsed: Duration::from_hours(elapsed) };
            share(Duration::from_hours(24 * age), since)
        };
        assert_eq!(share(35, 24), Some(4));
        assert_eq!(share(35, 24 * 7), Some(25));
        assert_eq!(share(35, 24 * 100), Some(100));
        assert_eq!(share(35, 11), None);
        assert_eq!(share(1, 24), Some(100));
    }
}
