//! Notifications as commands use them: a notifier for this host, and what became of its messages.

use crate::cli::configuration;
use crate::cli::configuration::Configuration;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::jobs::memory::place;
use crate::cli::output::Output;
use crate::cli::words;
use crate::notify::Delivery;
use crate::notify::Notifier;
use crate::notify::Outcome;
use crate::notify::Surroundings;
use crate::notify::Waiting;
use crate::notify::output_of;
use crate::ops::words::time_words;
use crate::settings::At;
use crate::settings::secret::Secret;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// A notifier for what the configuration file says.
///
/// Errors: whatever is wrong with that file.
pub(crate) fn notifier(context: &Context) -> Result<Notifier, Failure> {
    let configuration = context.configuration()?;
    let surroundings = Surroundings {
        state: place(context.place_word().as_deref()),
        host: environment::host(),
        lookup: Arc::new(|secret, deadline| match secret {
            Secret::KeyFile(path) | Secret::PasswordFile(path) => read_secret(path),
            Secret::Command(argv) => output_of(argv, deadline)
                .map_err(|why| format!("the command that prints its secret: {why}")),
            Secret::Credential(name) => match environment::service_credential(name) {
                Some(path) => read_secret(&path),
                None => Err(format!(
                    "there is no credential `{name}`: CREDENTIALS_DIRECTORY is not set"
                )),
            },
            Secret::Environment(name) => environment::variable(name)
                .ok_or_else(|| format!("the variable {name} is not set"))?
                .into_string()
                .map_err(|_value| format!("the variable {name} is not UTF-8")),
        }),
    };
    Ok(Notifier::open(configuration.settings.notify.clone(), surroundings))
}

/// Warns of everything that did not arrive, and of what went wrong by the way.
pub(crate) fn warn(output: &Output, notifier: &mut Notifier, deliveries: &[Delivery]) {
    for warning in notifier.take_warnings() {
        output.warn(&warning);
    }
    for Delivery { channel, event, subject, outcome, error } in deliveries {
        let why = error.as_deref().unwrap_or_default();
        let what = event.word();
        match outcome {
            Outcome::Delivered => {}
            Outcome::Spooled => output.warn(&format!(
                "channel `{channel}` did not get the notification ({what} of {subject}), which waits: {why}"
            )),
            Outcome::Failed => output.warn(&format!(
                "channel `{channel}` did not get the notification ({what} of {subject}): {why}"
            )),
        }
    }
}

/// What waits, in one line.
pub(crate) fn waiting_words(waiting: &Waiting) -> String {
    let Waiting { count, since, channels } = waiting;
    let names: Vec<String> = channels.keys().map(|name| format!("`{name}`")).collect();
    let wait = if *count == 1 { "waits" } else { "wait" };
    format!(
        "{} for {} {wait} since {}",
        words::count(*count, "notification"),
        names.join(", "),
        time_words(*since, 0)
    )
}

/// The variables in which this program finds secrets.
pub(crate) fn hidden_variables(configuration: &Configuration) -> Vec<OsString> {
    let settings = &configuration.settings;
    let of_copies = settings.copies.iter().filter_map(|copy| copy.secret.as_ref());
    let all = settings.repository.secret.iter().chain(of_copies).chain(settings.notify.secrets());
    let name = |At { value, .. }: &At<Secret>| match value {
        Secret::Environment(name) => Some(OsString::from(name)),
        Secret::KeyFile(_)
        | Secret::PasswordFile(_)
        | Secret::Command(_)
        | Secret::Credential(_) => None,
    };
    all.filter_map(name).collect()
}

fn read_secret(path: &Path) -> Result<String, String> {
    if let Some(why) = configuration::readable(path) {
        return Err(why);
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

const SECRET_BYTES_MAX: u64 = 65_536;
