//! As whom a store is used, and where that is written down, for people.
//! Invariant: secrets stay inside; of an access key its two ends are shown.

use crate::store::StoreIdentity;
use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::provider::RenewedCredentials;
use crate::store::cloud::settings::CloudSettings;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// How it is found out.
#[derive(Debug)]
pub(crate) enum Identity {
    /// S3: the credentials, if there are any, and whether STS may be asked whose they are.
    Amazon { credentials: Option<Arc<RenewedCredentials>>, may_ask: bool },
    /// Google: what the files say that are used.
    Google { settings: CloudSettings },
    /// Azure: what is set.
    Azure { settings: CloudSettings },
}

impl Identity {
    /// Finds out who this is.
    ///
    /// Errors: there are no credentials.
    pub(crate) async fn find(&self) -> Result<StoreIdentity, CredentialError> {
        match self {
            Self::Amazon { credentials: None, .. } => {
                Ok(named("none: AWS_SKIP_SIGNATURE is set, requests are not signed"))
            }
            Self::Amazon { credentials: Some(credentials), may_ask } => {
                let credential = credentials.current().await?;
                Ok(StoreIdentity {
                    source: credentials.words().to_owned(),
                    access_key: Some(shortened(&credential.key_id)),
                    identity: credentials.identity(*may_ask).await?,
                    expires: credentials.expires().await.map(|time| time.to_string()),
                })
            }
            Self::Google { settings } => Ok(of_google(settings)),
            Self::Azure { settings } => Ok(of_azure(settings)),
        }
    }
}

fn named(source: &str) -> StoreIdentity {
    StoreIdentity { source: source.to_owned(), ..StoreIdentity::default() }
}

fn shortened(key: &str) -> String {
    let shown = if key.len() >= KEY_LONG { KEY_SHOWN } else { 1 };
    let start: String = key.chars().take(shown).collect();
    let end: Vec<char> = key.chars().rev().take(shown).collect();
    format!("{start}…{}", end.into_iter().rev().collect::<String>())
}

/// In the order of `object_store`: a service account, application default credentials in a file
/// that is named or where `gcloud` puts it, the machine's service.
fn of_google(settings: &CloudSettings) -> StoreIdentity {
    if let Some(key) = settings.variable("GOOGLE_SERVICE_ACCOUNT_KEY") {
        return of_google_json("GOOGLE_SERVICE_ACCOUNT_KEY", key);
    }
    let named_files =
        ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
    let of_variables = named_files
        .iter()
        .find_map(|name| Some((format!("{name}: "), PathBuf::from(settings.variable(name)?))));
    let of_gcloud = || {
        let file =
            settings.home.as_ref()?.join(".config/gcloud/application_default_credentials.json");
        file.exists().then(|| (String::new(), file))
    };
    let Some((variable, file)) = of_variables.or_else(of_gcloud) else {
        return named("the machine's service");
    };
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    of_google_json(&format!("{variable}{}", file.display()), &text)
}

fn of_google_json(source: &str, text: &str) -> StoreIdentity {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let value = |name: &str| {
        json.get(name).and_then(Value::as_str).filter(|value| !value.is_empty()).map(str::to_owned)
    };
    if json.get("disable_oauth") == Some(&Value::Bool(true)) {
        return named(&format!("{source}, which switches credentials off"));
    }
    let client = || value("client_id").map(|id| format!("a user of client {}", shortened(&id)));
    let identity = value("client_email").or_else(|| value("account")).or_else(client);
    StoreIdentity { identity, ..named(source) }
}

/// In the order of `object_store`.
fn of_azure(settings: &CloudSettings) -> StoreIdentity {
    let kinds: [(&[&str], &str); 5] = [
        (&["AZURE_STORAGE_TOKEN"], "a bearer token"),
        (
            &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"],
            "the account's key",
        ),
        (&["AZURE_FEDERATED_TOKEN_FILE"], "a federated token"),
        (&["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"], "a client's secret"),
        (&["AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"], "a shared access signature"),
    ];
    let accounts = ["AZURE_CLIENT_ID", "AZURE_STORAGE_ACCOUNT_NAME"];
    let identity = accounts.iter().find_map(|name| settings.variable(name)).map(str::to_owned);
    for (names, kind) in kinds {
        if let Some(name) = names.iter().find(|name| settings.variable(name).is_some()) {
            return StoreIdentity { identity, ..named(&format!("{name}: {kind}")) };
        }
    }
    named("the machine's service")
}

/// Access keys of Amazon have twenty characters.
const KEY_LONG: usize = 16;
const KEY_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_its_ends_are_shown() {
        assert_eq!(shortened("AKIAIOSFODNN7EXAMPLE"), "AKIA…MPLE");
        assert_eq!(shortened("admin-key"), "a…y");
        assert_eq!(shortened(""), "…");
    }

    #[test]
    fn files_of_google_say_whose_they_are() {
        let service = of_google_json("f", r#"{"client_email":"a@b","private_key":"secret"}"#);
        assert_eq!(service.identity.as_deref(), Some("a@b"));
        let user =
            of_google_json("f", r#"{"type":"authorized_user","client_id":"1234567890123456.x"}"#);
        assert_eq!(user.identity.as_deref(), Some("a user of client 1234…56.x"));
        assert_eq!(of_google_json("f", "broken").identity, None);
    }
}
