//! Mail: one message, one connection.

use crate::notify::deliver::Deadline;
use crate::notify::deliver::Trouble;
use crate::notify::event::Event;
use crate::notify::mail;
use crate::notify::redact::Secrets;
use crate::settings::channel::Security;
use crate::settings::channel::SmtpSection;
use lettre::SmtpTransport;
use lettre::Transport as _;
use lettre::address::AddressError;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Tls;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::extension::ClientId;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use std::error::Error as _;
use std::time::Duration;

/// Sends an event as a mail.
pub(crate) fn send(
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
    let envelope = envelope(smtp).map_err(|error| refused(error.as_ref()))?;
    let message = mail::message(&smtp.from, &smtp.to, host, event);
    let parameters = || TlsParameters::new(smtp.host.clone()).map_err(|error| refused(&error));
    let tls = match smtp.security {
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::StartTls => Tls::Required(parameters()?),
        Security::None => Tls::None,
    };
    let mut transport = SmtpTransport::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(tls)
        .hello_name(ClientId::Domain(mail::name(host)))
        .timeout(Some(deadline.left().max(Duration::from_millis(1))));
    let mut secrets = Secrets::default();
    if let (Some((user, _secret)), Some(password)) = (&smtp.login, password) {
        secrets.add(password);
        transport = transport.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    let Err(error) = transport.build().send_raw(&envelope, message.as_bytes()) else {
        return Ok(());
    };
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    let why = format!("{}:{}: {}", smtp.host, smtp.port, secrets.hide(&why));
    Err(if error.is_permanent() { Trouble::Refused(why) } else { Trouble::Unreachable(why) })
}

fn envelope(smtp: &SmtpSection) -> Result<Envelope, Box<dyn std::error::Error>> {
    let from = mail::bare(&smtp.from).parse()?;
    let to: Result<_, AddressError> = smtp.to.iter().map(|to| mail::bare(to).parse()).collect();
    Ok(Envelope::new(Some(from), to?)?)
}
