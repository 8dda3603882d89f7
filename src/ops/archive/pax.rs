//! Extended headers of POSIX (pax): records of what a tar header has no room for.

use crate::format::tree::ExtendedAttribute;
use crate::format::tree::Timestamp;

/// Records for one entry.
#[derive(Debug, Default)]
pub(crate) struct PaxRecords(Vec<u8>);

impl PaxRecords {
    /// Adds a record. Values may be any bytes: whoever reads them takes the length.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        if digits(length) > digits(rest) {
            length = rest + digits(length);
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Adds an extended attribute: a list of access rights in words, as other programs expect it.
    pub(crate) fn push_attribute(&mut self, attribute: &ExtendedAttribute) {
        let ExtendedAttribute { name, value } = attribute;
        let list = match name.as_slice() {
            b"system.posix_acl_access" => Some(b"SCHILY.acl.access".as_slice()),
            b"system.posix_acl_default" => Some(b"SCHILY.acl.default".as_slice()),
            _other => None,
        };
        if let Some((key, words)) = list.zip(acl_words(value)) {
            self.push(key, words.as_bytes());
            return;
        }
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in name {
            match byte {
                // As GNU tar writes them: the first `=` ends the key.
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                plain => key.push(*plain),
            }
        }
        self.push(&key, value);
    }

    /// The records.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// A time in decimal seconds.
pub(crate) fn time_words(time: Timestamp) -> String {
    let Timestamp { seconds, nanoseconds } = time;
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    if seconds >= 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    // Stored nanoseconds count forward, also before 1970.
    let whole = seconds.saturating_add(1).unsigned_abs();
    format!("-{whole}.{:09}", 1_000_000_000_u32.saturating_sub(nanoseconds))
}

/// A list of access rights as the kernel packs it, in words: `user::rw-,user:1000:r--,…`.
///
/// `None` if it is not of version 2 or has an entry of an unknown kind.
fn acl_words(packed: &[u8]) -> Option<String> {
    let entries = packed.strip_prefix(&2_u32.to_le_bytes())?;
    let entries = entries.as_chunks::<8>();
    let (entries, []) = entries else { return None };
    let mut words = Vec::new();
    for [tag0, tag1, right0, right1, id @ ..] in entries {
        let (tag, rights) =
            (u16::from_le_bytes([*tag0, *tag1]), u16::from_le_bytes([*right0, *right1]));
        let id = u32::from_le_bytes(*id);
        let who = match tag {
            0x01 => "user:".to_owned(),
            0x02 => format!("user:{id}"),
            0x04 => "group:".to_owned(),
            0x08 => format!("group:{id}"),
            0x10 => "mask:".to_owned(),
            0x20 => "other:".to_owned(),
            _unknown => return None,
        };
        let right = |bit: u16, letter: char| if rights & bit == 0 { '-' } else { letter };
        words.push(format!("{who}:{}{}{}", right(4, 'r'), right(2, 'w'), right(1, 'x')));
    }
    Some(words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_digits() {
        for length in 0..2000 {
            let mut records = PaxRecords::default();
            records.push(b"path", &vec![b'a'; length]);
            let (stated, _rest) = records
                .as_bytes()
                .split_at(records.as_bytes().iter().position(|b| *b == b' ').unwrap());
            let stated: usize = std::str::from_utf8(stated).unwrap().parse().unwrap();
            assert_eq!(stated, records.as_bytes().len());
        }
    }

    #[test]
    fn times_before_1970_have_nanoseconds_that_count_forward() {
        let words = |seconds, nanoseconds| time_words(Timestamp { seconds, nanoseconds });
        assert_eq!(words(5, 0), "5");
        assert_eq!(words(5, 1), "5.000000001");
        assert_eq!(words(-5, 0), "-5");
        assert_eq!(words(-5, 250_000_000), "-4.750000000");
        assert_eq!(words(-1, 500_000_000), "-0.500000000");
        assert_eq!(words(i64::MIN, 1), "-9223372036854775807.999999999");
    }

    #[test]
    fn lists_of_access_rights_are_unpacked() {
        let mut packed = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in
            [(1_u16, 6_u16, u32::MAX), (2, 5, 1000), (4, 4, u32::MAX), (16, 7, 0), (32, 0, 0)]
        {
            packed.extend_from_slice(&tag.to_le_bytes());
            packed.extend_from_slice(&rights.to_le_bytes());
            packed.extend_from_slice(&id.to_le_bytes());
        }
        let words = "user::rw-,user:1000:r-x,group::r--,mask::rwx,other::---";
        assert_eq!(acl_words(&packed).as_deref(), Some(words));
        assert_eq!(acl_words(&packed[..packed.len() - 1]), None);
        assert_eq!(acl_words(&[1, 0, 0, 0]), None);
    }
}
