//! Names of users and groups, from `/etc/passwd` and `/etc/group`.
//! Users of directory services have no name here; their numbers are kept.

use crate::format::tree::Owner;
use crate::localfs::LocalError;
use crate::localfs::Stat;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::io::Read as _;

/// The users and groups of this host.
#[derive(Debug, Default)]
pub(crate) struct OwnerNames {
    users: Table,
    groups: Table,
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<u32, Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
}

impl OwnerNames {
    /// Reads the host's users and groups; a missing file has none.
    pub(crate) fn load() -> Result<Self, LocalError> {
        Ok(Self { users: load_table("/etc/passwd")?, groups: load_table("/etc/group")? })
    }

    /// Who owns an entry; names are empty where the host has none.
    pub(crate) fn owner(&self, stat: &Stat) -> Owner {
        Owner {
            user_id: stat.user_id,
            group_id: stat.group_id,
            user_name: self.users.name(stat.user_id),
            group_name: self.groups.name(stat.group_id),
        }
    }

    /// The host's numbers for an owner: by name where the host knows it, else as they are.
    pub(crate) fn ids_by_name(&self, owner: &Owner) -> (u32, u32) {
        let Owner { user_id, group_id, user_name, group_name } = owner;
        let user = self.users.ids.get(user_name).copied().unwrap_or(*user_id);
        let group = self.groups.ids.get(group_name).copied().unwrap_or(*group_id);
        (user, group)
    }
}

impl Table {
    /// Takes the lines `name:password:number:…`; the first of a name or number counts.
    fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            // Lines of `+` and `-` refer to a directory service.
            let named = !name.is_empty() && !name.starts_with(b"+") && !name.starts_with(b"-");
            if let (true, Some(number)) = (named, number) {
                table.names.entry(number).or_insert_with(|| name.to_vec());
                table.ids.entry(name.to_vec()).or_insert(number);
            }
        }
        table
    }

    fn name(&self, id: u32) -> Vec<u8> {
        self.names.get(&id).cloned().unwrap_or_default()
    }
}

fn load_table(path: &str) -> Result<Table, LocalError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(Table::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::default()),
        Err(error) => Err(LocalError::new(path.as_bytes(), "read", error)),
    }
}

/// Longest table of users that is read.
const TABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_name_or_number_counts() {
        let table = Table::parse(b"root:x:0:0\ntoor:x:0:0\nu:x:1000:\n+nis\nbad:x:no:\nu:x:7:\n");
        assert_eq!(table.name(0), b"root");
        assert_eq!(table.name(1000), b"u");
        assert_eq!(table.ids[b"toor".as_slice()], 0);
        assert_eq!(table.ids[b"u".as_slice()], 1000);
        assert_eq!(table.names.len(), 3);
    }

    #[test]
    fn owners_go_by_name_where_the_host_knows_it() {
        let names = OwnerNames { users: Table::parse(b"u:x:7:"), groups: Table::default() };
        let owner = |user_name: &[u8]| Owner {
            user_id: 1000,
            group_id: 1001,
            user_name: user_name.to_vec(),
            group_name: b"g".to_vec(),
        };
        assert_eq!(names.ids_by_name(&owner(b"u")), (7, 1001));
        assert_eq!(names.ids_by_name(&owner(b"v")), (1000, 1001));
    }
}
