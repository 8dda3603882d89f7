//! `serve` as browsers and clients of `WebDAV` see it.
#![cfg(feature = "serve")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::servers::rclone;
use crate::support::bytes_of;
use crate::support::damage_large_pack;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// A server and its token; ends with the test.
struct Serving {
    child: Option<Child>,
    address: String,
    token: String,
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Serving {
    fn of(desk: &Desk, arguments: &[&str]) -> Self {
        let mut command = desk.command(&["serve"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains("serving at")).unwrap();
        let after = |word: &str| line.split_once(word).unwrap().1.to_owned();
        let address = after("http://").split('/').next().unwrap().to_owned();
        let token = after("token ").split(';').next().unwrap().to_owned();
        Self { child: Some(child), address, token }
    }

    /// Asks as a program does that gives the token.
    fn ask(&self, method: &str, path: &str, more: &str) -> Answer {
        let token = format!("Authorization: Bearer {}\r\n{more}", self.token);
        self.ask_as("localhost", method, path, &token)
    }

    fn ask_as(&self, host: &str, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A connection that is cut off in the middle of an answer gave what it gave.
        let _ignored = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: bytes[end + 4..].to_vec() }
    }

    fn end(mut self) -> Output {
        let child = self.child.take().unwrap();
        let process = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }

    /// A client of `WebDAV`.
    fn client(&self, arguments: &[&str]) -> Output {
        let mut hide = Command::new(rclone::program());
        let hidden = hide.args(["obscure", &self.token]).output().unwrap().stdout;
        let mut command = Command::new(rclone::program());
        command.env("RCLONE_CONFIG", "/dev/null");
        command.env("RCLONE_CONFIG_SERVED_TYPE", "webdav");
        command.env("RCLONE_CONFIG_SERVED_URL", format!("http://{}/", self.address));
        command.env("RCLONE_CONFIG_SERVED_USER", "anybody");
        command.env("RCLONE_CONFIG_SERVED_PASS", String::from_utf8(hidden).unwrap().trim());
        command.args(arguments).output().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ignored = child.kill();
        let _ignored = child.wait();
    }
}

/// The directory of `data` below the top of a snapshot.
fn inside(desk: &Desk, top: &str) -> String {
    format!("{top}{}", desk.path("data").display())
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn a_client_of_webdav_copies_what_restore_writes() {
    let desk = Desk::with_repository();
    desk.put("data/.env", b"hidden from nobody");
    desk.put("data/a name & more <é>.txt", b"odd");
    desk.put("data/large", &bytes_of(7, 9_000_000, 256));
    for number in 0..300 {
        desk.put(&format!("data/inner/{number}"), &bytes_of(number, 3_000, 256));
    }
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let serving = Serving::of(&desk, &[]);
    let remote = format!("served:{}", inside(&desk, "by-source/docs/latest"));
    let copied = serving.client(&["copy", &remote, desk.path("copied").to_str().unwrap()]);
    check(&copied, 0);
    let trees = [desk.path("data"), desk.path("copied")];
    assert!(Command::new("diff").arg("-r").args(trees).status().unwrap().success());
    let own = desk.path("data/.env");
    let refused = serving.client(&["copyto", own.to_str().unwrap(), "served:new", "--retries=1"]);
    assert!(!refused.status.success(), "it is read-only");
    check(&serving.end(), 0);
    let log = desk.json(&["audit", "list"], 0)["runs"].clone();
    let run = log.as_array().unwrap().iter().find(|run| run["operation"] == "serve").unwrap();
    assert!(run["bytes"].as_u64() >= Some(9_000_000 + 300 * 3_000), "{run}");
    assert_eq!(run["exit_code"], 0, "{run}");
}

#[test]
fn a_browser_lists_directories_and_reads_parts_of_files() {
    let desk = Desk::with_repository();
    let large = bytes_of(7, 9_000_000, 256);
    desk.put("data/large", &large);
    desk.put("data/.env", b"hidden from nobody");
    desk.put("data/<script>", b"<script>alert(1)</script>");
    symlink("inner/b.txt", desk.path("data/link")).unwrap();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    let serving = Serving::of(&desk, &[]);
    let top = serving.ask("GET", "/", "");
    assert_eq!(top.status, 200);
    for name in ["by-source/", "latest/", "snapshots/"] {
        assert!(text(&top).contains(&format!("href=\"./{name}\"")), "{}", text(&top));
    }
    let directory = inside(&desk, "/latest");
    assert_eq!(serving.ask("GET", &directory, "").status, 308, "what it links to stands below it");
    let page = text(&serving.ask("GET", &format!("{directory}/"), ""));
    assert!(page.contains("\"./.env\"") && page.contains("\"./inner/\""), "{page}");
    assert!(page.contains("\"./%3Cscript%3E\">&lt;script&gt;</a>"), "{page}");
    let odd = serving.ask("GET", &format!("{directory}/%3Cscript%3E"), "");
    assert_eq!(odd.body, b"<script>alert(1)</script>");
    assert!(odd.head.contains("content-security-policy: sandbox"), "{}", odd.head);
    assert_eq!(serving.ask("GET", &format!("{directory}/link"), "").body, b"inner/b.txt");
    let file = format!("{directory}/large");
    assert!(serving.ask("GET", &file, "").body == large);
    let part = serving.ask("GET", &file, "Range: bytes=4194000-4195000\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &large[4_194_000..=4_195_000]));
    let end = serving.ask("GET", &file, "Range: bytes=-7\r\n");
    assert_eq!((end.status, &end.body[..]), (206, &large[8_999_993..]));
    assert_eq!(serving.ask("GET", &file, "Range: bytes=9000000-\r\n").status, 416);
    let head = serving.ask("HEAD", &file, "");
    assert!(head.body.is_empty() && head.head.contains("content-length: 9000000"), "{}", head.head);
    for (method, path, status) in [
        ("GET", "/latest/nothing", 404),
        ("GET", "/latest/../../etc/passwd", 403),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 403),
        ("PUT", "/latest/new", 405),
        ("DELETE", file.as_str(), 405),
        ("MKCOL", "/new", 405),
    ] {
        let answer = serving.ask(method, path, "Content-Length: 0\r\n");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.head);
    }
}

#[test]
fn whoever_does_not_know_the_token_gets_nothing() {
    let desk = Desk::with_repository();
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    desk.put("token", b"0123456789-abcdef\n");
    let serving = Serving::of(&desk, &["--token-file", "token"]);
    let basic = "Authorization: Basic YW55Om9uZTowMTIzNDU2Nzg5LWFiY2RlZg==\r\n";
    for (host, headers, status) in [
        ("localhost", "", 401),
        ("localhost", "Authorization: Bearer 0123456789-abcdeF\r\n", 401),
        ("localhost", "Authorization: Bearer\r\n", 401),
        ("localhost", "Authorization: Basic !!!\r\n", 401),
        ("localhost", "Authorization: Bearer 0123456789-abcdef\r\n", 200),
        ("127.0.0.1:80", "Authorization: Bearer 0123456789-abcdef\r\n", 200),
        ("[::1]:80", "Authorization: Bearer 0123456789-abcdef\r\n", 200),
        // A page of the web that made its name mean this host.
        ("evil.example", "Authorization: Bearer 0123456789-abcdef\r\n", 421),
        // `any` is the user, and the first colon ends it.
        ("localhost", basic, 401),
        ("localhost", "Authorization: Basic YW55OjAxMjM0NTY3ODktYWJjZGVm\r\n", 200),
    ] {
        let answer = serving.ask_as(host, "GET", "/", headers);
        assert_eq!(answer.status, status, "{host} {headers}");
        if status != 200 {
            assert!(!text(&answer).contains("snapshots"), "{}", text(&answer));
        }
    }
    // It is shown nowhere, the file's owner knows it.
    let ended = serving.end();
    check(&ended, 0);
    assert!(!err(&ended).contains("0123456789"), "{}", err(&ended));
    desk.put("token", b"short");
    check(&desk.run(&["serve", "--token-file", "token"]), 2);
    check(&desk.run(&["serve", "--quiet"]), 2);
    let far = desk.run(&["serve", "--listen", "0.0.0.0:0"]);
    check(&far, 14);
    assert!(err(&far).contains("other hosts could reach"), "{}", err(&far));
    check(&desk.run(&["key", "add", "--role", "writer", "--new-key-file", "blind"]), 0);
    check(&desk.run(&["serve", "--key-file", "blind"]), 15);
}

#[test]
fn damage_cuts_an_answer_off_and_sends_no_zeros() {
    let desk = Desk::with_repository();
    let large = bytes_of(3, 9_000_000, 256);
    desk.put("data/large", &large);
    check(&desk.run(&["snapshot", "data", "--source", "docs"]), 0);
    damage_large_pack(&desk.path("repo/packs"));
    let serving = Serving::of(&desk, &[&format!("docs@latest:{}", desk.path("data").display())]);
    assert_eq!(serving.ask("GET", "/inner/b.txt", "").body, b"second");
    let cut = serving.ask("GET", "/large", "");
    assert!(cut.body.len() < large.len(), "{}", cut.body.len());
    assert!(large.starts_with(&cut.body), "what was sent is right");
    let end = serving.ask("GET", "/large", "Range: bytes=8900000-\r\n");
    assert!(end.body == large[8_900_000..]);
    let ended = serving.end();
    check(&ended, 0);
    assert!(err(&ended).contains("cannot read what was asked for"), "{}", err(&ended));
}
