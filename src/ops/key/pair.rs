//! `key pair`: a key file whose slot somebody else makes, who never sees the secret.

use crate::id::SlotId;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::location::OpenOptions;
use crate::ops::location::locate;
use crate::repo::environment::random;
use crate::repo::key_file::KeyFile;
use crate::repo::key_file::PublicKey;

/// A pair that was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pair {
    /// What is handed to whoever adds the slot.
    pub public: PublicKey,
    /// The public half of the repository's authority key, as the repository claims: whoever opens
    /// the slot accepts no other.
    pub authority: [u8; 32],
}

/// Makes a key file and its public key; the file is given to `keep`.
///
/// Opens nothing: what the repository says of itself in clear is taken as it is.
pub fn pair(
    options: &OpenOptions,
    keep: &mut dyn FnMut(&KeyFile) -> Result<(), OpError>,
) -> Result<Pair, OpError> {
    let what = "cannot make a pair of keys";
    let config = locate(options)?.claimed_config().during(what)?;
    let environment = options.environment.as_ref();
    let slot = SlotId::new(random(environment));
    let file = KeyFile::generate(config.repository, slot, environment);
    let file = file.of_authority(config.authority);
    let public = file.public_key().during(what)?;
    keep(&file)?;
    Ok(Pair { public, authority: config.authority })
}
