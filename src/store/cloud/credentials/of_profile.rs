//! The source of credentials that a profile describes.

use crate::store::cloud::credentials::chain;
use crate::store::cloud::credentials::chain::DURATION_SECONDS;
use crate::store::cloud::credentials::chain::SESSION_NAME;
use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::profiles::Profiles;
use crate::store::cloud::credentials::profiles::Section;
use crate::store::cloud::credentials::profiles::SectionKind;
use crate::store::cloud::credentials::profiles::at_home;
use crate::store::cloud::credentials::source::Base;
use crate::store::cloud::credentials::source::Keys;
use crate::store::cloud::credentials::source::Process;
use crate::store::cloud::credentials::source::Role;
use crate::store::cloud::credentials::source::Source;
use crate::store::cloud::credentials::source::Sso;
use crate::store::cloud::credentials::source::WebIdentity;
use crate::store::cloud::settings::CloudSettings;
use zeroize::Zeroizing;

/// How the profile was named.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    /// `profile=` in the location; comes before keys in variables.
    ByLocation(String),
    /// `AWS_PROFILE`.
    ByVariable(String),
    /// Not at all.
    Default,
}

impl Named {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::ByLocation(name) | Self::ByVariable(name) => name,
            Self::Default => "default",
        }
    }
}

/// What a profile describes; `None` if it says nothing of credentials.
///
/// Errors: a profile that was named and is not there; one that makes no sense.
pub(crate) fn source(
    named: &Named,
    settings: &CloudSettings,
    profiles: &Profiles,
) -> Result<Option<Source>, CredentialError> {
    let name = named.name();
    if profiles.profile(name).is_none() {
        if matches!(named, Named::Default) {
            return Ok(None);
        }
        let how = match named {
            Named::ByVariable(_) => "; AWS_PROFILE names it",
            Named::ByLocation(_) | Named::Default => "",
        };
        return Err(CredentialError::wrong(format!("{}{how}", profiles.missing(name))));
    }
    let mut roles = Vec::new();
    let Some((base, kind)) = Walk { settings, profiles }.base(name, &mut roles)? else {
        return Ok(None);
    };
    // They were found from the last one to the first.
    roles.reverse();
    let mut words = format!("profile `{name}`: {kind}");
    for role in &roles {
        words = format!("{words}, then role {}", role.arn);
    }
    Ok(Some(Source { base, roles, words }))
}

struct Walk<'a> {
    settings: &'a CloudSettings,
    profiles: &'a Profiles,
}

impl Walk<'_> {
    /// Goes from profile to profile, as long as one takes its credentials from another.
    fn base(
        &self,
        name: &str,
        roles: &mut Vec<Role>,
    ) -> Result<Option<(Base, String)>, CredentialError> {
        let mut name = name.to_owned();
        let mut passed: Vec<String> = Vec::new();
        loop {
            let Some(profile) = self.profiles.profile(&name) else {
                let from = passed.last().map_or("", String::as_str);
                let missing = self.profiles.missing(&name);
                let why = format!("profile `{from}` takes its credentials from another: {missing}");
                return Err(CredentialError::wrong(why));
            };
            let is_own_source = passed.last() == Some(&name);
            if passed.contains(&name) && !is_own_source {
                passed.push(name);
                let chain = passed.join("` from `");
                let why = format!("profiles take their credentials from each other: `{chain}`");
                return Err(CredentialError::wrong(why));
            }
            let Some(arn) = profile.value("role_arn").filter(|_| !is_own_source) else {
                let own = self.own(&name, profile)?;
                if own.is_none() && !passed.is_empty() {
                    return Err(CredentialError::wrong(format!(
                        "profile `{name}`, which a role is assumed with, has no credentials"
                    )));
                }
                return Ok(own);
            };
            let role = role(&name, profile, arn)?;
            if let Some(file) = profile.value("web_identity_token_file") {
                let token_file = at_home(self.settings, file);
                let set_in = format!("profile `{name}`");
                let words = format!("web identity, role {}", role.arn);
                let identity = WebIdentity { set_in, token_file, role };
                return Ok(Some((Base::WebIdentity(identity), words)));
            }
            roles.push(role);
            match (profile.value("source_profile"), profile.value("credential_source")) {
                (Some(source), None) => {
                    passed.push(std::mem::replace(&mut name, source.to_owned()));
                }
                (None, Some(source)) => return self.of_service(&name, source).map(Some),
                (None, None) | (Some(_), Some(_)) => {
                    return Err(CredentialError::wrong(format!(
                        "profile `{name}` has a `role_arn`; it needs either `source_profile` or \
                         `credential_source` to assume it with"
                    )));
                }
            }
        }
    }

    /// What a profile says of credentials, roles aside.
    fn own(
        &self,
        name: &str,
        profile: &Section,
    ) -> Result<Option<(Base, String)>, CredentialError> {
        if profile.value("sso_session").is_some() || profile.value("sso_start_url").is_some() {
            let sso = self.sso(name, profile)?;
            let words = format!("SSO, account {}, role {}", sso.account, sso.role);
            return Ok(Some((Base::Sso(sso), words)));
        }
        if let Some(keys) = keys(name, profile)? {
            return Ok(Some((Base::Keys(keys), "access key".to_owned())));
        }
        let process = profile.value("credential_process").map(|command| {
            let command = Zeroizing::new(command.to_owned());
            let process = Process { profile: name.to_owned(), command };
            (Base::Process(process), "`credential_process`".to_owned())
        });
        Ok(process)
    }

    fn sso(&self, name: &str, profile: &Section) -> Result<Sso, CredentialError> {
        let session = match profile.value("sso_session") {
            Some(session) => {
                let section = self.profiles.section(SectionKind::SsoSession, session);
                Some((
                    session,
                    section.ok_or_else(|| {
                        let why =
                            format!("profile `{name}` needs a section `[sso-session {session}]`");
                        CredentialError::wrong(why)
                    })?,
                ))
            }
            None => None,
        };
        let value = |of: &Section, setting: &str| {
            of.value(setting).map(str::to_owned).ok_or_else(|| {
                CredentialError::wrong(format!("profile `{name}` uses SSO and lacks `{setting}`"))
            })
        };
        let region = value(session.map_or(profile, |(_, section)| section), "sso_region")?;
        let session = match session {
            Some((session, _section)) => session.to_owned(),
            None => value(profile, "sso_start_url")?,
        };
        let (account, role) = (value(profile, "sso_account_id")?, value(profile, "sso_role_name")?);
        let tokens = self.settings.home.as_ref().map(|home| home.join(".aws/sso/cache"));
        Ok(Sso { profile: name.to_owned(), session, region, account, role, tokens })
    }

    fn of_service(&self, name: &str, source: &str) -> Result<(Base, String), CredentialError> {
        let missing = |what: &str| {
            let why = format!("profile `{name}` has `credential_source = {source}`, and {what}");
            CredentialError::wrong(why)
        };
        let (base, words) = match source {
            "Environment" => {
                let keys = chain::keys_of_variables(self.settings)?;
                let keys = keys.ok_or_else(|| missing("AWS_ACCESS_KEY_ID is not set"))?;
                (Base::Keys(keys), "AWS_ACCESS_KEY_ID")
            }
            "EcsContainer" => {
                let container = chain::container(self.settings)?;
                let unset = "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set";
                (
                    Base::Container(container.ok_or_else(|| missing(unset))?),
                    "the container's service",
                )
            }
            "Ec2InstanceMetadata" => {
                (Base::Machine(chain::machine(self.settings, Vec::new())?), "the machine's service")
            }
            _ => {
                let known = "known are Environment, EcsContainer and Ec2InstanceMetadata";
                return Err(missing(known));
            }
        };
        Ok((base, words.to_owned()))
    }
}

fn keys(name: &str, profile: &Section) -> Result<Option<Keys>, CredentialError> {
    let (id, secret) = ("aws_access_key_id", "aws_secret_access_key");
    let half = |set: &str, missing: &str| {
        CredentialError::wrong(format!("profile `{name}` has `{set}` and no `{missing}`"))
    };
    let kept = |value: &str| Zeroizing::new(value.to_owned());
    match (profile.value(id), profile.value(secret)) {
        (Some(key), Some(value)) => {
            let token = profile.value("aws_session_token").map(kept);
            Ok(Some(Keys { id: key.to_owned(), secret: kept(value), token }))
        }
        (Some(_), None) => Err(half(id, secret)),
        (None, Some(_)) => Err(half(secret, id)),
        (None, None) => Ok(None),
    }
}

fn role(name: &str, profile: &Section, arn: &str) -> Result<Role, CredentialError> {
    if profile.value("mfa_serial").is_some() {
        return Err(CredentialError::wrong(format!(
            "profile `{name}` asks for a code of a second factor, and nobody may be there to type \
             it: use SSO or `credential_process`"
        )));
    }
    let duration_seconds = match profile.value("duration_seconds") {
        None => DURATION_SECONDS,
        Some(text) => text.parse().map_err(|_source| {
            CredentialError::wrong(format!("`duration_seconds` of profile `{name}` is no number"))
        })?,
    };
    Ok(Role {
        profile: name.to_owned(),
        arn: arn.to_owned(),
        session_name: profile.value("role_session_name").unwrap_or(SESSION_NAME).to_owned(),
        external_id: profile.value("external_id").map(str::to_owned),
        duration_seconds,
    })
}
