//! What stands in for the network in a program that was built without one.

use crate::notify::deliver::Deadline;
use crate::notify::deliver::Trouble;
use crate::notify::event::Event;
use crate::settings::channel::SmtpSection;
use crate::settings::channel::WebhookSection;

/// Refuses.
pub(crate) fn webhook(
    _section: &WebhookSection,
    _url: &str,
    _authorization: Option<&str>,
    _event: &Event,
    _deadline: Deadline,
) -> Result<(), Trouble> {
    Err(missing())
}

/// Refuses.
pub(crate) fn ping(_url: &str, _event: &Event, _deadline: Deadline) -> Result<(), Trouble> {
    Err(missing())
}

/// Refuses.
pub(crate) fn send(
    _smtp: &SmtpSection,
    _host: &str,
    _password: Option<&str>,
    _event: &Event,
    _deadline: Deadline,
) -> Result<(), Trouble> {
    Err(missing())
}

fn missing() -> Trouble {
    let why = "this program was built without `cloud`, and so without a network: only channels of kind \
         `command` work";
    Trouble::Refused(why.to_owned())
}
