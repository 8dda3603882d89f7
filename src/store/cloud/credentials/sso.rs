//! SSO, or IAM Identity Center: the token that `aws sso login` left buys credentials for a role.

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::requests::Given;
use crate::store::cloud::credentials::requests::Requests;
use crate::store::cloud::credentials::requests::encoded;
use crate::store::cloud::credentials::services;
use crate::store::cloud::credentials::services::ATTEMPTS;
use crate::store::cloud::credentials::source::Sso;
use crate::store::cloud::runtime;
use object_store::aws::AwsCredential;
use serde_json::Value;
use sha1::Digest as _;
use sha1::Sha1;
use std::fmt::Write as _;
use std::io::ErrorKind;
use zeroize::Zeroizing;

/// Asks for the credentials of the profile's role.
///
/// Errors: nobody logged in, or too long ago.
pub(crate) async fn role_credentials(
    sso: &Sso,
    requests: &Requests,
) -> Result<Given, CredentialError> {
    let token = token(sso)?;
    let endpoint = requests
        .sso_endpoint
        .clone()
        .unwrap_or_else(|| format!("https://portal.sso.{}.amazonaws.com", sso.region));
    let address = format!(
        "{}/federation/credentials?account_id={}&role_name={}",
        endpoint.trim_end_matches('/'),
        encoded(&sso.account),
        encoded(&sso.role)
    );
    let headers = [("x-amz-sso_bearer_token", token.as_str())];
    let answer = requests.send(&services::call("GET", "SSO", &address, &headers, ATTEMPTS)).await?;
    if answer.status.as_u16() == 401 {
        return Err(log_in(sso, "is no longer accepted"));
    }
    let what =
        format!("SSO (profile `{}`, account {}, role {})", sso.profile, sso.account, sso.role);
    let json = services::json(&answer, &what)?;
    let role = json.get("roleCredentials").unwrap_or(&Value::Null);
    let text = |name: &str| {
        let lacking = || CredentialError::wrong(format!("{what} gave no `{name}`"));
        role.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(lacking)
    };
    let credential = AwsCredential {
        key_id: text("accessKeyId")?,
        secret_key: text("secretAccessKey")?,
        token: Some(text("sessionToken")?),
    };
    let ends = role.get("expiration").and_then(Value::as_i64);
    let expires = ends.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    services::refuse_old(Given { credential, expires, identity: None }, &what)
}

/// The token that a login left, if it is still good.
fn token(sso: &Sso) -> Result<Zeroizing<String>, CredentialError> {
    let Some(folder) = &sso.tokens else {
        let why =
            format!("profile `{}` uses SSO, and HOME, where its token is, is not set", sso.profile);
        return Err(CredentialError::wrong(why));
    };
    let mut name = String::new();
    for byte in Sha1::digest(sso.session.as_bytes()) {
        // Writing into a string does not fail.
        let _ignored = write!(name, "{byte:02x}");
    }
    let file = folder.join(format!("{name}.json"));
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(log_in(sso, "was never begun on this machine"));
        }
        Err(error) => {
            let why = format!("cannot read the SSO token in `{}`: {error}", file.display());
            return Err(CredentialError::wrong(why));
        }
    };
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let value = |name: &str| json.as_ref()?.get(name)?.as_str();
    let (Some(token), Some(expires)) = (value("accessToken"), value("expiresAt")) else {
        return Err(log_in(sso, &format!("cannot be read from `{}`", file.display())));
    };
    // Older programs wrote `UTC` for `Z`.
    let expires = services::instant(&expires.replace("UTC", "Z"), "the SSO login")?;
    if expires <= runtime::now() {
        return Err(log_in(sso, &format!("expired at {expires}")));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

fn log_in(sso: &Sso, what: &str) -> CredentialError {
    CredentialError::wrong(format!(
        "the SSO login of profile `{0}` {what}: run `aws sso login --profile {0}`",
        sso.profile
    ))
}
