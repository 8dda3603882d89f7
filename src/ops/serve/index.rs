//! A page that lists a directory, for people with a browser. Names that begin with a dot are shown.

use crate::ops::serve::files::Files;
use crate::ops::serve::files::Named;
use crate::ops::words::time_words;
use crate::units::human_bytes;
use dav_server::body::Body;
use dav_server::davpath::DavPath;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use std::fmt::Write as _;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The page of the directory at a path; `None` if none is there.
pub(crate) async fn index_of(files: &Files, path: &str, is_head: bool) -> Option<Response<Body>> {
    let parsed = DavPath::new(path).ok()?;
    let named = files.directory(&parsed).await.ok()??;
    if !path.ends_with('/') {
        // What the page links to stands below it.
        let mut moved = Response::new(Body::empty());
        *moved.status_mut() = StatusCode::PERMANENT_REDIRECT;
        let place = HeaderValue::from_str(&format!("{path}/")).ok()?;
        moved.headers_mut().insert(header::LOCATION, place);
        return Some(moved);
    }
    let page = page(&String::from_utf8_lossy(parsed.as_bytes()), &named);
    let mut response = Response::new(if is_head { Body::empty() } else { Body::from(page) });
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Some(response)
}

fn page(title: &str, named: &[Named]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<table>\n\
         <thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Size</th><th scope=\"col\">Changed, UTC</th></tr></thead>\n<tbody>\n"
    );
    if title != "/" {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for Named { name, shown } in named {
        let slash = if shown.is_directory { "/" } else { "" };
        let size = if shown.is_directory { String::new() } else { human_bytes(shown.length) };
        let changed = shown.modified.map(time_of).unwrap_or_default();
        let words = escaped(&String::from_utf8_lossy(name));
        let link = percent_encoded(name);
        // Writing into a string does not fail.
        let _ignored = writeln!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{words}{slash}</a></td><td>{size}</td><td>{changed}</td></tr>"
        );
    }
    page.push_str("</tbody>\n</table>\n</main>\n</body>\n</html>\n");
    page
}

fn time_of(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |it| -it),
    };
    time_words(seconds, 0)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn percent_encoded(name: &[u8]) -> String {
    let mut encoded = String::with_capacity(name.len());
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ignored = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}\
h1{font-size:1.2rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}\
th,td{padding:.2rem .8rem .2rem 0;text-align:left;overflow-wrap:anywhere}\
td:nth-child(n+2){white-space:nowrap;font-variant-numeric:tabular-nums}";
