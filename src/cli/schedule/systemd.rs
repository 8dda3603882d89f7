//! Units of systemd: a service and a timer for each.
//! Source: systemd.service(5), systemd.timer(5), systemd.exec(5).

use crate::cli::schedule::Timed;
use crate::cli::schedule::crontab::MARK;
use crate::settings::Settings;
use crate::settings::secret::Secret;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// What every unit needs to know.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) settings: &'a Settings,
    /// The program and its options, before the command.
    pub(crate) command: Vec<String>,
    /// Variables that say where state and cache are.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
    /// Local directories that are written to.
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) manager: Manager,
}

/// Whose units they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    System,
    User,
}

/// Contents by file name.
pub(crate) fn units(timed: &[Timed<'_>], around: &Surroundings<'_>) -> BTreeMap<String, String> {
    let mut units = BTreeMap::new();
    for each in timed {
        let unit = each.unit();
        units.insert(format!("{unit}.service"), service(each, around));
        units.insert(format!("{unit}.timer"), timer(each));
    }
    if tells(around.settings) {
        let command = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            let words: Vec<String> = around.command.iter().cloned().chain(words).collect();
            words.iter().map(|word| escaped(word)).collect::<Vec<_>>().join(" ")
        };
        let common = common(around);
        let tick = command(&["--quiet", "alert", "tick"]);
        let about =
            "Description=Send notifications that wait, and escalate\n\n[Service]\nType=oneshot\n";
        let service = format!("{MARK}\n[Unit]\n{about}ExecStart={tick}\n{common}");
        units.insert("sbf-repo-alerts.service".to_owned(), service);
        units.insert("sbf-repo-alerts.timer".to_owned(), format!("{MARK}\n{ALERTS_TIMER}"));
        // The instance is named by systemd, not by this program.
        let failed = format!("{} %i", command(&["alert", "tell", "failure"]));
        let about = "Description=Tell that %i failed\n\n[Service]\nType=oneshot\n";
        let service = format!("{MARK}\n[Unit]\n{about}ExecStart={failed}\n{common}");
        units.insert("sbf-repo-failed@.service".to_owned(), service);
    }
    units
}

fn service(timed: &Timed<'_>, around: &Surroundings<'_>) -> String {
    let what = if timed.job.is_some() { "Backup" } else { "Backup maintenance" };
    let mut text = format!("{MARK}\n[Unit]\nDescription={what}: {}\n", escaped(timed.name));
    if around.manager == Manager::System {
        text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    if tells(around.settings) {
        let subject = if timed.job.is_some() { "" } else { "maintenance:" };
        let _ignored = writeln!(text, "OnFailure=sbf-repo-failed@{subject}{}.service", timed.name);
    }
    text.push_str("StartLimitIntervalSec=6h\nStartLimitBurst=5\n");
    let words: Vec<String> =
        around.command.iter().cloned().chain(timed.words()).map(|word| escaped(&word)).collect();
    let _ignored = writeln!(text, "\n[Service]\nType=oneshot\nExecStart={}", words.join(" "));
    text.push_str(&common(around));
    text.push_str(AGAIN);
    text.push_str("UMask=0077\nNice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\n");
    text.push_str(&hardening(timed, around));
    text
}

/// Whether somebody is told.
const fn tells(settings: &Settings) -> bool {
    !settings.notify.channels.is_empty()
}

/// Secrets, and where the host's memory is.
fn common(around: &Surroundings<'_>) -> String {
    let mut text = String::new();
    for name in credentials(around.settings) {
        let _ignored = writeln!(text, "LoadCredential={name}");
    }
    for (name, path) in &around.variables {
        let variable = escaped(&format!("{name}={}", path.display()));
        let _ignored = writeln!(text, "Environment={variable}");
    }
    if around.manager == Manager::System && around.variables.is_empty() {
        text.push_str(DIRECTORIES);
    }
    text
}

/// What the service may not do.
fn hardening(timed: &Timed<'_>, around: &Surroundings<'_>) -> String {
    let runs_programs = timed.job.is_some_and(|job| {
        !job.hooks.commands.is_empty()
            || job.words.iter().any(|word| {
                word == "--from-command" || word.to_string_lossy().starts_with("--stream=")
            })
    });
    if runs_programs {
        return "# The job runs programs of its own, which may need whatever they need.\n"
            .to_owned();
    }
    if around.manager == Manager::User {
        return "NoNewPrivileges=yes\n".to_owned();
    }
    let mut text = HARDENING.to_owned();
    let writes = around.writable.iter().chain(around.variables.iter().map(|(_, path)| path));
    let mut paths: Vec<String> = writes.map(|path| path.display().to_string()).collect();
    paths.extend(
        timed.job.iter().flat_map(|job| &job.words).map(|word| word.to_string_lossy().into_owned()),
    );
    let uses_tmp = paths.iter().any(|path| path.contains("/tmp/"));
    if !uses_tmp {
        text.push_str("PrivateTmp=yes\n");
    }
    for path in &around.writable {
        // Ignored while it is missing: a repository may not be there yet.
        let _ignored = writeln!(text, "ReadWritePaths=-{}", escaped(&path.display().to_string()));
    }
    for (_name, path) in &around.variables {
        let _ignored = writeln!(text, "ReadWritePaths=-{}", escaped(&path.display().to_string()));
    }
    text
}

fn timer(timed: &Timed<'_>) -> String {
    format!(
        "{MARK}\n[Unit]\nDescription=When to run: {}\n\n[Timer]\nOnCalendar={}\nAccuracySec=1s\n\
         # What came due while the host was off is done when it is on.\nPersistent=yes\n\n\
         [Install]\nWantedBy=timers.target\n",
        escaped(timed.name),
        timed.calendar
    )
}

/// The credentials that the file names.
fn credentials(settings: &Settings) -> Vec<&str> {
    let copies = settings.copies.iter().filter_map(|copy| copy.secret.as_ref());
    let secrets = settings.repository.secret.iter().chain(copies);
    let secrets = secrets.chain(settings.notify.secrets());
    let mut names: Vec<&str> = secrets
        .filter_map(|at| match &at.value {
            Secret::Credential(name) => Some(name.as_str()),
            Secret::KeyFile(_)
            | Secret::PasswordFile(_)
            | Secret::Command(_)
            | Secret::Environment(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A word of a unit, in quotes if it needs them.
fn escaped(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:%$@,".contains(&byte);
    if word.bytes().all(is_plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

/// Whether a file was written by this program.
pub(crate) fn is_own(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

const DIRECTORIES: &str = "\
StateDirectory=sbf-repo
StateDirectoryMode=0700
CacheDirectory=sbf-repo
CacheDirectoryMode=0700
";
const ALERTS_TIMER: &str = "\
[Unit]
Description=When to send notifications that wait

[Timer]
OnBootSec=5min
OnUnitActiveSec=5min

[Install]
WantedBy=timers.target
";
/// What only needs another time gets one.
const AGAIN: &str = "\
# A store that cannot be reached (13) is tried again, and so is a run that something killed; everything else needs
# somebody to look.
Restart=on-failure
RestartSec=15min
RestartPreventExitStatus=1 2 3 4 5 6 7 8 10 12 14 15 141
TimeoutStopSec=2min
";
/// It reads everything, and writes only where it is told to.
const HARDENING: &str = "\
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_FOWNER
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
";
