//! Stores in buckets, and what tests do to buckets behind their backs.

use crate::store::Store;
use crate::store::cloud::CloudStore;
use crate::store::cloud::s3_calls::S3Call;
use crate::store::cloud::settings::CloudSettings;
use std::error::Error;
use std::sync::Arc;

type Variables = [(String, String)];

/// The store in a bucket, by its location and the variables of the environment.
pub fn bucket_store(
    url: &str,
    variables: &Variables,
) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    Ok(Arc::new(connect(url, variables)?))
}

/// Makes one signed call of S3 on `/BUCKET` and what follows it; returns status and body.
///
/// Errors: no answer at all, or a refusal without status.
pub fn signed_s3(
    variables: &Variables,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(u16, Vec<u8>), Box<dyn Error + Send + Sync>> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let store = connect(&format!("s3://{bucket}"), variables)?;
    let calls = store.s3.as_ref().ok_or("no store of S3")?;
    let body = bytes::Bytes::copy_from_slice(body);
    match calls.call(&S3Call { method, key, query, headers, body }) {
        Ok(answer) => Ok((200, answer.body.to_vec())),
        Err(failure) => match failure.status() {
            Some(status) => Ok((status, failure.to_string().into_bytes())),
            None => Err(failure.into()),
        },
    }
}

fn connect(url: &str, variables: &Variables) -> Result<CloudStore, Box<dyn Error + Send + Sync>> {
    let settings = CloudSettings { variables: variables.to_vec(), ..CloudSettings::default() };
    Ok(CloudStore::connect(&url.parse()?, &settings)?)
}
