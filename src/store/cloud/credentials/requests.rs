//! Requests to the services that give credentials.

use crate::store::cloud::credentials::error::CredentialError;
use bytes::Bytes;
use http::Request;
use http::StatusCode;
use object_store::aws::AwsAuthorizer;
use object_store::aws::AwsCredential;
use object_store::client::HttpClient;
use object_store::client::HttpRequestBody;
use std::time::Duration;

/// Where the services are, and how they are asked.
pub(crate) struct Requests {
    pub(crate) client: HttpClient,
    pub(crate) sts: Sts,
    /// Instead of the one of the region that people log in at.
    pub(crate) sso_endpoint: Option<String>,
}

/// The service that gives credentials for roles.
pub(crate) struct Sts {
    pub(crate) endpoint: String,
    pub(crate) region: String,
}

/// A request, for as many attempts as it takes.
pub(crate) struct Call<'a> {
    /// Who is asked, for messages.
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) address: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Bytes,
    /// Who signs it, for STS.
    pub(crate) signed_by: Option<&'a AwsCredential>,
    pub(crate) attempts: u32,
}

/// Any answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Requests {
    /// Sends a request until a service answers that is not busy.
    ///
    /// Errors: no such answer; a refusal is an answer.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Answer, CredentialError> {
        let mut attempt = 1;
        loop {
            let answer = self.send_once(call).await;
            let is_busy =
                |answer: &Answer| answer.status.as_u16() == 429 || answer.status.is_server_error();
            match answer {
                Ok(answer) if attempt >= call.attempts || !is_busy(&answer) => return Ok(answer),
                Err(error) if attempt >= call.attempts => return Err(error),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Answer, CredentialError> {
        let Call { service, method, address, headers, body, signed_by, attempts: _ } = call;
        let unusable = || CredentialError::wrong(format!("`{address}` is no address of {service}"));
        let silent = |_error| {
            CredentialError::unavailable(format!("{service} cannot be reached at {address}"))
        };
        let mut request = Request::builder().method(*method).uri(*address);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let length = body.len();
        let mut request =
            request.body(HttpRequestBody::from(body.clone())).map_err(|_source| unusable())?;
        if request.uri().host().is_none() {
            return Err(unusable());
        }
        if length > 0 {
            request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        if let Some(credential) = signed_by {
            let authorizer = AwsAuthorizer::new(credential, "sts", &self.sts.region);
            authorizer.try_authorize(&mut request, None).map_err(|_source| unusable())?;
        }
        let answer = self.client.execute(request).await.map_err(silent)?;
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status, body: body.bytes().await.map_err(silent)? })
    }
}

/// A text as a part of a query or form.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Credentials that were given, and until when they are good.
pub(crate) struct Given {
    pub(crate) credential: AwsCredential,
    pub(crate) expires: Option<jiff::Timestamp>,
    /// Who they are, where that was told with them.
    pub(crate) identity: Option<String>,
}

const PAUSE: Duration = Duration::from_millis(300);
