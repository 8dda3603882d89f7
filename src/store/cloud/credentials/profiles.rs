//! The files that AWS's programs are set up with: `~/.aws/config` and `~/.aws/credentials`.
//! Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".

use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::settings::CloudSettings;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What both files say.
pub(crate) struct Profiles {
    sections: BTreeMap<(SectionKind, String), Section>,
    /// The files, read or missing, for messages.
    places: Vec<PathBuf>,
    /// Names of `[NAME]` in the first file, which means nothing there without `profile`.
    stray: Vec<String>,
}

/// What a section is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SectionKind {
    Profile,
    SsoSession,
    Services,
}

/// Settings of a section, by name; those that stand below another one are `OUTER.INNER`.
#[derive(Default)]
pub(crate) struct Section(BTreeMap<String, Zeroizing<String>>);

impl Section {
    /// A setting that is there and not empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }
}

impl Profiles {
    /// Reads both files, where there are any.
    ///
    /// Errors: a file that cannot be read or is broken; neither names what stands in it.
    pub(crate) fn load(settings: &CloudSettings) -> Result<Self, CredentialError> {
        let mut profiles =
            Self { sections: BTreeMap::new(), places: Vec::new(), stray: Vec::new() };
        // What the second file says of a profile comes before what the first one says.
        for (variable, name, file) in [
            ("AWS_CONFIG_FILE", "config", File::Config),
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials", File::Credentials),
        ] {
            let Some(place) = place(settings, variable, name) else { continue };
            match std::fs::read(&place) {
                Ok(bytes) => {
                    let text = Zeroizing::new(String::from_utf8(bytes).map_err(|_not_utf8| {
                        CredentialError::wrong(format!("`{}` is not UTF-8", place.display()))
                    })?);
                    profiles.add(&text, file, &place)?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // The home of another user, as `sudo` may leave it: nobody asked for this file.
                Err(error)
                    if error.kind() == ErrorKind::PermissionDenied
                        && settings.variable(variable).is_none() => {}
                Err(error) => {
                    let why = format!("cannot read `{}`: {error}", place.display());
                    return Err(CredentialError::wrong(why));
                }
            }
            profiles.places.push(place);
        }
        Ok(profiles)
    }

    /// A section by its name.
    pub(crate) fn section(&self, kind: SectionKind, name: &str) -> Option<&Section> {
        self.sections.get(&(kind, name.to_owned()))
    }

    /// A profile by its name.
    pub(crate) fn profile(&self, name: &str) -> Option<&Section> {
        self.section(SectionKind::Profile, name)
    }

    /// That there is no such profile, and where it was looked for.
    pub(crate) fn missing(&self, name: &str) -> String {
        let places: Vec<String> =
            self.places.iter().map(|place| format!("`{}`", place.display())).collect();
        if places.is_empty() {
            return format!(
                "there is no profile `{name}`: neither HOME nor AWS_CONFIG_FILE is set"
            );
        }
        let stray = if self.stray.iter().any(|stray| stray == name) {
            format!("; the first has `[{name}]`, which must be `[profile {name}]` there")
        } else {
            String::new()
        };
        format!("there is no profile `{name}` in {}{stray}", places.join(" or "))
    }

    fn add(&mut self, text: &str, file: File, place: &Path) -> Result<(), CredentialError> {
        let mut current = Current::Nothing;
        let mut outer = String::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what: &str| {
                let place = place.display();
                CredentialError::wrong(format!("line {} of `{place}` {what}", index + 1))
            };
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let (header, _) = header.split_once(']').ok_or_else(|| wrong("lacks a `]`"))?;
                current = self.begin(header.trim(), file);
                outer.clear();
                continue;
            }
            let Some((name, value)) = trimmed.split_once('=') else {
                // What goes on below a setting that has a value is of none that is read here.
                if line.starts_with(char::is_whitespace) && !outer.is_empty() {
                    continue;
                }
                return Err(wrong("is neither a `[section]` nor `name = value`"));
            };
            let mut name = name.trim().to_ascii_lowercase();
            let value = without_comment(value).trim();
            if line.starts_with(char::is_whitespace) && !outer.is_empty() {
                name = format!("{outer}.{name}");
            } else {
                outer.clone_from(&name);
            }
            match &current {
                Current::Nothing => return Err(wrong("stands before the first `[section]`")),
                Current::Foreign => {}
                Current::Known(kind, section) => {
                    let section = self.sections.entry((*kind, section.clone())).or_default();
                    section.0.insert(name, Zeroizing::new(value.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, header: &str, file: File) -> Current {
        let (word, rest) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
        let name = rest.trim().trim_matches(['"', '\'']).to_owned();
        let (kind, name) = match (file, word) {
            (File::Credentials, _) => {
                (SectionKind::Profile, header.trim_matches(['"', '\'']).to_owned())
            }
            (File::Config, "default") if name.is_empty() => (SectionKind::Profile, word.to_owned()),
            (File::Config, "profile") => (SectionKind::Profile, name),
            (File::Config, "sso-session") => (SectionKind::SsoSession, name),
            (File::Config, "services") => (SectionKind::Services, name),
            (File::Config, _) => {
                self.stray.push(header.to_owned());
                return Current::Foreign;
            }
        };
        // A section without a setting is one, too.
        self.sections.entry((kind, name.clone())).or_default();
        Current::Known(kind, name)
    }
}

/// Which of the two files: sections have other names in each.
#[derive(Debug, Clone, Copy)]
enum File {
    Config,
    Credentials,
}

/// The section that a line belongs to.
enum Current {
    Nothing,
    Foreign,
    Known(SectionKind, String),
}

/// A path in which `~` is the home directory.
pub(crate) fn at_home(settings: &CloudSettings, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), &settings.home) {
        (Some(rest), Some(home)) => home.join(rest),
        (_, _) => PathBuf::from(path),
    }
}

fn place(settings: &CloudSettings, variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = settings.variable(variable) {
        return Some(at_home(settings, path));
    }
    settings.home.as_ref().map(|home| home.join(".aws").join(name))
}

/// A comment behind a value begins with a space: secrets may hold the signs themselves.
fn without_comment(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"].map(|sign| value.find(sign).unwrap_or(value.len()));
    let end = ends.into_iter().min().unwrap_or(value.len());
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, file: File) -> Result<Profiles, CredentialError> {
        let mut profiles = Profiles {
            sections: BTreeMap::new(),
            places: vec!["/home/config".into()],
            stray: Vec::new(),
        };
        profiles.add(text, file, Path::new("/home/config")).map(|()| profiles)
    }

    #[test]
    fn profiles_have_settings_comments_and_sections_within() {
        let text = "# of all\n[default]\nregion = eu-west-1 # near\n\n[profile \"a b\"]\n\
                    Role_Arn=arn:x\ns3 =\n  addressing_style = path\n; no\nservices = local\n\
                    [services local]\nsts =\n  endpoint_url = http://h/?a=b\n[sso-session s]\n\
                    sso_region = us-east-1\n[stray]\nregion=x\n[profile empty]\n";
        let profiles = parsed(text, File::Config).unwrap_or_else(|error| panic!("{error}"));
        let value = |kind, name, setting| {
            profiles.section(kind, name).and_then(|section| section.value(setting))
        };
        assert_eq!(value(SectionKind::Profile, "default", "region"), Some("eu-west-1"));
        assert_eq!(value(SectionKind::Profile, "a b", "role_arn"), Some("arn:x"));
        assert_eq!(value(SectionKind::Profile, "a b", "s3.addressing_style"), Some("path"));
        assert_eq!(value(SectionKind::Profile, "a b", "services"), Some("local"));
        let local = value(SectionKind::Services, "local", "sts.endpoint_url");
        assert_eq!(local, Some("http://h/?a=b"));
        assert_eq!(value(SectionKind::SsoSession, "s", "sso_region"), Some("us-east-1"));
        assert!(profiles.profile("empty").is_some());
        let missing = profiles.missing("stray");
        assert!(missing.ends_with("must be `[profile stray]` there"), "{missing}");
    }

    #[test]
    fn broken_files_name_the_line_and_nothing_in_it() {
        for (text, words) in [
            ("secret\n", "line 1 of `/home/config` is neither"),
            ("a = b\n", "line 1 of `/home/config` stands before"),
            ("[a]\nb = c\n[secret\n", "line 3 of `/home/config` lacks a `]`"),
            ("[a]\naws_secret_access_key\n", "line 2 of"),
        ] {
            let error = parsed(text, File::Credentials).err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(error.starts_with(words) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_may_hold_what_begins_comments() {
        let text = "[a]\naws_secret_access_key = ab#c;d+/=\n";
        let profiles = parsed(text, File::Credentials).unwrap_or_else(|error| panic!("{error}"));
        let profile = profiles.profile("a").and_then(|one| one.value("aws_secret_access_key"));
        assert_eq!(profile, Some("ab#c;d+/="));
    }
}
