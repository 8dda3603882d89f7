//! STS: credentials for roles, and who credentials are.

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::requests::Answer;
use crate::store::cloud::credentials::requests::Call;
use crate::store::cloud::credentials::requests::Given;
use crate::store::cloud::credentials::requests::Requests;
use crate::store::cloud::credentials::requests::encoded;
use crate::store::cloud::credentials::services;
use crate::store::cloud::credentials::services::ATTEMPTS;
use crate::store::cloud::credentials::source::Role;
use crate::store::cloud::credentials::source::WebIdentity;
use crate::store::cloud::s3_calls::element;
use bytes::Bytes;
use object_store::aws::AwsCredential;

/// Credentials for a role, for one who has others.
pub(crate) async fn assume(
    role: &Role,
    credential: &AwsCredential,
    requests: &Requests,
) -> Result<Given, CredentialError> {
    let mut form = role_form("AssumeRole", role);
    if let Some(id) = &role.external_id {
        form.push(("ExternalId", id.clone()));
    }
    let what = format!("role {} of profile `{}`", role.arn, role.profile);
    let answer = send(&form, Some(credential), requests, ATTEMPTS).await;
    given(&answer.map_err(|error| error.of(&format!("cannot assume {what}")))?, &what)
}

/// Credentials for a role, for one who has a token of another service.
pub(crate) async fn with_token(
    identity: &WebIdentity,
    requests: &Requests,
) -> Result<Given, CredentialError> {
    let token = services::read_token(&identity.token_file, &identity.set_in)?;
    let mut form = role_form("AssumeRoleWithWebIdentity", &identity.role);
    form.push(("WebIdentityToken", token.trim().to_owned()));
    let what = format!("role {} by web identity ({})", identity.role.arn, identity.set_in);
    let answer = send(&form, None, requests, ATTEMPTS).await;
    given(&answer.map_err(|error| error.of(&format!("cannot assume {what}")))?, &what)
}

/// Who credentials are: an ARN. Asks once.
pub(crate) async fn whose(
    credential: &AwsCredential,
    requests: &Requests,
) -> Result<String, CredentialError> {
    let form = [("Action", "GetCallerIdentity".to_owned()), ("Version", VERSION.to_owned())];
    let answer = send(&form, Some(credential), requests, 1).await?;
    let text = String::from_utf8_lossy(&answer.body);
    let arn = element(&text, "Arn").filter(|_| answer.status.is_success());
    arn.map(str::to_owned).ok_or_else(|| CredentialError::wrong(refusal(&answer)))
}

fn role_form(action: &str, role: &Role) -> Vec<(&'static str, String)> {
    vec![
        ("Action", action.to_owned()),
        ("Version", VERSION.to_owned()),
        ("RoleArn", role.arn.clone()),
        ("RoleSessionName", role.session_name.clone()),
        ("DurationSeconds", role.duration_seconds.to_string()),
    ]
}

async fn send(
    form: &[(&str, String)],
    signed_by: Option<&AwsCredential>,
    requests: &Requests,
    attempts: u32,
) -> Result<Answer, CredentialError> {
    let fields = form.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    let body = Bytes::from(fields.collect::<Vec<_>>().join("&"));
    // Without a path there is nothing to sign.
    let address = format!("{}/", requests.sts.endpoint.trim_end_matches('/'));
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let call = Call {
        service: "STS",
        method: "POST",
        address: &address,
        headers: &headers,
        body,
        signed_by,
        attempts,
    };
    requests.send(&call).await
}

fn given(answer: &Answer, what: &str) -> Result<Given, CredentialError> {
    if !answer.status.is_success() {
        let why = format!("cannot assume {what}: {}", refusal(answer));
        let is_busy = answer.status.is_server_error();
        return Err(if is_busy {
            CredentialError::unavailable(why)
        } else {
            CredentialError::wrong(why)
        });
    }
    let text = String::from_utf8_lossy(&answer.body);
    let within = |name: &str| {
        let lacking = || CredentialError::wrong(format!("STS gave no `{name}` for {what}"));
        element(&text, name).map(|value| value.trim().to_owned()).ok_or_else(lacking)
    };
    let credential = AwsCredential {
        key_id: within("AccessKeyId")?,
        secret_key: within("SecretAccessKey")?,
        token: Some(within("SessionToken")?),
    };
    let expires = Some(services::instant(&within("Expiration")?, "STS")?);
    let identity = element(&text, "Arn").map(str::to_owned);
    services::refuse_old(Given { credential, expires, identity }, "STS")
}

fn refusal(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let code = element(&text, "Code").unwrap_or_default();
    let message = element(&text, "Message").unwrap_or_default();
    let status = answer.status.as_u16();
    match (code, message) {
        ("", "") => format!("STS refuses (status {status})"),
        (code, message) => format!("STS refuses (status {status}): {code}: {message}"),
    }
}

const VERSION: &str = "2011-06-15";
