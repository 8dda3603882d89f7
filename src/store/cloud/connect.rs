//! From a location and settings to a client of its kind of store.

use crate::store::cloud::amazon::AmazonSettings;
use crate::store::cloud::credentials::provider::RenewedCredentials;
use crate::store::cloud::credentials::requests::Requests;
use crate::store::cloud::credentials::requests::Sts;
use crate::store::cloud::identity::Identity;
use crate::store::cloud::location::CloudKind;
use crate::store::cloud::location::CloudLocation;
use crate::store::cloud::runtime;
use crate::store::cloud::s3_calls::S3Calls;
use crate::store::cloud::settings::CloudSettings;
use crate::store::cloud::wire::Wire;
use crate::store::cloud::wire::WireConnector;
use object_store::BackoffConfig;
use object_store::ClientOptions;
use object_store::ObjectStore;
use object_store::RetryConfig;
use object_store::aws::AmazonS3;
use object_store::aws::AmazonS3Builder;
use object_store::aws::AmazonS3ConfigKey;
use object_store::aws::Checksum;
use object_store::azure::AzureConfigKey;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::gcp::GoogleConfigKey;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// A client, and what its requests share.
pub(crate) struct Connected {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) wire: Arc<Wire>,
    /// What only S3 has.
    pub(crate) s3: Option<S3Calls>,
    pub(crate) identity: Identity,
}

/// Makes a client; sends nothing.
///
/// Errors: settings that make no sense, files of credentials that cannot be read.
pub(crate) fn connect(
    location: &CloudLocation,
    settings: &CloudSettings,
) -> Result<Connected, Box<dyn Error + Send + Sync>> {
    runtime::start()?;
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread was first, which is as good.
        let _ignored = ring::default_provider().install_default();
    }
    let wire = Arc::new(Wire::new(settings.limits));
    let connector = WireConnector(Arc::clone(&wire));
    let mut s3 = None;
    let identity;
    let store: Arc<dyn ObjectStore> = match location.kind {
        CloudKind::Amazon => {
            let mut found = AmazonSettings::find(location, settings)?;
            let credentials = credentials(&mut found, &wire)?;
            let mut builder = amazon(location, settings, &found);
            if let Some(credentials) = &credentials {
                let credentials = Arc::clone(credentials);
                builder = builder.with_credentials(credentials);
            }
            let client = builder.with_http_connector(connector).build()?;
            let calls = s3_calls(location, &found, &wire, &client)?;
            wire.sign_locks_with(calls.clone());
            s3 = Some(calls);
            identity = Identity::Amazon { credentials, may_ask: found.has_sts };
            Arc::new(client)
        }
        CloudKind::Google => {
            identity = Identity::Google { settings: settings.clone() };
            Arc::new(google(location, settings).with_http_connector(connector).build()?)
        }
        CloudKind::Azure => {
            identity = Identity::Azure { settings: settings.clone() };
            Arc::new(azure(location, settings).with_http_connector(connector).build()?)
        }
    };
    Ok(Connected { store, wire, s3, identity })
}

fn s3_calls(
    location: &CloudLocation,
    amazon: &AmazonSettings,
    wire: &Arc<Wire>,
    client: &AmazonS3,
) -> Result<S3Calls, object_store::Error> {
    let AmazonSettings { endpoint, region, .. } = amazon;
    let is_virtual = location.setting("virtual_hosted_style_request") == Some("true");
    let bucket = &location.bucket;
    let address = match (endpoint, is_virtual) {
        (Some(endpoint), true) => endpoint.trim_end_matches('/').to_owned(),
        (Some(endpoint), false) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        (None, true) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        (None, false) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    };
    let options = client_options(endpoint.as_deref());
    let requests = WireConnector(Arc::clone(wire)).connect(&options)?;
    let credentials = Arc::clone(client.credentials());
    Ok(S3Calls { credentials, client: requests, region: region.clone(), address })
}

fn amazon(
    location: &CloudLocation,
    settings: &CloudSettings,
    amazon: &AmazonSettings,
) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in &settings.variables {
        // `AWS_PROFILE` and others are not for `object_store`.
        if name.starts_with("AWS_")
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(value) = location.setting("virtual_hosted_style_request") {
        builder = builder.with_config(AmazonS3ConfigKey::VirtualHostedStyleRequest, value);
    }
    if let Some(endpoint) = &amazon.endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    builder
        .with_region(&amazon.region)
        .with_bucket_name(&location.bucket)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .with_disable_bulk_delete(true)
        .with_client_options(client_options(amazon.endpoint.as_deref()))
        .with_retry(retries())
}

/// Credentials from their source, or none.
fn credentials(
    found: &mut AmazonSettings,
    wire: &Arc<Wire>,
) -> Result<Option<Arc<RenewedCredentials>>, object_store::Error> {
    let Some(source) = found.source.take() else { return Ok(None) };
    // The services of containers and machines speak nothing else; for the others it is asked for.
    let options = client_options(Some("http://"));
    let client = WireConnector(Arc::clone(wire)).connect(&options)?;
    let Sts { endpoint, region } = &found.sts;
    let sts = Sts { endpoint: endpoint.clone(), region: region.clone() };
    let requests = Requests { client, sts, sso_endpoint: found.sso_endpoint.clone() };
    Ok(Some(Arc::new(RenewedCredentials::new(source, requests))))
}

fn google(location: &CloudLocation, settings: &CloudSettings) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in &settings.variables {
        if name.starts_with("GOOGLE_")
            && let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = location.setting("endpoint").or_else(|| settings.variable("GOOGLE_BASE_URL"));
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder
        .with_bucket_name(&location.bucket)
        .with_client_options(client_options(endpoint))
        .with_retry(retries())
}

fn azure(location: &CloudLocation, settings: &CloudSettings) -> MicrosoftAzureBuilder {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in &settings.variables {
        if name.starts_with("AZURE_")
            && let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = location.setting("account") {
        builder = builder.with_account(account);
    }
    let endpoint =
        location.setting("endpoint").or_else(|| settings.variable("AZURE_STORAGE_ENDPOINT"));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    builder
        .with_container_name(&location.bucket)
        .with_client_options(client_options(endpoint))
        .with_retry(retries())
}

/// One deadline a request is kept by the wire: it knows how long the body is.
fn client_options(endpoint: Option<&str>) -> ClientOptions {
    // Only where the user wrote it: everything that is stored is sealed, credentials are signatures.
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(CONNECT_TIME_MAX)
        .with_read_timeout(SILENCE_TIME_MAX)
        .with_timeout_disabled()
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(15),
            base: 2.0,
        },
        max_retries: RETRIES_COUNT_MAX,
        retry_timeout: RETRIES_TIME_MAX,
    }
}

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const SILENCE_TIME_MAX: Duration = Duration::from_mins(1);
const RETRIES_COUNT_MAX: usize = 12;
/// Credentials and signatures must be valid so long.
const RETRIES_TIME_MAX: Duration = Duration::from_mins(3);
