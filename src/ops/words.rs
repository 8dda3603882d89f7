//! Paths and times in words.

use jiff::Timestamp;

pub(crate) use crate::repo::environment::time_words;

/// A path or name for people and JSON: bytes outside UTF-8 and control characters as `\xHH`, a
/// backslash as `\\`, so that the text leads back to the bytes.
pub(crate) fn path_words(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    let mut buffer = [0; 4];
                    push_bytes(&mut text, control.encode_utf8(&mut buffer).as_bytes());
                }
                plain => text.push(plain),
            }
        }
        push_bytes(&mut text, chunk.invalid());
    }
    text
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str("\\x");
        text.push_str(&crate::id::to_hex(&[*byte]));
    }
}

/// The seconds and nanoseconds of a time in RFC 3339.
pub(crate) fn parse_time(text: &str) -> Option<(i64, u32)> {
    let time: Timestamp = text.parse().ok()?;
    let (seconds, nanoseconds) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 both parts are negative or zero; stored nanoseconds count forward.
    match u32::try_from(nanoseconds) {
        Ok(nanoseconds) => Some((seconds, nanoseconds)),
        Err(_negative) => {
            Some((seconds - 1, u32::try_from(1_000_000_000 + nanoseconds).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_to_their_bytes() {
        assert_eq!(path_words(b"a\\b\n\xff\xc3\xa4"), "a\\\\b\\x0a\\xff\u{e4}");
    }

    #[test]
    fn times_go_round() {
        for time in [(0, 0), (1_700_000_000, 5), (-5, 999_999_999), (-1, 0)] {
            assert_eq!(parse_time(&time_words(time.0, time.1)), Some(time));
        }
    }
}
