//! Roles and tablespaces of a server, as a private one takes them.

use crate::ops::drill::cluster::SUPERUSER;

/// What is to be told to a private server, and the directories that it needs for that, below `home`.
///
/// The role that made the private server is there already, and tablespaces are put below its own directory.
pub(crate) fn for_private(text: &str, home: &str) -> (String, Vec<String>) {
    let mut told = String::with_capacity(text.len());
    let mut folders = Vec::new();
    for line in text.split_inclusive('\n') {
        if line.trim_end() == format!("CREATE ROLE {SUPERUSER};") {
            continue;
        }
        let place = line.starts_with("CREATE TABLESPACE ").then(|| line.rfind(" LOCATION '"));
        let Some(at) = place.flatten() else {
            told.push_str(line);
            continue;
        };
        let folder = format!("{home}/tablespace{}", folders.len());
        told.push_str(&line[..at]);
        told.push_str(" LOCATION '");
        told.push_str(&folder.replace('\'', "''"));
        told.push_str("';\n");
        folders.push(folder);
    }
    (told, folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_out_and_tablespaces_move() {
        let text = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\nCREATE ROLE postgres2;\n\
             CREATE TABLESPACE fast OWNER postgres LOCATION '/mnt/it''s';\n";
        let (told, folders) = for_private(text, "/tmp/x");
        let expected = "ALTER ROLE postgres WITH SUPERUSER;\nCREATE ROLE postgres2;\n\
             CREATE TABLESPACE fast OWNER postgres LOCATION '/tmp/x/tablespace0';\n";
        assert_eq!((told.as_str(), folders), (expected, vec!["/tmp/x/tablespace0".to_owned()]));
    }
}
