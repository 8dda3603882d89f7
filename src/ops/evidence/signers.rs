//! `allowed_signers`: whose signatures count for what and when. Source: ssh-keygen(1), ALLOWED SIGNERS.

use crate::format::identity::Certificate;
use crate::format::identity::Subject;
use crate::format::sshsig;
use crate::repo::proof::trust::Trust;
use jiff::Timestamp;
use std::fmt::Write as _;

/// One line a certificate, in the order of the certificates.
pub(crate) fn allowed_signers(trust: &Trust) -> String {
    let mut text = String::new();
    for certificate in trust.certificates() {
        // Writing into a string does not fail.
        let _ignored =
            writeln!(text, "{}", line(certificate, trust.revoked_from(&certificate.public_key)));
    }
    text
}

fn line(certificate: &Certificate, revoked_from: Option<i64>) -> String {
    let Certificate { subject, public_key, role, valid_from, valid_until } = certificate;
    let (principal, namespaces) = match subject {
        Subject::Client(client) => (client.to_string(), CLIENT_NAMESPACES),
        Subject::Maintenance => (MAINTENANCE.to_owned(), MAINTENANCE_NAMESPACES),
    };
    // OpenSSH takes the last second itself as valid; a revocation counts from its second on.
    let before = revoked_from.map(|from| from.saturating_sub(1));
    let before = before.into_iter().chain(*valid_until).min();
    let mut options = format!("namespaces=\"{namespaces}\"");
    if let Some(after) = stamp(*valid_from) {
        let _ignored = write!(options, ",valid-after=\"{after}\"");
    }
    if let Some(before) = before.and_then(stamp) {
        let _ignored = write!(options, ",valid-before=\"{before}\"");
    }
    format!("{principal} {options} {}", sshsig::public_key_line(public_key, role.word()))
}

/// A time as OpenSSH writes it, in UTC.
pub(crate) fn stamp(seconds: i64) -> Option<String> {
    let time = Timestamp::from_second(seconds).ok()?;
    Some(time.strftime("%Y%m%d%H%M%SZ").to_string())
}

/// Who signs for maintenance.
pub(crate) const MAINTENANCE: &str = "maintenance";
const CLIENT_NAMESPACES: &str =
    "sbf-repo-manifest,sbf-repo-outcome,sbf-repo-record,sbf-repo-audit,sbf-repo-evidence";
const MAINTENANCE_NAMESPACES: &str = "sbf-repo-gc-base,sbf-repo-forget,sbf-repo-inventory";
