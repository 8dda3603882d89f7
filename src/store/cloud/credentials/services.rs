//! Asking the sources: what a command prints, what services of AWS, containers and machines answer.

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::requests::Answer;
use crate::store::cloud::credentials::requests::Call;
use crate::store::cloud::credentials::requests::Given;
use crate::store::cloud::credentials::requests::Requests;
use crate::store::cloud::credentials::source::Authorization;
use crate::store::cloud::credentials::source::Container;
use crate::store::cloud::credentials::source::Machine;
use crate::store::cloud::credentials::source::Process;
use crate::store::cloud::runtime;
use bytes::Bytes;
use object_store::aws::AwsCredential;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use zeroize::Zeroizing;

/// Runs a command that prints credentials.
///
/// It reads nothing, and what it writes to standard error is seen. Killed if it does not end.
pub(crate) async fn of_process(process: &Process) -> Result<Given, CredentialError> {
    let what = format!("`credential_process` of profile `{}`", process.profile);
    let wrong = |how: &str| CredentialError::wrong(format!("{what} {how}"));
    let child = tokio::process::Command::new("/bin/sh")
        .arg("-c")
        .arg(process.command.as_str())
        // It opens buckets, not repositories.
        .env_remove("SBF_REPO_PASSWORD")
        .env_remove("SBF_REPO_TO_PASSWORD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(&format!("cannot be started: {error}")))?;
    let output = tokio::time::timeout(PROCESS_TIME_MAX, child.wait_with_output()).await;
    let output = output.map_err(|_late| wrong("does not end"))?;
    let output = output.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(wrong(&format!("failed ({})", output.status)));
    }
    let json: Value =
        serde_json::from_slice(&printed).map_err(|_source| wrong("printed no JSON object"))?;
    if json.get("Version") != Some(&Value::from(1)) {
        return Err(wrong("printed something else than credentials of `\"Version\": 1`"));
    }
    given(&json, "SessionToken", &what)
}

/// Asks the service of a container's platform.
pub(crate) async fn of_container(
    container: &Container,
    requests: &Requests,
) -> Result<Given, CredentialError> {
    let what = "the container's service";
    let token = match &container.authorization {
        Authorization::Nothing => None,
        Authorization::Token(token) => Some(token.clone()),
        Authorization::TokenFile(file) => {
            Some(read_token(file, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?)
        }
    };
    let headers: Vec<(&str, &str)> =
        token.iter().map(|token| ("authorization", token.trim())).collect();
    let call = call("GET", what, &container.address, &headers, ATTEMPTS);
    let answer = requests.send(&call).await?;
    given(&json(&answer, what)?, "Token", what)
}

/// Asks the service of a machine of EC2: a token first, then which role, then its credentials.
pub(crate) async fn of_machine(
    machine: &Machine,
    requests: &Requests,
) -> Result<Given, CredentialError> {
    let what = "the machine's service";
    let nothing = |_error: CredentialError| {
        let none = format!(
            "there are no credentials: this machine has no service that gives some (asked {})",
            machine.address
        );
        match machine.looked_for.as_slice() {
            [] => CredentialError::wrong(none),
            sources => {
                CredentialError::wrong(format!("{none}; looked before for {}", sources.join(", ")))
            }
        }
    };
    let root = format!("{}/latest", machine.address);
    let lives = [("x-aws-ec2-metadata-token-ttl-seconds", "600")];
    let address = format!("{root}/api/token");
    let token = requests.send(&call("PUT", what, &address, &lives, 1)).await.map_err(nothing)?;
    if !token.status.is_success() {
        return Err(nothing(CredentialError::wrong("")));
    }
    let token = String::from_utf8_lossy(&token.body).trim().to_owned();
    let headers = [("x-aws-ec2-metadata-token", token.as_str())];
    let roles = format!("{root}/meta-data/iam/security-credentials/");
    let role = requests.send(&call("GET", what, &roles, &headers, ATTEMPTS)).await?;
    let name = String::from_utf8_lossy(&role.body).trim().to_owned();
    if !role.status.is_success() || name.is_empty() {
        return Err(CredentialError::wrong(
            "there are no credentials: this machine has no role (instance profile)",
        ));
    }
    let address = format!("{roles}{name}");
    let answer = requests.send(&call("GET", what, &address, &headers, ATTEMPTS)).await?;
    given(&json(&answer, what)?, "Token", what)
}

/// A request without a body.
pub(crate) const fn call<'a>(
    method: &'a str,
    service: &'a str,
    address: &'a str,
    headers: &'a [(&'a str, &'a str)],
    attempts: u32,
) -> Call<'a> {
    Call { service, method, address, headers, body: Bytes::new(), signed_by: None, attempts }
}

/// A token that stands in a file, which may change between requests.
pub(crate) fn read_token(file: &Path, set_in: &str) -> Result<Zeroizing<String>, CredentialError> {
    std::fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        let file = file.display();
        CredentialError::wrong(format!("cannot read the token in `{file}` ({set_in}): {error}"))
    })
}

/// The JSON of an answer that is a success.
pub(crate) fn json(answer: &Answer, what: &str) -> Result<Value, CredentialError> {
    let Answer { status, body } = answer;
    if !status.is_success() {
        let text = String::from_utf8_lossy(body);
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let said = parsed.as_ref().and_then(|json| {
            json.get("message").or_else(|| json.get("Message")).and_then(Value::as_str)
        });
        let said = said.map_or(String::new(), |said| format!("; it says: {said}"));
        let why = format!("{what} refuses (status {}{said})", status.as_u16());
        let is_busy = status.is_server_error();
        return Err(if is_busy {
            CredentialError::unavailable(why)
        } else {
            CredentialError::wrong(why)
        });
    }
    serde_json::from_slice(body)
        .map_err(|_source| CredentialError::wrong(format!("{what} answers in no JSON")))
}

/// The credentials in a JSON object.
fn given(json: &Value, token_name: &str, what: &str) -> Result<Given, CredentialError> {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let needed = |name: &str| {
        let lacking = || CredentialError::wrong(format!("{what} gave no `{name}`"));
        text(name).filter(|value| !value.is_empty()).ok_or_else(lacking)
    };
    let credential = AwsCredential {
        key_id: needed("AccessKeyId")?,
        secret_key: needed("SecretAccessKey")?,
        token: text(token_name).filter(|token| !token.is_empty()),
    };
    let expires = match text("Expiration") {
        None => None,
        Some(time) => Some(instant(&time, what)?),
    };
    let given = Given { credential, expires, identity: None };
    refuse_old(given, what)
}

/// When something ends, as text.
pub(crate) fn instant(time: &str, what: &str) -> Result<jiff::Timestamp, CredentialError> {
    let unknown = |_error| CredentialError::wrong(format!("{what} gave an end that is no time"));
    time.parse().map_err(unknown)
}

/// Credentials whose time is not over.
pub(crate) fn refuse_old(given: Given, what: &str) -> Result<Given, CredentialError> {
    match given.expires {
        Some(expires) if expires <= runtime::now() => {
            let why = format!("{what} gave credentials that expired at {expires}");
            Err(CredentialError::wrong(why))
        }
        Some(_) | None => Ok(given),
    }
}

/// Of services that are near or always there.
pub(crate) const ATTEMPTS: u32 = 4;
/// Somebody may have to touch a key.
const PROCESS_TIME_MAX: Duration = Duration::from_mins(2);
