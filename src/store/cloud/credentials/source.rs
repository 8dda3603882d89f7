//! Where the credentials of S3 may come from, as settings: nothing here was asked yet.

use std::path::PathBuf;
use zeroize::Zeroizing;

/// A source, and the roles that its credentials are exchanged for, in order.
pub(crate) struct Source {
    pub(crate) base: Base,
    pub(crate) roles: Vec<Role>,
    /// Which source it is, for people.
    pub(crate) words: String,
}

/// What gives the first credentials.
pub(crate) enum Base {
    Keys(Keys),
    Process(Process),
    Sso(Sso),
    WebIdentity(WebIdentity),
    Container(Container),
    Machine(Machine),
}

/// An access key as it was written down.
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) token: Option<Zeroizing<String>>,
}

/// A command that prints credentials: `credential_process` of a profile.
pub(crate) struct Process {
    pub(crate) profile: String,
    pub(crate) command: Zeroizing<String>,
}

/// Somebody who logged in with `aws sso login`.
pub(crate) struct Sso {
    pub(crate) profile: String,
    /// What the file with the token is named after: the session, or the address to log in at.
    pub(crate) session: String,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) role: String,
    /// Where tokens are, if there is a home directory.
    pub(crate) tokens: Option<PathBuf>,
}

/// A token of another service, which a role accepts.
pub(crate) struct WebIdentity {
    /// Where it is set up, for messages.
    pub(crate) set_in: String,
    pub(crate) token_file: PathBuf,
    pub(crate) role: Role,
}

/// The service that a container's platform has.
pub(crate) struct Container {
    pub(crate) address: String,
    pub(crate) authorization: Authorization,
}

/// What that service wants to see.
pub(crate) enum Authorization {
    Nothing,
    Token(Zeroizing<String>),
    /// A file that changes.
    TokenFile(PathBuf),
}

/// The service of a machine of EC2; the last one to be asked.
pub(crate) struct Machine {
    pub(crate) address: String,
    /// What was looked for before, for messages.
    pub(crate) looked_for: Vec<String>,
}

/// A role to assume.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) profile: String,
    pub(crate) arn: String,
    pub(crate) session_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) duration_seconds: u32,
}
