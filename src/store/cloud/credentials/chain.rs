//! Which source of credentials counts, of all that are set up. The order is that of AWS's own
//! programs: a profile that the location names; keys in variables; the profile that a variable
//! names, or `default`; a web identity; the service of a container; that of a machine.

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::of_profile;
use crate::store::cloud::credentials::of_profile::Named;
use crate::store::cloud::credentials::profiles::Profiles;
use crate::store::cloud::credentials::profiles::at_home;
use crate::store::cloud::credentials::source::Authorization;
use crate::store::cloud::credentials::source::Base;
use crate::store::cloud::credentials::source::Container;
use crate::store::cloud::credentials::source::Keys;
use crate::store::cloud::credentials::source::Machine;
use crate::store::cloud::credentials::source::Role;
use crate::store::cloud::credentials::source::Source;
use crate::store::cloud::credentials::source::WebIdentity;
use crate::store::cloud::settings::CloudSettings;
use zeroize::Zeroizing;

/// The profile that is used, and how it was named.
pub(crate) fn named_profile(of_location: Option<&str>, settings: &CloudSettings) -> Named {
    if let Some(name) = of_location {
        return Named::ByLocation(name.to_owned());
    }
    let variables = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    match variables.iter().find_map(|name| settings.variable(name)) {
        Some(name) => Named::ByVariable(name.to_owned()),
        None => Named::Default,
    }
}

/// Chooses the source; asks nobody.
///
/// Errors: what is set up and makes no sense. Never goes on to another source then: that one
/// would be somebody else.
pub(crate) fn choose(
    named: &Named,
    settings: &CloudSettings,
    profiles: &Profiles,
) -> Result<Source, CredentialError> {
    let mut looked_for = Vec::new();
    if !matches!(named, Named::ByLocation(_)) {
        if let Some(keys) = keys_of_variables(settings)? {
            return Ok(plain(Base::Keys(keys), "AWS_ACCESS_KEY_ID".to_owned()));
        }
        looked_for.push("AWS_ACCESS_KEY_ID".to_owned());
    }
    if let Some(source) = of_profile::source(named, settings, profiles)? {
        return Ok(source);
    }
    looked_for.push(format!("credentials of profile `{}`", named.name()));
    if let Some(identity) = web_identity(settings)? {
        let words = format!("AWS_WEB_IDENTITY_TOKEN_FILE, role {}", identity.role.arn);
        return Ok(plain(Base::WebIdentity(identity), words));
    }
    looked_for.push("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned());
    if let Some(container) = container(settings)? {
        return Ok(plain(Base::Container(container), "the container's service".to_owned()));
    }
    looked_for.push("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned());
    let machine = machine(settings, looked_for)?;
    Ok(plain(Base::Machine(machine), "the machine's service".to_owned()))
}

const fn plain(base: Base, words: String) -> Source {
    Source { base, roles: Vec::new(), words }
}

/// Keys in variables.
///
/// Errors: one half of them.
pub(crate) fn keys_of_variables(settings: &CloudSettings) -> Result<Option<Keys>, CredentialError> {
    let half = |set: &str, missing: &str| {
        CredentialError::wrong(format!("{set} is set, and {missing} is not: set both, or neither"))
    };
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    match (settings.variable(id), settings.variable(secret)) {
        (Some(key), Some(value)) => {
            let token = settings.variable("AWS_SESSION_TOKEN");
            let token = token.map(|token| Zeroizing::new(token.to_owned()));
            let secret = Zeroizing::new(value.to_owned());
            Ok(Some(Keys { id: key.to_owned(), secret, token }))
        }
        (Some(_), None) => Err(half(id, secret)),
        (None, Some(_)) => Err(half(secret, id)),
        (None, None) => Ok(None),
    }
}

fn web_identity(settings: &CloudSettings) -> Result<Option<WebIdentity>, CredentialError> {
    let Some(file) = settings.variable("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
    let Some(arn) = settings.variable("AWS_ROLE_ARN") else {
        let why =
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not: which role accepts it?";
        return Err(CredentialError::wrong(why));
    };
    let session_name = settings.variable("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION_NAME);
    Ok(Some(WebIdentity {
        set_in: "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(),
        token_file: at_home(settings, file),
        role: Role {
            profile: String::new(),
            arn: arn.to_owned(),
            session_name: session_name.to_owned(),
            external_id: None,
            duration_seconds: DURATION_SECONDS,
        },
    }))
}

/// The service of a container's platform, if it is one.
///
/// Errors: an address to which nobody should send a token.
pub(crate) fn container(settings: &CloudSettings) -> Result<Option<Container>, CredentialError> {
    let authorization = || {
        let file = settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        match (file, token) {
            (Some(file), _) => Authorization::TokenFile(file.into()),
            (None, Some(token)) => Authorization::Token(Zeroizing::new(token.to_owned())),
            (None, None) => Authorization::Nothing,
        }
    };
    if let Some(path) = settings.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let address = format!("http://169.254.170.2{path}");
        return Ok(Some(Container { address, authorization: authorization() }));
    }
    let Some(address) = settings.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else {
        return Ok(None);
    };
    let host = address.strip_prefix("http://").map(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rsplit_once(':').map_or(authority, |(host, _port)| host)
    });
    let is_near = |host: &str| host.starts_with("127.") || CONTAINER_HOSTS.contains(&host);
    if !address.starts_with("https://") && !host.is_some_and(is_near) {
        let why =
            "AWS_CONTAINER_CREDENTIALS_FULL_URI must begin with `https://`, or name this machine";
        return Err(CredentialError::wrong(why));
    }
    Ok(Some(Container { address: address.to_owned(), authorization: authorization() }))
}

/// The service of a machine.
///
/// Errors: it is switched off, and then there is nothing left to ask.
pub(crate) fn machine(
    settings: &CloudSettings,
    looked_for: Vec<String>,
) -> Result<Machine, CredentialError> {
    if settings.variable("AWS_EC2_METADATA_DISABLED").is_some_and(is_true) {
        let why = format!(
            "there are no credentials: looked for {}, and AWS_EC2_METADATA_DISABLED is set",
            looked_for.join(", ")
        );
        return Err(CredentialError::wrong(why));
    }
    let variables = ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"];
    let address = variables.iter().find_map(|name| settings.variable(name));
    let address = address.unwrap_or(MACHINE_ADDRESS).trim_end_matches('/').to_owned();
    Ok(Machine { address, looked_for })
}

/// Whether a value means yes.
pub(crate) fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// What assumed roles are called in logs of AWS, unless the user says otherwise.
pub(crate) const SESSION_NAME: &str = "sbf-repo";
/// What every role allows.
pub(crate) const DURATION_SECONDS: u32 = 3600;
const MACHINE_ADDRESS: &str = "http://169.254.169.254";
const CONTAINER_HOSTS: [&str; 5] =
    ["localhost", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "[::1]"];
