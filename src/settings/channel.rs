//! `[[notify.channel]]`: one way to tell people or programs.

use crate::settings::At;
use crate::settings::place;
use crate::settings::quantities;
use crate::settings::secret::Secret;
use crate::settings::section::Section;
use std::time::Duration;

/// A section `[[notify.channel]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelSection {
    /// What messages call it.
    pub(crate) name: At<String>,
    /// 1 is told at once, the others when nobody acknowledges.
    pub(crate) level: At<u32>,
    /// The jobs that it is told of; all of them if none is here.
    pub(crate) subjects: Vec<String>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How it is reached.
    pub(crate) kind: ChannelKind,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// A request of HTTP.
    Webhook(WebhookSection),
    /// A mail.
    Smtp(SmtpSection),
    /// A URL that is told that a job starts, succeeds or fails.
    Ping(Address),
    /// A command and its arguments; no shell.
    Command(Vec<String>),
}

/// A URL, which is a secret if whoever knows it may send there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// It stands in the file.
    Plain(String),
    /// Where it is.
    Named(At<Secret>),
}

/// What a webhook needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookSection {
    /// Where it is.
    pub(crate) url: Address,
    /// Whose format the body has.
    pub(crate) template: Template,
    /// Name and value.
    pub(crate) headers: Vec<(String, String)>,
    /// The value of the header `Authorization`.
    pub(crate) authorization: Option<At<Secret>>,
    /// Of `telegram`: to whom the bot writes.
    pub(crate) chat: Option<String>,
}

/// Whose format a webhook's body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    /// Our own.
    Json,
    Slack,
    Mattermost,
    RocketChat,
    Discord,
    Teams,
    GoogleChat,
    Telegram,
    Ntfy,
    Gotify,
}

/// What a mail needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmtpSection {
    /// The server.
    pub(crate) host: String,
    /// The usual one of `security`, unless the file says another.
    pub(crate) port: u16,
    /// How the connection is protected.
    pub(crate) security: Security,
    /// Who sends.
    pub(crate) from: String,
    /// Who receives; at least one.
    pub(crate) to: Vec<String>,
    /// Who logs in, and with what.
    pub(crate) login: Option<(String, At<Secret>)>,
}

/// How a connection for mail is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// From its first byte.
    Tls,
    /// After a plain greeting; a server without it gets nothing.
    StartTls,
    /// Not at all.
    None,
}

impl ChannelSection {
    /// Takes every such section from `[notify]`.
    pub(crate) fn decode_all(notify: &mut Section<'_>) -> Vec<Self> {
        let mut channels: Vec<Self> = Vec::new();
        for mut section in notify.sections("channel") {
            for key in ["name", "kind"] {
                if section.line_of(key).is_none() {
                    section.refuse_missing(key);
                }
            }
            let name = section.parsed("name", place::name);
            let kind = section.choice("kind", &KINDS);
            let rest = Rest::decode(&mut section);
            // Which other keys it may have is not known without its kind.
            let Some(kind) = kind else { continue };
            let kind = (kind.value)(&mut section);
            if let (Some(name), Some(kind)) = (name, kind) {
                let Rest { level, subjects, timeout } = rest;
                if matches!(kind, ChannelKind::Ping(_)) && level.value != 1 {
                    let why = "a ping says at once how each run ended";
                    section.refuse_key(level.line, "level", why);
                } else if let Some(other) =
                    channels.iter().find(|other| other.name.value == name.value)
                {
                    let why =
                        format!("line {} names a channel `{}`, too", other.name.line, name.value);
                    section.refuse_key(name.line, "name", &why);
                } else {
                    channels.push(Self { name, level, subjects, timeout, kind });
                }
            }
            section.finish();
        }
        channels
    }

    /// Every secret that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &At<Secret>> {
        let (url, other) = match &self.kind {
            ChannelKind::Webhook(webhook) => (Some(&webhook.url), webhook.authorization.as_ref()),
            ChannelKind::Ping(url) => (Some(url), None),
            ChannelKind::Smtp(smtp) => (None, smtp.login.as_ref().map(|(_user, secret)| secret)),
            ChannelKind::Command(_) => (None, None),
        };
        let url = url.and_then(|url| match url {
            Address::Plain(_) => None,
            Address::Named(secret) => Some(secret),
        });
        url.into_iter().chain(other)
    }
}

impl ChannelKind {
    /// As the file says it.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Smtp(_) => "smtp",
            Self::Ping(_) => "ping",
            Self::Command(_) => "command",
        }
    }
}

/// What every channel may have.
struct Rest {
    level: At<u32>,
    subjects: Vec<String>,
    timeout: Duration,
}

impl Rest {
    fn decode(section: &mut Section<'_>) -> Self {
        let level = section.count("level").unwrap_or(At { value: 1, line: section.line() });
        let subjects = section.texts("subjects").map(|at| at.value).unwrap_or_default();
        let timeout = section.parsed("timeout", |text| match quantities::duration(text)? {
            time if time.is_zero() || time > TIMEOUT_MAX => {
                Err(format!("`{text}` is not between 1s and 30s"))
            }
            time => Ok(time),
        });
        Self { level, subjects, timeout: timeout.map_or(TIMEOUT, |at| at.value) }
    }
}

type Decode = fn(&mut Section<'_>) -> Option<ChannelKind>;

const KINDS: [(&str, Decode); 4] =
    [("webhook", webhook), ("smtp", smtp), ("ping", ping), ("command", command)];

fn webhook(section: &mut Section<'_>) -> Option<ChannelKind> {
    let url = address(section);
    let template = section.choice("template", &TEMPLATES);
    let template = template.map_or(Template::Json, |at| at.value);
    let mut headers = Vec::new();
    if let Some(At { value, line }) = section.texts("headers") {
        for text in &value {
            match header(text) {
                Ok(found) => headers.push(found),
                Err(why) => section.refuse_key(line, "headers", &why),
            }
        }
    }
    let authorization = Secret::decode_key(section, "authorization");
    let chat = section.text("chat");
    match (&chat, template == Template::Telegram) {
        (Some(At { line, .. }), false) => {
            section.refuse_key(*line, "chat", "only `template = \"telegram\"` has it");
        }
        (None, true) => {
            let what = "[[notify.channel]] has no `chat`, which `template = \"telegram\"` needs";
            section.refuse(section.line(), what.to_owned());
        }
        (Some(_), true) | (None, false) => {}
    }
    let chat = chat.map(|at| at.value);
    let url = url?;
    Some(ChannelKind::Webhook(WebhookSection { url, template, headers, authorization, chat }))
}

fn smtp(section: &mut Section<'_>) -> Option<ChannelKind> {
    for key in ["host", "from", "to"] {
        if section.line_of(key).is_none() {
            section.refuse_missing(key);
        }
    }
    let host = section.parsed("host", server);
    let port_line = section.line_of("port");
    let port = section.count("port").map(|at| u16::try_from(at.value));
    if let (Some(line), Some(Err(_))) = (port_line, &port) {
        section.refuse(line, "`port` in [[notify.channel]] is not a port".to_owned());
    }
    let security = section.choice("security", &SECURITIES);
    let from = section.parsed("from", mail_address);
    let to = section.texts("to");
    for (text, line) in to.iter().flat_map(|at| at.value.iter().map(|text| (text, at.line))) {
        if let Err(why) = mail_address(text) {
            section.refuse_key(line, "to", &why);
        }
    }
    let user = section.text("user");
    let password = Secret::decode_key(section, "password");
    if let (Some(security), Some(_)) = (&security, &password)
        && security.value == Security::None
    {
        let why = "a password is not sent over a connection that anybody can read";
        section.refuse_key(security.line, "security", why);
    }
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user.value, password)),
        (Some(user), None) => {
            if section.line_of("password").is_none() {
                let what = "`user` in [[notify.channel]] needs a `password`";
                section.refuse(user.line, what.to_owned());
            }
            None
        }
        (None, Some(password)) => {
            let what = "`password` in [[notify.channel]] needs a `user`";
            section.refuse(password.line, what.to_owned());
            None
        }
        (None, None) => None,
    };
    let security = security.map_or(Security::Tls, |at| at.value);
    let port = port.and_then(Result::ok).unwrap_or(security.port());
    let (host, from, to) = (host?.value, from?.value, to?.value);
    Some(ChannelKind::Smtp(SmtpSection { host, port, security, from, to, login }))
}

fn ping(section: &mut Section<'_>) -> Option<ChannelKind> {
    address(section).map(ChannelKind::Ping)
}

fn command(section: &mut Section<'_>) -> Option<ChannelKind> {
    if section.line_of("command").is_none() {
        section.refuse_missing("command");
    }
    let At { value, line } = section.texts("command")?;
    if value.first().is_none_or(String::is_empty) || value.iter().any(|word| word.contains('\0')) {
        section.refuse_key(line, "command", "the first word is a program");
        return None;
    }
    Some(ChannelKind::Command(value))
}

/// Takes `url`: a string, or where it is.
fn address(section: &mut Section<'_>) -> Option<Address> {
    if section.line_of("url").is_none() {
        section.refuse_missing("url");
    }
    if section.has_text("url") || section.line_of("url").is_none() {
        let url = section.parsed("url", |text| check_url(text).map(|()| text.to_owned()));
        return url.map(|at| Address::Plain(at.value));
    }
    Secret::decode_key(section, "url").map(Address::Named)
}

/// Whether a text can be a URL of HTTP; its error does not show it, as it may be a secret.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let is_fit = |letter: char| letter.is_ascii_graphic();
    if host.is_empty() || !text.chars().all(is_fit) {
        return Err("this is no URL such as `https://HOST/…`".to_owned());
    }
    if host.contains('@') {
        return Err("a URL with a password in it: use `authorization`".to_owned());
    }
    Ok(())
}

fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("`{}` is not `NAME: VALUE`", text.escape_debug());
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
    let value = value.trim();
    if name.is_empty() || !name.bytes().all(is_token) || value.chars().any(char::is_control) {
        return Err(wrong());
    }
    if name.eq_ignore_ascii_case("authorization") {
        let why = "a secret stands here: write where it is, as `authorization = { file = \"…\" }`";
        return Err(why.to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn server(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.bytes().all(is_fit) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not the name of a server"))
}

/// An address of mail, as `backup@example.org` or `Backup <backup@example.org>`.
fn mail_address(text: &str) -> Result<String, String> {
    let wrong =
        || format!("`{}` is not an address such as `backup@example.org`", text.escape_debug());
    let bare = match text.split_once('<') {
        Some((_name, rest)) => rest.strip_suffix('>').ok_or_else(wrong)?,
        None => text,
    };
    let (local, domain) = bare.rsplit_once('@').ok_or_else(wrong)?;
    let is_fit = |letter: char| !letter.is_control() && !" <>,;\"@".contains(letter);
    let fits = |part: &str| !part.is_empty() && part.chars().all(is_fit);
    if !fits(local) || !fits(domain) || text.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

impl Security {
    /// The port at which servers offer it.
    const fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

const TEMPLATES: [(&str, Template); 10] = [
    ("json", Template::Json),
    ("slack", Template::Slack),
    ("mattermost", Template::Mattermost),
    ("rocket-chat", Template::RocketChat),
    ("discord", Template::Discord),
    ("teams", Template::Teams),
    ("google-chat", Template::GoogleChat),
    ("telegram", Template::Telegram),
    ("ntfy", Template::Ntfy),
    ("gotify", Template::Gotify),
];
const SECURITIES: [(&str, Security); 3] =
    [("tls", Security::Tls), ("starttls", Security::StartTls), ("none", Security::None)];
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
