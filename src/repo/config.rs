//! Opening the config. Spec: format-spec/03-config.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::format::config::Config;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::repo::error::RepoError;
use crate::repo::keyring::KeyRing;
use crate::repo::objects;
use crate::repo::repository::verified_by_authority;

/// Opens a config, whose repository and authority must be those of the keys.
pub(crate) fn open_config(keys: &KeyRing, bytes: &[u8]) -> Result<Config, RepoError> {
    let decode = |source| RepoError::Decode { key: layout::CONFIG.to_owned(), source };
    let signed = objects::open_clear(ObjectKind::Config, layout::CONFIG, bytes)?;
    let authority = keys.keys.authority_public;
    let body = verified_by_authority(signed, keys.repository, &authority)?;
    let config = Config::decode(&body).map_err(decode)?;
    if config.repository != keys.repository || config.authority != authority {
        return Err(decode(FormatError::new("config", Rule::ManifestPlace, 0)));
    }
    Ok(config)
}
