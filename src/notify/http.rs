//! Webhooks and pings: one request, no redirect, nothing secret in what is said of it.

use crate::notify::deliver::Deadline;
use crate::notify::deliver::Trouble;
use crate::notify::event::Event;
use crate::notify::event::EventKind;
use crate::notify::event::end_of;
use crate::notify::redact::Secrets;
use crate::notify::redact::host_of;
use crate::notify::templates;
use crate::settings::channel::Template;
use crate::settings::channel::WebhookSection;
use reqwest::Client;
use reqwest::RequestBuilder;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use std::error::Error as _;
use std::fmt::Write as _;
use tokio::runtime::Builder;

/// Sends an event to a webhook.
pub(crate) fn webhook(
    webhook: &WebhookSection,
    url: &str,
    authorization: Option<&str>,
    event: &Event,
    deadline: Deadline,
) -> Result<(), Trouble> {
    let mut secrets = Secrets::default();
    secrets.add_url(url);
    let (url, topic) = match webhook.template {
        Template::Telegram if !url.ends_with("/sendMessage") => {
            (format!("{}/sendMessage", url.trim_end_matches('/')), "")
        }
        // The JSON goes to the root, and names the topic.
        Template::Ntfy => {
            let (root, topic) = url.trim_end_matches('/').rsplit_once('/').unwrap_or((url, ""));
            if topic.is_empty() || root.ends_with(':') || root.ends_with('/') {
                let why = "the URL of an ntfy channel ends with its topic".to_owned();
                return Err(Trouble::Refused(why));
            }
            (format!("{root}/"), topic)
        }
        Template::Json
        | Template::Slack
        | Template::Mattermost
        | Template::RocketChat
        | Template::Discord
        | Template::Teams
        | Template::GoogleChat
        | Template::Telegram
        | Template::Gotify => (url.to_owned(), ""),
    };
    let chat = webhook.chat.as_deref().unwrap_or_default();
    let body = templates::body(webhook.template, event, chat, topic).to_string();
    request(&url, &secrets_with(secrets, authorization), deadline, |client| {
        let mut request = client.post(&url).header(CONTENT_TYPE, "application/json").body(body);
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        match authorization {
            Some(value) => request.header(AUTHORIZATION, value.trim()),
            None => request,
        }
    })
}

/// Tells a dead man's switch how a run goes.
pub(crate) fn ping(url: &str, event: &Event, deadline: Deadline) -> Result<(), Trouble> {
    let Some(url) = ping_url(url, event) else { return Ok(()) };
    let mut secrets = Secrets::default();
    secrets.add_url(&url);
    let body = end_of(&format!("{}\n{}", event.title, event.words()), PING_LETTERS_MAX);
    request(&url, &secrets, deadline, |client| client.post(&url).body(body))
}

/// Where a ping of an event goes; `None` if it does not say how a run goes.
fn ping_url(url: &str, event: &Event) -> Option<String> {
    let end = match (event.kind, event.exit_code) {
        (EventKind::Started, _) => "/start".to_owned(),
        (EventKind::Succeeded, _) => String::new(),
        (EventKind::Failure, Some(code)) if code != 0 => format!("/{code}"),
        (EventKind::Failure | EventKind::Missed, _) => "/fail".to_owned(),
        (EventKind::Test, _) => "/log".to_owned(),
        (EventKind::Recovered | EventKind::Monthly, _) => return None,
    };
    let url = url.replace("{subject}", &slug(&event.subject));
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let mut queries: Vec<String> = Vec::new();
    queries.extend((!query.is_empty()).then(|| query.to_owned()));
    queries.extend(event.run.as_deref().and_then(uuid).map(|run| format!("rid={run}")));
    let separator = if queries.is_empty() { "" } else { "?" };
    Some(format!("{}{end}{separator}{}", path.trim_end_matches('/'), queries.join("&")))
}

/// A subject as services name checks.
fn slug(subject: &str) -> String {
    let fit = |letter: char| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() || letter == '_' => letter,
        _ => '-',
    };
    subject.chars().map(fit).collect()
}

/// A run's id as a UUID, if it can be one.
fn uuid(run: &str) -> Option<String> {
    let digits: String = run.chars().filter(|letter| *letter != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut text = String::new();
    for (at, letter) in digits.to_ascii_lowercase().chars().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            text.push('-');
        }
        text.push(letter);
    }
    Some(text)
}

fn secrets_with(mut secrets: Secrets, authorization: Option<&str>) -> Secrets {
    for word in authorization.into_iter().flat_map(str::split_whitespace) {
        secrets.add(word);
    }
    secrets
}

/// Sends one request and judges the answer.
fn request(
    url: &str,
    secrets: &Secrets,
    deadline: Deadline,
    build: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<(), Trouble> {
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread was first, which is as good.
        let _ignored = ring::default_provider().install_default();
    }
    let unreachable = |why: String| Trouble::Unreachable(secrets.hide(&why));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unreachable(error.to_string()))?;
    let client = Client::builder()
        // Whoever redirects would get the words, and a header with a secret.
        .redirect(Policy::none())
        .timeout(deadline.left())
        .user_agent(concat!("sbf-repo/", env!("CARGO_PKG_VERSION")))
        .build();
    let request = client.map(|client| build(&client));
    let ended = runtime.block_on(async {
        match request?.send().await {
            Ok(response) => Ok((response.status(), start_of_answer(response).await)),
            Err(error) => Err(error),
        }
    });
    // A name that is still being looked up must not hold anything up.
    runtime.shutdown_background();
    let host = host_of(url);
    let (status, answer) = match ended {
        Ok(answer) => answer,
        Err(error) => {
            // Without its URL, which is a secret.
            let is_refused = error.is_builder();
            let told = chain(&error.without_url());
            let why = format!("{host}: {}", secrets.hide(&told));
            return Err(if is_refused { Trouble::Refused(why) } else { Trouble::Unreachable(why) });
        }
    };
    let answer = secrets.hide(&answer);
    let said = if answer.is_empty() { String::new() } else { format!(": {answer}") };
    let why = format!("{host} answers {status}{said}");
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(Trouble::Refused(format!(
            "{host} redirects ({status}), which is not followed: name the place itself"
        ))),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::Unreachable(why))
        }
        status if status.is_server_error() => Err(Trouble::Unreachable(why)),
        _ => Err(Trouble::Refused(why)),
    }
}

/// The beginning of a body, which may have no end.
async fn start_of_answer(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing into a string does not fail.
        let _ignored = write!(text, ": {error}");
        source = error.source();
    }
    text
}

const PING_LETTERS_MAX: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_say_how_a_run_goes() {
        let url = |kind, exit_code, run: Option<&str>| {
            let mut event = Event::new(kind, "App DB", 0);
            (event.exit_code, event.run) = (exit_code, run.map(str::to_owned));
            ping_url("https://hc/key/{subject}?create=1", &event)
        };
        let at = |end: &str| Some(format!("https://hc/key/app-db{end}"));
        let run = "0123456789ABCDEF0123456789abcdef";
        let rid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(url(EventKind::Started, None, None), at("/start?create=1"));
        assert_eq!(
            url(EventKind::Succeeded, Some(0), Some(run)),
            at(&format!("?create=1&rid={rid}"))
        );
        assert_eq!(url(EventKind::Failure, Some(4), Some("x")), at("/4?create=1"));
        assert_eq!(url(EventKind::Failure, None, None), at("/fail?create=1"));
        assert_eq!(url(EventKind::Missed, None, None), at("/fail?create=1"));
        assert_eq!(url(EventKind::Test, None, None), at("/log?create=1"));
        assert_eq!(url(EventKind::Monthly, None, None), None);
    }
}
