//! What a mail looks like: headers of RFC 5322 in ASCII, words of RFC 2047, a body in base64.
//! Texts of others cannot add a header: what is not plain is encoded.

use crate::notify::event::Event;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The mail of an event.
pub(crate) fn message(from: &str, to: &[String], host: &str, event: &Event) -> String {
    let to: Vec<String> = to.iter().map(|mailbox| header_of(mailbox)).collect();
    let body = format!("{}\n\n{}\n", event.title, event.words()).replace('\n', "\r\n");
    let encoded = BASE64.encode(body);
    let mut lines = vec![
        format!("From: {}", header_of(from)),
        format!("To: {}", to.join(",\r\n ")),
        format!("Subject: {}", words(&event.title)),
        format!("Date: {}", date(event.time)),
        // The same for the same event: whoever gets it twice can tell.
        format!(
            "Message-ID: <{}.{}.{}.{}@{}>",
            event.time,
            event.kind.word(),
            event.escalated_to.unwrap_or(1),
            name(&event.subject),
            name(host)
        ),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
        // No program is to answer it.
        "Auto-Submitted: auto-generated".to_owned(),
        String::new(),
    ];
    let bytes = encoded.as_bytes().chunks(LINE_BYTES);
    lines.extend(bytes.map(|line| String::from_utf8_lossy(line).into_owned()));
    lines.join("\r\n") + "\r\n"
}

/// The address alone of `Name <address>` or `address`.
pub(crate) fn bare(mailbox: &str) -> &str {
    mailbox.split_once('<').map_or(mailbox, |(_name, rest)| rest.trim_end_matches('>'))
}

/// A text as a part of a name in mail.
pub(crate) fn name(text: &str) -> String {
    let is_fit = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    let name: String = text.chars().filter(is_fit).take(NAME_LETTERS_MAX).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn header_of(mailbox: &str) -> String {
    match mailbox.split_once('<') {
        Some((name, rest)) if !name.trim().is_empty() => {
            format!("{} <{rest}", words(name.trim().trim_matches('"')))
        }
        Some(_) | None => bare(mailbox).to_owned(),
    }
}

/// A text as it may stand in a header.
fn words(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_'/".contains(&byte);
    if text.len() <= WORD_BYTES_MAX && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for letter in text.chars() {
        let is_full = words.last().is_some_and(|word| word.len() + 4 > WORD_BYTES_MAX);
        if is_full {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    let encoded: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word))).collect();
    encoded.join("\r\n ")
}

fn date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&time).unwrap_or_default()
}

const LINE_BYTES: usize = 76;
/// Encoded, it is shorter than the 75 letters that a word may have.
const WORD_BYTES_MAX: usize = 45;
const NAME_LETTERS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::event::EventKind;

    #[test]
    fn a_mail_is_ascii_in_short_lines_whatever_it_says() {
        let mut event = Event::new(EventKind::Failure, "db\r\nBcc: x@y", 0);
        event.title = "Sicherung für „db“ — =?utf-8?B?AA?= ".repeat(5);
        event.text = ".\n".repeat(100) + "ÄÖÜ";
        let to = vec!["Öne, Two <two@example.org>".to_owned(), "a@b.org".to_owned()];
        let mail = message("Backup <backup@example.org>", &to, "ho\r\nst", &event.bounded());
        assert!(mail.is_ascii());
        assert!(
            mail.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])),
            "{mail}"
        );
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("From: Backup <backup@example.org>\r\nTo: =?utf-8?B?"), "{head}");
        assert!(head.contains("?= <two@example.org>,\r\n a@b.org\r\n"), "{head}");
        assert!(head.contains("Date: Thu, 1 Jan 1970 00:00:00"), "{head}");
        assert!(head.contains("Message-ID: <0.failure.1.dbBccxy@host>"), "{head}");
        let text = BASE64.decode(body.replace("\r\n", "")).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("ÄÖÜ"));
    }
}
