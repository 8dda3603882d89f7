//! Key files, and the public keys of those that hold pairs. Spec: format-spec/04-keyslot.md.

use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::format::identity::XWING_PUBLIC_LEN;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::id::from_hex;
use crate::id::to_hex;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use std::fmt;
use zeroize::Zeroizing;

/// What is in a key file: which slot of which repository it opens, and the secret that does.
#[derive(Clone)]
pub struct KeyFile {
    /// The repository.
    pub repository: RepoId,
    /// The slot.
    pub slot: SlotId,
    /// The authority that the slot must name, if the file says.
    pub(crate) authority: Option<[u8; 32]>,
    pub(crate) secret: Secret,
}

impl KeyFile {
    /// A new key file for a slot.
    pub(crate) fn generate(
        repository: RepoId,
        slot: SlotId,
        environment: &dyn Environment,
    ) -> Self {
        Self { repository, slot, authority: None, secret: Secret::new(random(environment)) }
    }

    /// The same file, for a slot that names this authority and no other.
    pub(crate) fn of_authority(self, authority: [u8; 32]) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// The public key of which its secret is the seed.
    pub(crate) fn public_key(&self) -> Result<PublicKey, RepoError> {
        let public = seal::public_key(&self.secret).map_err(|_source| RepoError::KeyFile)?;
        Ok(PublicKey { repository: self.repository, slot: self.slot, public })
    }

    /// The file's text. Secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(to_hex(self.secret.expose()));
        let authority = self.authority.map(|public| format!("authority {}\n", to_hex(&public)));
        Zeroizing::new(format!(
            "{KEY_FILE_TITLE}\nrepository {}\nslot {}\nsecret {}\n{}",
            self.repository,
            self.slot,
            secret.as_str(),
            authority.unwrap_or_default()
        ))
    }

    /// Parses a file's text.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        Self::parse_lines(text).ok_or(RepoError::KeyFile)
    }

    fn parse_lines(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        if lines.next()? != KEY_FILE_TITLE {
            return None;
        }
        let repository = lines.next()?.strip_prefix("repository ")?.parse().ok()?;
        let slot = lines.next()?.strip_prefix("slot ")?.parse().ok()?;
        let mut secret = [0; 32];
        from_hex(lines.next()?.strip_prefix("secret ")?, &mut secret).ok()?;
        let secret = Secret::new(secret);
        let authority = match lines.next() {
            Some(line) => {
                let mut public = [0; 32];
                from_hex(line.strip_prefix("authority ")?, &mut public).ok()?;
                Some(public)
            }
            None => None,
        };
        lines.next().is_none().then_some(Self { repository, slot, authority, secret })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyFile(slot {})", self.slot)
    }
}

/// The public half of what a key file holds: whoever has it can make the slot, and not open it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicKey {
    /// The repository.
    pub repository: RepoId,
    /// The slot that the key file names.
    pub slot: SlotId,
    pub(crate) public: Vec<u8>,
}

impl PublicKey {
    /// The text of the file that is handed to whoever adds the slot.
    pub fn to_text(&self) -> String {
        let Self { repository, slot, public } = self;
        let public = to_hex(public);
        format!("{PUBLIC_KEY_TITLE}\nrepository {repository}\nslot {slot}\npublic {public}\n")
    }

    /// Parses a file's text.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        Self::parse_lines(text).ok_or(RepoError::KeyFile)
    }

    fn parse_lines(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        if lines.next()? != PUBLIC_KEY_TITLE {
            return None;
        }
        let repository = lines.next()?.strip_prefix("repository ")?.parse().ok()?;
        let slot = lines.next()?.strip_prefix("slot ")?.parse().ok()?;
        let mut public = [0; XWING_PUBLIC_LEN];
        from_hex(lines.next()?.strip_prefix("public ")?, &mut public).ok()?;
        lines.next().is_none().then_some(Self { repository, slot, public: public.to_vec() })
    }
}

/// The authority key in a file, kept away from where it is not needed.
#[derive(Clone)]
pub struct AuthorityFile {
    /// The repository.
    pub repository: RepoId,
    pub(crate) seed: Secret,
}

impl AuthorityFile {
    /// A new authority key for a repository.
    pub(crate) fn generate(repository: RepoId, environment: &dyn Environment) -> Self {
        Self { repository, seed: Secret::new(random(environment)) }
    }

    /// The file's text. Secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(to_hex(self.seed.expose()));
        let repository = self.repository;
        let seed = seed.as_str();
        Zeroizing::new(format!("{AUTHORITY_TITLE}\nrepository {repository}\nsecret {seed}\n"))
    }

    /// Parses a file's text.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        Self::parse_lines(text).ok_or(RepoError::KeyFile)
    }

    fn parse_lines(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        if lines.next()? != AUTHORITY_TITLE {
            return None;
        }
        let repository = lines.next()?.strip_prefix("repository ")?.parse().ok()?;
        let mut seed = [0; 32];
        from_hex(lines.next()?.strip_prefix("secret ")?, &mut seed).ok()?;
        lines.next().is_none().then_some(Self { repository, seed: Secret::new(seed) })
    }
}

impl fmt::Debug for AuthorityFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AuthorityFile(repository {})", self.repository)
    }
}

const KEY_FILE_TITLE: &str = "sbf-repo key file 1";
const PUBLIC_KEY_TITLE: &str = "sbf-repo public key 1";
const AUTHORITY_TITLE: &str = "sbf-repo authority 1";
