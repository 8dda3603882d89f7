//! `alert`: what is open, who takes care, and whether people would hear of it.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::notify;
use crate::cli::words;
use crate::cli::words::Table;
use crate::notify::Alert;
use crate::notify::Delivery;
use crate::notify::Event;
use crate::notify::EventKind;
use crate::notify::Outcome;
use crate::notify::Whom;
use crate::ops::words::time_words;
use crate::units::to_u64;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;

/// See and acknowledge alerts, and try the channels of notifications
///
/// A job that fails or is missed opens an alert; its next success closes it. Channels are sections
/// `[[notify.channel]]` of the configuration file. No repository is opened.
#[derive(Debug, Args)]
pub(crate) struct AlertArguments {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// List open alerts, and notifications that could not be sent yet
    List,
    /// Say that somebody takes care: nobody else is told, until the alert repeats
    Ack {
        /// Whose alert
        #[arg(value_name = "SUBJECT", required_unless_present = "all", conflicts_with = "all")]
        subject: Option<String>,
        /// Every open alert
        #[arg(long)]
        all: bool,
        /// What is known or done
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Send what waits, and tell the next level of alerts that nobody acknowledged
    ///
    /// Says nothing if there is nothing to do; run it by a timer, every few minutes.
    Tick,
    /// Tell what happened to a job that another program runs, as for systemd's `OnFailure=`
    ///
    /// What cannot be sent waits; that alone is no failure of this command.
    Tell {
        /// What happened
        #[arg(value_enum)]
        event: Told,
        /// The job
        #[arg(value_name = "SUBJECT")]
        subject: String,
        /// One line, instead of the usual one
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// What more there is to say
        #[arg(long, value_name = "TEXT")]
        text: Option<String>,
        /// How the job's process ended
        #[arg(long, value_name = "CODE")]
        exit_code: Option<u8>,
        /// The snapshot that was made
        #[arg(long, value_name = "ID")]
        snapshot: Option<String>,
        /// Which run it was: a UUID lets services measure how long it took
        #[arg(long, value_name = "ID")]
        run: Option<String>,
    },
    /// Send a test to every channel, and say what happened
    Test {
        /// Only this one
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Told {
    Started,
    Succeeded,
    Failure,
    Missed,
    Recovered,
    Monthly,
}

impl Told {
    const fn kind(self) -> EventKind {
        match self {
            Self::Started => EventKind::Started,
            Self::Succeeded => EventKind::Succeeded,
            Self::Failure => EventKind::Failure,
            Self::Missed => EventKind::Missed,
            Self::Recovered => EventKind::Recovered,
            Self::Monthly => EventKind::Monthly,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &AlertArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        AlertCommand::List => list(context),
        AlertCommand::Ack { subject, all: _, note } => {
            let whom = subject.clone().map_or(Whom::All, Whom::Subject);
            acknowledge(context, &whom, note.as_deref())
        }
        AlertCommand::Tick => tick(context),
        AlertCommand::Tell { event, subject, title, text, exit_code, snapshot, run } => {
            let mut told = Event::new(event.kind(), subject.clone(), Context::now());
            told.title = title.clone().unwrap_or(told.title);
            told.text = text.clone().unwrap_or_default();
            (told.exit_code, told.snapshot, told.run) = (*exit_code, snapshot.clone(), run.clone());
            tell(context, told)
        }
        AlertCommand::Test { channel } => test(context, channel.as_deref()),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let mut notifier = notify::notifier(context)?;
    let alerts = notifier.open_alerts();
    let waiting = notifier.waiting();
    notify::warn(&context.output, &mut notifier, &[]);
    let mut table = Table::new(&["SUBJECT", "WHAT", "SINCE", "TIMES", "LEVEL", "ACKNOWLEDGED"]);
    for (subject, alert) in &alerts {
        table.push(vec![
            printable(subject),
            alert.last.kind.word().to_owned(),
            time_words(alert.since, 0),
            alert.count.to_string(),
            alert.level.to_string(),
            acknowledged(alert),
        ]);
    }
    if alerts.is_empty() {
        context.output.note(format_args!("no alert is open"));
    } else {
        context.output.line(format_args!("{table}"));
    }
    if let Some(waiting) = &waiting {
        context.output.warn(&notify::waiting_words(waiting));
        for (channel, error) in &waiting.channels {
            if let Some(error) = error {
                context.output.warn(&format!("channel `{channel}`: {error}"));
            }
        }
    }
    let alerts: Vec<Value> = alerts.iter().map(alert_json).collect();
    Ok(context.output.finish(&json!({ "alerts": alerts, "waiting": waiting }), Exit::Success))
}

fn acknowledge(context: &Context, whom: &Whom, note: Option<&str>) -> Result<Exit, Failure> {
    let mut notifier = notify::notifier(context)?;
    let done = notifier.acknowledge(whom, note, Context::now());
    notify::warn(&context.output, &mut notifier, &[]);
    let subjects = done
        .map_err(|why| Failure::usage(why).with_hint("`sbf-repo alert list` shows what is open"))?;
    for subject in &subjects {
        context.output.note(format_args!("acknowledged the alert of {}", printable(subject)));
    }
    if subjects.is_empty() {
        context.output.note(format_args!("no alert is open"));
    }
    Ok(context.output.finish(&json!({ "acknowledged": subjects }), Exit::Success))
}

fn tick(context: &Context) -> Result<Exit, Failure> {
    let mut notifier = notify::notifier(context)?;
    let deliveries = notifier.tick(Context::now());
    notify::warn(&context.output, &mut notifier, &deliveries);
    let sent = deliveries.iter().filter(|delivery| delivery.outcome == Outcome::Delivered).count();
    if sent > 0 {
        let count = words::count(to_u64(sent), "notification");
        context.output.note(format_args!("sent {count}"));
    }
    Ok(context.output.finish(&json!({ "notifications": deliveries }), exit_of(&deliveries)))
}

fn tell(context: &Context, event: Event) -> Result<Exit, Failure> {
    let mut notifier = notify::notifier(context)?;
    let deliveries = notifier.tell(event);
    notify::warn(&context.output, &mut notifier, &deliveries);
    Ok(context.output.finish(&json!({ "notifications": deliveries }), Exit::Success))
}

fn test(context: &Context, channel: Option<&str>) -> Result<Exit, Failure> {
    let mut notifier = notify::notifier(context)?;
    if !notifier.has_channels() {
        let why = "the configuration file has no `[[notify.channel]]`".to_owned();
        return Err(Failure::usage(why)
            .with_hint("`sbf-repo config example` shows a file that explains itself"));
    }
    let deliveries = notifier.test(Context::now(), channel);
    if let (Some(name), true) = (channel, deliveries.is_empty()) {
        let why = format!("the configuration file has no channel `{name}`");
        return Err(Failure::usage(why));
    }
    for Delivery { channel, error, .. } in &deliveries {
        match error {
            None => context.output.line(format_args!("{channel}: delivered")),
            Some(why) => context.output.line(format_args!("{channel}: failed: {why}")),
        }
    }
    for warning in notifier.take_warnings() {
        context.output.warn(&warning);
    }
    Ok(context.output.finish(&json!({ "notifications": deliveries }), exit_of(&deliveries)))
}

fn exit_of(deliveries: &[Delivery]) -> Exit {
    let is_delivered = |delivery: &Delivery| delivery.outcome == Outcome::Delivered;
    if deliveries.iter().all(is_delivered) { Exit::Success } else { Exit::Failure }
}

fn alert_json((subject, alert): (&String, &Alert)) -> Value {
    let acknowledged = alert.acknowledged.as_ref().map(
        |acknowledged| json!({ "time": time_words(acknowledged.time, 0), "note": acknowledged.note }),
    );
    json!({
        "subject": subject,
        "event": alert.last.kind.word(),
        "since": time_words(alert.since, 0),
        "last": time_words(alert.last.time, 0),
        "count": alert.count,
        "level": alert.level,
        "title": alert.last.title,
        "text": alert.last.text,
        "exit_code": alert.last.exit_code,
        "acknowledged": acknowledged,
    })
}

fn acknowledged(alert: &Alert) -> String {
    match &alert.acknowledged {
        None => "no".to_owned(),
        Some(acknowledged) => {
            let note = acknowledged.note.as_deref().map(printable).unwrap_or_default();
            format!("{} {note}", time_words(acknowledged.time, 0)).trim_end().to_owned()
        }
    }
}

/// A text of the state directory, which must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
