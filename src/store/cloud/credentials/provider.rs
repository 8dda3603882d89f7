//! Credentials that are there when a request is signed, and renewed before they end.

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::requests::Given;
use crate::store::cloud::credentials::requests::Requests;
use crate::store::cloud::credentials::services;
use crate::store::cloud::credentials::source::Base;
use crate::store::cloud::credentials::source::Keys;
use crate::store::cloud::credentials::source::Source;
use crate::store::cloud::credentials::sso;
use crate::store::cloud::credentials::sts;
use crate::store::cloud::runtime;
use async_trait::async_trait;
use jiff::SignedDuration;
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The credentials of a source.
pub(crate) struct RenewedCredentials {
    source: Source,
    requests: Requests,
    held: Mutex<Option<Held>>,
}

struct Held {
    credential: Arc<AwsCredential>,
    expires: Option<Timestamp>,
    identity: Option<String>,
    /// When they are asked for anew.
    ask_at: Option<Timestamp>,
}

impl Held {
    fn new(given: Given, now: Timestamp) -> Self {
        let Given { credential, expires, identity } = given;
        // Five minutes before their end, or when three quarters of a shorter life are over.
        let ask_at = expires.map(|expires| {
            let reserve = (expires.duration_since(now) / 4).min(RESERVE);
            expires.checked_sub(reserve).unwrap_or(expires)
        });
        Self { credential: Arc::new(credential), expires, identity, ask_at }
    }
}

impl RenewedCredentials {
    /// Credentials that are asked for when they are first needed.
    pub(crate) fn new(source: Source, requests: Requests) -> Self {
        Self { source, requests, held: Mutex::new(None) }
    }

    /// Which source it is, for people.
    pub(crate) fn words(&self) -> &str {
        &self.source.words
    }

    /// Who the credentials are, if their source said so; otherwise STS is asked, if it may be.
    pub(crate) async fn identity(&self, may_ask: bool) -> Result<Option<String>, CredentialError> {
        let credential = self.current().await?;
        let told = {
            let held = self.held.lock().await;
            held.as_ref().and_then(|held| held.identity.clone())
        };
        if told.is_some() || !may_ask {
            return Ok(told);
        }
        // Nobody needs the right to ask, and not every store has somebody who answers.
        Ok(sts::whose(&credential, &self.requests).await.ok())
    }

    /// Until when the credentials are good, if they end.
    pub(crate) async fn expires(&self) -> Option<Timestamp> {
        self.held.lock().await.as_ref()?.expires
    }

    /// The credentials as they are good now.
    ///
    /// Errors: the source gives none, and those that were given before are over.
    pub(crate) async fn current(&self) -> Result<Arc<AwsCredential>, CredentialError> {
        let mut held = self.held.lock().await;
        let now = runtime::now();
        if let Some(held) = held.as_ref().filter(|held| held.ask_at.is_none_or(|at| now < at)) {
            return Ok(Arc::clone(&held.credential));
        }
        match (self.ask().await, held.as_mut()) {
            (Ok(given), _) => {
                let new = held.insert(Held::new(given, now));
                Ok(Arc::clone(&new.credential))
            }
            // Good for a while: the source may be back by then.
            (Err(_), Some(old)) if old.expires.is_some_and(|expires| runtime::now() < expires) => {
                old.ask_at = now.checked_add(PAUSE).ok();
                Ok(Arc::clone(&old.credential))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn ask(&self) -> Result<Given, CredentialError> {
        let requests = &self.requests;
        let mut given = match &self.source.base {
            Base::Keys(keys) => of_keys(keys),
            Base::Process(process) => services::of_process(process).await?,
            Base::Sso(sso) => sso::role_credentials(sso, requests).await?,
            Base::WebIdentity(identity) => sts::with_token(identity, requests).await?,
            Base::Container(container) => services::of_container(container, requests).await?,
            Base::Machine(machine) => services::of_machine(machine, requests).await?,
        };
        for role in &self.source.roles {
            given = sts::assume(role, &given.credential, requests).await?;
        }
        Ok(given)
    }
}

fn of_keys(keys: &Keys) -> Given {
    let credential = AwsCredential {
        key_id: keys.id.clone(),
        secret_key: keys.secret.to_string(),
        token: keys.token.as_ref().map(|token| token.to_string()),
    };
    Given { credential, expires: None, identity: None }
}

#[async_trait]
impl CredentialProvider for RenewedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current().await.map_err(CredentialError::into_store)
    }
}

impl fmt::Debug for RenewedCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words();
        formatter.debug_struct("RenewedCredentials").field("source", &words).finish_non_exhaustive()
    }
}

const RESERVE: SignedDuration = SignedDuration::from_mins(5);
/// Between attempts to renew credentials that are still good.
const PAUSE: SignedDuration = SignedDuration::from_secs(20);
