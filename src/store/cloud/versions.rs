//! What a bucket of S3 keeps of overwritten and deleted objects, and for how long.

use crate::store::cloud::failure::Failure;
use crate::store::cloud::s3_calls::S3Call;
use crate::store::cloud::s3_calls::S3Calls;
use crate::store::cloud::s3_calls::element;
use jiff::Timestamp;
use std::time::SystemTime;

/// One version of an object, or a mark that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The object's whole name in the bucket.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) is_newest: bool,
    /// Whether this only says that the object was deleted.
    pub(crate) is_delete: bool,
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
}

impl S3Calls {
    /// Every version below a prefix: by name, the newest of a name first.
    pub(crate) fn versions(&self, prefix: &str) -> Result<Vec<Version>, Failure> {
        let mut versions = Vec::new();
        let mut after = String::new();
        loop {
            let query = format!("versions&prefix={}{after}", encode(prefix));
            let call = S3Call { method: "GET", query: &query, ..S3Call::default() };
            let answer = self.call_again(&call)?;
            let text = String::from_utf8_lossy(&answer.body);
            versions.extend(parse_versions(&text).ok_or_else(unreadable)?);
            if element(&text, "IsTruncated") != Some("true") {
                return Ok(versions);
            }
            let key = element(&text, "NextKeyMarker").ok_or_else(unreadable)?;
            let id = element(&text, "NextVersionIdMarker").unwrap_or_default();
            let next = format!(
                "&key-marker={}&version-id-marker={}",
                encode(&unescape(key)),
                encode(&unescape(id))
            );
            if next == after {
                return Err(unreadable());
            }
            after = next;
        }
    }

    /// After how many days old versions of objects below a prefix go, by the bucket's rules; `None`
    /// if none says.
    pub(crate) fn old_versions_end_after(&self, prefix: &str) -> Result<Option<u32>, Failure> {
        let call = S3Call { method: "GET", query: "lifecycle=", ..S3Call::default() };
        match self.call_again(&call) {
            Ok(answer) => Ok(days_in(&String::from_utf8_lossy(&answer.body), prefix)),
            Err(failure) if matches!(failure.status(), Some(400 | 403 | 404 | 405 | 501)) => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Until when an object is locked, if it is.
    pub(crate) fn locked_until(&self, name: &str) -> Result<Option<SystemTime>, Failure> {
        let call = S3Call { method: "GET", key: name, query: "retention=", ..S3Call::default() };
        match self.call_again(&call) {
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                Ok(element(&text, "RetainUntilDate").and_then(parse_time))
            }
            Err(failure) if matches!(failure.status(), Some(400 | 404)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Locks an object until a time that is not before its present one.
    pub(crate) fn lock_until(&self, name: &str, mode: &str, until: &str) -> Result<(), Failure> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let checksum = super::s3_calls::sha256_header(body.as_bytes());
        let headers = [("x-amz-checksum-sha256", checksum.as_str())];
        let call = S3Call {
            method: "PUT",
            key: name,
            query: "retention=",
            headers: &headers,
            body: body.into(),
        };
        self.call_again(&call).map(|_answer| ())
    }
}

fn parse_versions(text: &str) -> Option<Vec<Version>> {
    let mut versions = Vec::new();
    let mut rest = text;
    loop {
        let version = rest.find("<Version>");
        let delete = rest.find("<DeleteMarker>");
        let (at, tag) = match (version, delete) {
            (None, None) => return Some(versions),
            (Some(version), Some(delete)) if delete < version => (delete, "DeleteMarker"),
            (Some(version), _) => (version, "Version"),
            (None, Some(delete)) => (delete, "DeleteMarker"),
        };
        let own = element(rest.get(at..)?, tag)?;
        let is_delete = tag == "DeleteMarker";
        versions.push(Version {
            name: unescape(element(own, "Key")?),
            id: unescape(element(own, "VersionId")?),
            is_newest: element(own, "IsLatest") == Some("true"),
            is_delete,
            length: if is_delete { 0 } else { element(own, "Size")?.parse().ok()? },
            modified: parse_time(element(own, "LastModified")?)?,
        });
        rest = rest.get(at + own.len()..)?;
    }
}

/// The shortest time that an enabled rule for the prefix gives old versions.
fn days_in(text: &str, prefix: &str) -> Option<u32> {
    let rules = text.split("<Rule>").skip(1).filter_map(|rule| rule.split("</Rule>").next());
    let applies = |rule: &&str| {
        let of = unescape(element(rule, "Prefix").unwrap_or_default());
        element(rule, "Status") == Some("Enabled") && prefix.starts_with(&of)
    };
    let days = rules.filter(applies).filter_map(|rule| {
        element(element(rule, "NoncurrentVersionExpiration")?, "NoncurrentDays")?.parse().ok()
    });
    days.min()
}

fn parse_time(text: &str) -> Option<SystemTime> {
    text.trim().parse::<Timestamp>().ok().map(SystemTime::from)
}

/// As a time stands in calls: to the second, since that is what all stores accept.
pub(crate) fn time_words(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn unescape(text: &str) -> String {
    let named = [("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let mut text = text.to_owned();
    for (escaped, plain) in named.into_iter().chain([("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")])
    {
        text = text.replace(escaped, plain);
    }
    text
}

/// As a value stands in a query.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn unreadable() -> Failure {
    Failure::unreadable_answer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_their_order() {
        let text = "<ListVersionsResult><IsTruncated>false</IsTruncated>\
            <DeleteMarker><Key>a/b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>\
            <LastModified>2026-01-02T00:00:00.000Z</LastModified></DeleteMarker>\
            <Version><Key>a/b</Key><VersionId>x&amp;y</VersionId><IsLatest>false</IsLatest>\
            <LastModified>2026-01-01T00:00:00Z</LastModified><Size>7</Size></Version>\
            </ListVersionsResult>";
        let versions = parse_versions(text).unwrap();
        let seen: Vec<_> =
            versions.iter().map(|v| (v.id.as_str(), v.is_delete, v.length)).collect();
        assert_eq!(seen, [("3", true, 0), ("x&y", false, 7)]);
        assert!(versions[0].is_newest && versions[1].modified < versions[0].modified);
        assert_eq!(parse_versions("<Version><Key>a</Key></Version>"), None);
    }

    #[test]
    fn the_rule_for_a_prefix_is_found() {
        let rule = |status: &str, prefix: &str, days: u32| {
            format!(
                "<Rule><Status>{status}</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
                 <NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>\
                 </NoncurrentVersionExpiration></Rule>"
            )
        };
        let text = [
            rule("Enabled", "", 90),
            rule("Disabled", "", 1),
            rule("Enabled", "other/", 2),
            rule("Enabled", "backup", 30),
        ]
        .concat();
        assert_eq!(days_in(&text, "backup/one/"), Some(30));
        assert_eq!(days_in(&text, "elsewhere/"), Some(90));
        assert_eq!(days_in("", "elsewhere/"), None);
    }
}
