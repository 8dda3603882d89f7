//! The one HTTP client of a store: counts requests, limits how many run at once and how fast bytes
//! go, ends what hangs, compares checksums, and notes what refusals say.

use crate::store::Traffic;
use crate::store::cloud::notes;
use crate::store::cloud::notes::ObjectLock;
use crate::store::cloud::notes::Refusal;
use crate::store::cloud::notes::Trouble;
use crate::store::cloud::s3_calls::S3Calls;
use crate::store::cloud::settings::Limits;
use crate::store::pace::Pace;
use crate::units::to_u64;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use object_store::ClientOptions;
use object_store::client::HttpClient;
use object_store::client::HttpConnector;
use object_store::client::HttpError;
use object_store::client::HttpErrorKind;
use object_store::client::HttpRequest;
use object_store::client::HttpResponse;
use object_store::client::HttpResponseBody;
use object_store::client::HttpService;
use object_store::client::ReqwestConnector;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What all requests of a store share.
#[derive(Debug)]
pub(crate) struct Wire {
    in_flight: Semaphore,
    /// Signs requests that are changed after they were signed.
    signer: OnceLock<S3Calls>,
    up: Pace,
    down: Pace,
    traffic: Mutex<Traffic>,
    /// Attempts to connect that failed before the store answered at all.
    failed_first: AtomicU32,
    has_answered: AtomicBool,
}

impl Wire {
    /// A wire with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            in_flight: Semaphore::new(limits.requests_at_once.max(1)),
            signer: OnceLock::new(),
            up: Pace::new(limits.rates.upload_bytes_per_second),
            down: Pace::new(limits.rates.download_bytes_per_second),
            traffic: Mutex::new(Traffic::default()),
            failed_first: AtomicU32::new(0),
            has_answered: AtomicBool::new(false),
        }
    }

    /// Lets locks be asked for with objects that are created: `object_store` cannot.
    pub(crate) fn sign_locks_with(&self, signer: S3Calls) {
        // There is one of a store.
        let _ignored = self.signer.set(signer);
    }

    /// What went over it so far.
    pub(crate) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error that is worth another try: but who was never reached has a wrong address, rather.
    fn connecting_failed(&self, error: HttpError) -> HttpError {
        let is_new = !self.has_answered.load(Ordering::Relaxed);
        if is_new && self.failed_first.fetch_add(1, Ordering::Relaxed) >= FIRST_CONNECTS_MAX {
            return HttpError::new(HttpErrorKind::Unknown, error);
        }
        error
    }

    fn count(&self, count: impl FnOnce(&mut Traffic)) {
        count(&mut self.traffic.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn count_request(&self, request: &HttpRequest) {
        let is_listing = request.uri().query().is_some_and(|query| query.contains("prefix="));
        let length = to_u64(request.body().content_length());
        self.count(|traffic| {
            traffic.requests += 1;
            traffic.sent_bytes += length;
            match *request.method() {
                Method::PUT => traffic.creates += 1,
                Method::DELETE => traffic.deletes += 1,
                Method::GET if is_listing => traffic.lists += 1,
                Method::GET | Method::HEAD => traffic.reads += 1,
                _ => {}
            }
        });
    }
}

/// Makes clients that use a wire.
#[derive(Debug)]
pub(crate) struct WireConnector(pub(crate) Arc<Wire>);

impl HttpConnector for WireConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(WiredClient { client, wire: Arc::clone(&self.0) }))
    }
}

/// A client on a wire.
#[derive(Debug)]
struct WiredClient {
    client: HttpClient,
    wire: Arc<Wire>,
}

#[async_trait]
impl HttpService for WiredClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let wire = &self.wire;
        let permit = wire.in_flight.acquire().await;
        let _permit = permit.map_err(|closed| HttpError::new(HttpErrorKind::Unknown, closed))?;
        wire.count_request(&request);
        wait(wire.up.reserve(request.body().content_length())).await;
        if let Some(crc) = notes::crc32c().filter(|_| request.method() == Method::PUT) {
            let value = HeaderValue::try_from(google_hash(crc));
            value.map(|value| request.headers_mut().insert(GOOGLE_HASH, value)).ok();
        }
        if request.method() == Method::PUT
            && let Some(lock) = notes::lock()
            && let Some(signer) = wire.signer.get()
        {
            ask_for_lock(&mut request, &lock, signer).await?;
        }
        if request.method() == Method::PUT {
            notes::note(|notes| notes.sent_creates += 1);
        }
        let sent = request.headers().clone();
        let is_metadata = is_machine_service(&request);
        let deadline = if is_metadata { MACHINE_DEADLINE } else { deadline(&request) };
        let answer = tokio::time::timeout(deadline, self.exchange(request)).await;
        let answer = answer.unwrap_or_else(|late| {
            notes::note(|notes| notes.trouble = Some(Trouble::Late));
            Err(HttpError::new(HttpErrorKind::Timeout, late))
        });
        match answer {
            Err(error) if is_metadata => {
                notes::note(|notes| notes.trouble = Some(Trouble::NoCredentials));
                // Not worth another try.
                Err(HttpError::new(HttpErrorKind::Unknown, error))
            }
            answer => {
                let answer = answer?;
                compare_checksums(&sent, answer.headers())?;
                Ok(answer)
            }
        }
    }
}

impl WiredClient {
    /// Sends a request and receives the whole answer: what is cut off is an error of this request,
    /// which can be sent again.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_head = request.method() == Method::HEAD;
        let answer = match self.client.execute(request).await.inspect_err(note_trouble) {
            Err(error) if error.kind() == HttpErrorKind::Connect => {
                return Err(self.wire.connecting_failed(error));
            }
            answer => answer?,
        };
        self.wire.has_answered.store(true, Ordering::Relaxed);
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.inspect_err(note_trouble)?;
        let stated = parts.headers.get(http::header::CONTENT_LENGTH);
        let stated = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if !is_head && stated.is_some_and(|stated| stated != to_u64(body.len())) {
            notes::note(|notes| notes.trouble = Some(Trouble::Cut));
            return Err(HttpError::new(HttpErrorKind::Interrupted, CutOff));
        }
        self.wire.count(|traffic| traffic.received_bytes += to_u64(body.len()));
        wait(self.wire.down.reserve(body.len())).await;
        if parts.status.is_success() {
            notes::note(|notes| (notes.refusal, notes.trouble) = (None, None));
        } else {
            let refusal = refusal(parts.status.as_u16(), &body);
            notes::note(|notes| notes.refusal = Some(refusal));
        }
        let body = http_body_util::Full::new(body);
        let body = http_body_util::BodyExt::map_err(body, |never| match never {});
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Adds a lock to a request that creates an object.
async fn ask_for_lock(
    request: &mut HttpRequest,
    lock: &ObjectLock,
    signer: &S3Calls,
) -> Result<(), HttpError> {
    let unusable = |error| HttpError::new(HttpErrorKind::Unknown, error);
    let until = HeaderValue::try_from(&lock.until).map_err(unusable)?;
    request.headers_mut().insert(LOCK_MODE, HeaderValue::from_static(lock.mode));
    request.headers_mut().insert(LOCK_UNTIL, until);
    signer.sign(request).await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's kinds are not closed")]
fn note_trouble(error: &HttpError) {
    let trouble = match error.kind() {
        HttpErrorKind::Connect => Trouble::Unreachable,
        HttpErrorKind::Timeout => Trouble::Late,
        _ => Trouble::Cut,
    };
    notes::note(|notes| (notes.refusal, notes.trouble) = (None, Some(trouble)));
}

/// What an answer that is no success says; S3 and Google answer in XML, others in JSON or not at all.
fn refusal(status: u16, body: &Bytes) -> Refusal {
    let text = String::from_utf8_lossy(body);
    let within = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (inner, _) = rest.split_once('<')?;
        Some(inner.trim().chars().take(MESSAGE_CHARS_MAX).collect::<String>())
    };
    let code = within("Code").unwrap_or_default();
    let message = within("Message").unwrap_or_default();
    Refusal { status, code, message }
}

/// Compares the checksum that the store says it received with the one that was sent.
fn compare_checksums(sent: &HeaderMap, received: &HeaderMap) -> Result<(), HttpError> {
    for name in [S3_CRC64, S3_SHA256] {
        if let (Some(sent), Some(received)) = (sent.get(name), received.get(name))
            && sent != received
        {
            return Err(altered());
        }
    }
    let Some(sent) = sent.get(GOOGLE_HASH) else { return Ok(()) };
    let mut hashes = received.get_all(GOOGLE_HASH).into_iter();
    let differs = hashes.any(|hash| {
        let parts = hash.to_str().unwrap_or_default().split(',').map(str::trim);
        let mut crcs = parts.filter(|part| part.starts_with(CRC32C_PREFIX));
        crcs.any(|crc| crc.as_bytes() != sent.as_bytes())
    });
    if differs { Err(altered()) } else { Ok(()) }
}

fn altered() -> HttpError {
    notes::note(|notes| notes.trouble = Some(Trouble::Altered));
    HttpError::new(HttpErrorKind::Unknown, Altered)
}

/// Google's form of a checksum: its bytes, the highest first.
#[expect(clippy::big_endian_bytes, reason = "as the interface of Google says")]
fn google_hash(crc: u32) -> String {
    format!("{CRC32C_PREFIX}{}", BASE64.encode(crc.to_be_bytes()))
}

/// The service that gives credentials to what runs on a cloud's machine: there, or not at all.
fn is_machine_service(request: &HttpRequest) -> bool {
    matches!(request.uri().host(), Some("169.254.169.254" | "metadata.google.internal"))
}

/// How long a request may take: slow lines carry large packs, and hung ones end.
fn deadline(request: &HttpRequest) -> Duration {
    let body = to_u64(request.body().content_length());
    let asked = if request.method() == Method::GET { ANSWER_BYTES_MAX } else { 0 };
    DEADLINE_BASE + Duration::from_secs((body + asked) / BYTES_PER_SECOND_MIN)
}

#[derive(Debug, thiserror::Error)]
#[error("the answer is shorter than it says")]
struct CutOff;

#[derive(Debug, thiserror::Error)]
#[error("the store's checksum is another one")]
struct Altered;

/// Seconds of trying, with the pauses between.
const FIRST_CONNECTS_MAX: u32 = 5;
const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCK_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const GOOGLE_HASH: &str = "x-goog-hash";
const CRC32C_PREFIX: &str = "crc32c=";
const S3_CRC64: &str = "x-amz-checksum-crc64nvme";
const S3_SHA256: &str = "x-amz-checksum-sha256";
const MESSAGE_CHARS_MAX: usize = 300;
const MACHINE_DEADLINE: Duration = Duration::from_secs(3);
const DEADLINE_BASE: Duration = Duration::from_mins(1);
/// Slower than that is as good as hung.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
const ANSWER_BYTES_MAX: u64 = 64 << 20;
