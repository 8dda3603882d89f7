//! Calls of S3 that `object_store` lacks: bucket settings, versions, retention.

use crate::store::StoreFeatures;
use crate::store::cloud::failure::Failure;
use crate::store::cloud::notes;
use crate::store::cloud::notes::Notes;
use crate::store::cloud::runtime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::HeaderValue;
use object_store::aws::AwsAuthorizer;
use object_store::aws::AwsCredentialProvider;
use object_store::client::HttpClient;
use object_store::client::HttpRequest;
use object_store::client::HttpRequestBody;
use sha2::Digest as _;
use std::fmt;
use std::time::Duration;

/// Signs calls to one bucket with the credentials of its client.
#[derive(Clone)]
pub(crate) struct S3Calls {
    pub(crate) credentials: AwsCredentialProvider,
    pub(crate) client: HttpClient,
    pub(crate) region: String,
    /// The bucket's address, without a slash at its end.
    pub(crate) address: String,
}

/// A call: of the bucket if there is no key.
#[derive(Debug, Clone, Default)]
pub(crate) struct S3Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) key: &'a str,
    /// What stands behind the `?`, encoded.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Bytes,
}

/// An answer that is a success.
#[derive(Debug)]
pub(crate) struct S3Answer {
    pub(crate) body: Bytes,
}

impl S3Calls {
    /// Makes a call, once; keys are those of objects, which need no encoding.
    ///
    /// Errors: as the store refuses; [`Failure::status`] says with which status.
    pub(crate) fn call(&self, call: &S3Call<'_>) -> Result<S3Answer, Failure> {
        let made = runtime::wait(notes::with(Notes::default(), self.exchange(call)));
        let answer = made.map_err(|(error, notes)| Failure::of(error, notes))?;
        Ok(answer)
    }

    /// Makes a call, and makes it again while the store is busy or fails.
    pub(crate) fn call_again(&self, call: &S3Call<'_>) -> Result<S3Answer, Failure> {
        let mut pause = PAUSE_FIRST;
        for _attempt in 1..CALL_ATTEMPTS {
            match self.call(call) {
                Err(failure) if failure.is_passing() => runtime::sleep(pause),
                answered => return answered,
            }
            pause *= 2;
        }
        self.call(call)
    }

    /// Whether the bucket keeps versions, and can lock objects.
    ///
    /// A store that does not know the question, or does not let these credentials ask, says nothing.
    pub(crate) fn features(&self) -> Result<StoreFeatures, Failure> {
        let versioning = self.setting("versioning=", "Status")?;
        let object_lock = self.setting("object-lock=", "ObjectLockEnabled")?;
        Ok(StoreFeatures { versioning, object_lock })
    }

    fn setting(&self, query: &str, name: &str) -> Result<Option<bool>, Failure> {
        let call = S3Call { method: "GET", query, ..S3Call::default() };
        match self.call(&call) {
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                Ok(Some(element(&text, name) == Some("Enabled")))
            }
            Err(failure) if failure.status() == Some(404) => Ok(Some(false)),
            Err(failure) if matches!(failure.status(), Some(400 | 403 | 405 | 501)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Signs a request with the credentials of now, whether it was signed before or not.
    pub(crate) async fn sign(&self, request: &mut HttpRequest) -> Result<(), object_store::Error> {
        let credential = self.credentials.get_credential().await?;
        request.headers_mut().remove(http::header::AUTHORIZATION);
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(request, None)
    }

    async fn exchange(&self, call: &S3Call<'_>) -> Result<S3Answer, object_store::Error> {
        let mut address = self.address.clone();
        if !call.key.is_empty() {
            address = format!("{address}/{}", call.key);
        }
        if !call.query.is_empty() {
            address = format!("{address}?{}", call.query);
        }
        let mut request = http::Request::builder().method(call.method).uri(address);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let body = HttpRequestBody::from(call.body.clone());
        let mut request = request.body(body).map_err(generic)?;
        if !call.body.is_empty() {
            let length = HeaderValue::from(call.body.len());
            request.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        }
        self.sign(&mut request).await?;
        let answer = self.client.execute(request).await.map_err(generic)?;
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.map_err(generic)?;
        if !parts.status.is_success() {
            return Err(generic(Refused));
        }
        Ok(S3Answer { body })
    }
}

impl fmt::Debug for S3Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("S3Calls").field("address", &self.address).finish_non_exhaustive()
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: Box::new(source) }
}

#[derive(Debug, thiserror::Error)]
#[error("the store refuses")]
struct Refused;

/// SHA-256 as stores compare it with what arrives.
pub(crate) fn sha256_header(bytes: &[u8]) -> String {
    BASE64.encode(sha2::Sha256::digest(bytes))
}

/// The text within the first element of this name.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

const CALL_ATTEMPTS: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
