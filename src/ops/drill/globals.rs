//! Roles and tablespaces of a server, as a private one takes them.

/// What is to be told to a private server, and the directories that it needs for that, below `home`.
///
/// Tablespaces are put below its own directory, and who granted a membership is left out: that must be the superuser that
/// made the server, which is another one at the source.
pub(crate) fn for_private(text: &str, home: &str) -> (String, Vec<String>) {
    let mut told = String::with_capacity(text.len());
    let mut folders = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(at) = granted_by(line) {
            told.push_str(&line[..at]);
            told.push_str(";\n");
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

/// Where a line that makes a role a member of another begins to say who granted that.
fn granted_by(line: &str) -> Option<usize> {
    let is_whole = line.starts_with("GRANT ") && line.trim_end().ends_with(';');
    is_whole.then(|| line.rfind(" GRANTED BY ")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_granted_is_left_out_and_tablespaces_move() {
        let text = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\n\
             GRANT a TO b WITH INHERIT TRUE GRANTED BY postgres;\n\
             CREATE TABLESPACE fast OWNER postgres LOCATION '/mnt/it''s';\n";
        let (told, folders) = for_private(text, "/tmp/x");
        let expected = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\n\
             GRANT a TO b WITH INHERIT TRUE;\n\
             CREATE TABLESPACE fast OWNER postgres LOCATION '/tmp/x/tablespace0';\n";
        assert_eq!((told.as_str(), folders), (expected, vec!["/tmp/x/tablespace0".to_owned()]));
    }
}
