//! Keeps secrets out of what is said about channels.

/// What must not be said.
#[derive(Default, Clone)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a secret; very short ones would hide every text.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= SECRET_BYTES_MIN {
            self.0.push(secret.to_owned());
        }
    }

    /// Adds a URL and what stands behind its host, part by part.
    pub(crate) fn add_url(&mut self, url: &str) {
        self.add(url);
        let rest = url.split_once("://").map_or(url, |(_scheme, rest)| rest);
        if let Some(at) = rest.find(['/', '?', '#']) {
            let path = rest.get(at..).unwrap_or_default();
            self.add(path);
            for part in path.split(['/', '?', '&', '=', '#']) {
                self.add(part);
            }
        }
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// A text without secrets, in one line of bounded length.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "…");
        }
        let text: String =
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        crate::notify::event::start_of(&words.join(" "), SAID_LETTERS_MAX)
    }
}

/// A URL without what stands behind its host.
pub(crate) fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}/…")
}

/// Words like `api` are no secrets.
const SECRET_BYTES_MIN: usize = 6;
const SAID_LETTERS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_urls_path_is_said() {
        let url = "https://hooks.example.org/services/T000/B000/abcsecret?token=abcdef123";
        let mut secrets = Secrets::default();
        secrets.add_url(url);
        let said =
            secrets.hide(&format!("cannot POST {url}: no /abcsecret\r\nfor abcdef123\x1b[0m"));
        assert_eq!(said, "cannot POST …: no /… for … [0m");
        assert_eq!(host_of(url), "https://hooks.example.org/…");
    }
}
