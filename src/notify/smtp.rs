//! Mail: one message, one connection.

use crate::notify::deliver::Deadline;
use crate::notify::deliver::Trouble;
use crate::notify::event::Event;
use crate::notify::redact::Secrets;
use crate::settings::channel::Security;
use crate::settings::channel::SmtpSection;
use lettre::Message;
use lettre::SmtpTransport;
use lettre::Transport as _;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::extension::ClientId;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use std::error::Error as _;
use std::time::Duration;
use std::time::SystemTime;

/// Sends an event as a mail.
pub(crate) fn mail(
    smtp: &SmtpSection,
    host: &str,
    password: Option<&str>,
    event: &Event,
    deadline: Deadline,
) -> Result<(), Trouble> {
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread was first, which is as good.
        let _ignored = ring::default_provider().install_default();
    }
    let refused = |error: &dyn std::error::Error| Trouble::Refused(error.to_string());
    let message = message(smtp, host, event)?;
    let parameters = || TlsParameters::new(smtp.host.clone()).map_err(|error| refused(&error));
    let tls = match smtp.security {
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::StartTls => Tls::Required(parameters()?),
        Security::None => Tls::None,
    };
    let mut transport = SmtpTransport::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(tls)
        .hello_name(ClientId::Domain(name(host)))
        .timeout(Some(deadline.left().max(Duration::from_millis(1))));
    let mut secrets = Secrets::default();
    if let (Some((user, _secret)), Some(password)) = (&smtp.login, password) {
        secrets.add(password);
        transport = transport.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    let Err(error) = transport.build().send(&message) else { return Ok(()) };
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    let why = format!("{}:{}: {}", smtp.host, smtp.port, secrets.hide(&why));
    Err(if error.is_permanent() { Trouble::Refused(why) } else { Trouble::Unreachable(why) })
}

fn message(smtp: &SmtpSection, host: &str, event: &Event) -> Result<Message, Trouble> {
    let refused = |error: &dyn std::error::Error| Trouble::Refused(error.to_string());
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| refused(&error));
    let seconds = u64::try_from(event.time).unwrap_or_default();
    // The same for the same event: whoever gets it twice can tell.
    let id = format!(
        "<{}.{}.{}.{}@{}>",
        event.time,
        event.kind.word(),
        event.escalated_to.unwrap_or(1),
        name(&event.subject),
        name(host)
    );
    let mut message = Message::builder()
        .from(mailbox(&smtp.from)?)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(id))
        .subject(event.title.replace(char::is_control, " "))
        .header(ContentType::TEXT_PLAIN);
    for to in &smtp.to {
        message = message.to(mailbox(to)?);
    }
    let text = format!("{}\n\n{}\n", event.title, event.words());
    message.body(text).map_err(|error| refused(&error))
}

/// A text as a part of a name in mail.
fn name(text: &str) -> String {
    let is_fit = |letter: &char| letter.is_ascii_alphanumeric() || ".-".contains(*letter);
    let name: String = text.chars().filter(is_fit).take(NAME_LETTERS_MAX).collect();
    let name = name.trim_matches('.');
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

const NAME_LETTERS_MAX: usize = 60;
