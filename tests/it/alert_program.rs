//! Notifications as the program sends them, to servers of this machine: what arrives, what waits, who is told next.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::servers::http::Request;
use crate::servers::http::Response;
use crate::servers::http::Sending;
use crate::servers::http::serve;
use crate::servers::mail::mail_sink;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::fs;
use std::fs::Permissions;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

type Seen = Arc<Mutex<Vec<Request>>>;

/// A server that notes what it gets and answers so, request by request; the last answer stays.
fn receiver(answers: &[(u16, &str)]) -> (u16, Seen) {
    let seen = Seen::default();
    let (theirs, answers) = (Arc::clone(&seen), own(answers));
    let port = serve(move |request| {
        let mut seen = theirs.lock().unwrap();
        let at = seen.len().min(answers.len() - 1);
        seen.push(request);
        let (status, body) = answers[at].clone();
        let location = format!("http://127.0.0.1:1/{body}");
        (Response::new(status, body).with("Location", &location), Sending::Whole)
    });
    (port.unwrap(), seen)
}

fn own(answers: &[(u16, &str)]) -> Vec<(u16, String)> {
    answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect()
}

fn bodies(seen: &Seen) -> Vec<Value> {
    let seen = seen.lock().unwrap();
    seen.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

fn events(seen: &Seen) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    bodies(seen).iter().map(|body| (text(&body["event"]), text(&body["subject"]))).collect()
}

fn configure(desk: &Desk, text: &str) {
    desk.put("config.toml", text.as_bytes());
    fs::set_permissions(desk.path("config.toml"), Permissions::from_mode(0o644)).unwrap();
}

fn webhook(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[notify.channel]]\nname = '{name}'\nkind = 'webhook'\nurl = 'http://127.0.0.1:{port}/hooks/s3cretpath'\n{more}\n"
    )
}

fn command(desk: &Desk, arguments: &[&str]) -> Command {
    let mut command = desk.command(&[&["--config", "config.toml", "alert"], arguments].concat());
    command.env_remove("SBF_REPO_REPOSITORY").env_remove("SBF_REPO_KEY_FILE");
    command
}

fn alert(desk: &Desk, arguments: &[&str]) -> Output {
    command(desk, arguments).output().unwrap()
}

fn json(desk: &Desk, arguments: &[&str], exit: i32) -> Value {
    let output = alert(desk, &[arguments, &["--json"]].concat());
    check(&output, exit);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A port at which nobody listens.
fn dead_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn failures_are_told_once_and_recovery_only_after_them() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "")]);
    configure(&desk, &webhook("hook", port, ""));
    let tell = |event: &str| check(&alert(&desk, &["tell", event, "db"]), 0);
    tell("recovered");
    tell("succeeded");
    assert_eq!(events(&seen), [], "nothing was wrong");
    tell("failure");
    tell("failure");
    let open = json(&desk, &["list"], 0);
    assert_eq!(
        (&open["alerts"][0]["subject"], &open["alerts"][0]["count"]),
        (&"db".into(), &2.into())
    );
    tell("started");
    tell("succeeded");
    tell("succeeded");
    let pair = |event: &str| (event.to_owned(), "db".to_owned());
    assert_eq!(events(&seen), [pair("failure"), pair("recovered")]);
    assert!(bodies(&seen)[1]["text"].as_str().unwrap().contains("2 times"));
    assert_eq!(json(&desk, &["list"], 0)["alerts"], Value::Array(Vec::new()));
}

#[test]
fn what_is_not_asked_for_is_not_told_but_open() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "")]);
    let hook = webhook("hook", port, "subjects = ['db']");
    configure(&desk, &format!("[notify]\non = ['missed']\n{hook}"));
    for (event, subject) in
        [("failure", "db"), ("monthly", "db"), ("missed", "files"), ("missed", "db")]
    {
        check(&alert(&desk, &["tell", event, subject]), 0);
    }
    assert_eq!(events(&seen), [("missed".to_owned(), "db".to_owned())]);
    assert_eq!(json(&desk, &["list"], 0)["alerts"].as_array().unwrap().len(), 2);
}

#[test]
fn an_answer_of_500_is_tried_again_and_one_of_404_is_not() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(500, "busy"), (200, "")]);
    configure(&desk, &webhook("hook", port, ""));
    let told = json(&desk, &["tell", "failure", "db"], 0);
    assert_eq!(told["notifications"][0]["outcome"], "delivered");
    assert_eq!(seen.lock().unwrap().len(), 2);
    let (port, seen) = receiver(&[(404, "no hook s3cretpath here")]);
    configure(&desk, &webhook("hook", port, ""));
    let told = alert(&desk, &["tell", "failure", "files"]);
    check(&told, 0);
    assert_eq!(seen.lock().unwrap().len(), 1);
    let said = err(&told);
    assert!(said.contains("404") && said.contains("no hook … here"), "{said}");
    assert!(!said.contains("s3cretpath"), "{said}");
}

#[test]
fn a_dead_port_lets_messages_wait_until_a_tick_delivers_them_in_order() {
    let desk = Desk::without_repository();
    configure(&desk, &webhook("hook", dead_port(), ""));
    for subject in ["db", "files"] {
        let told = alert(&desk, &["tell", "failure", subject]);
        check(&told, 0);
        let said = err(&told);
        assert!(said.contains("which waits") && !said.contains("s3cretpath"), "{said}");
    }
    let list = alert(&desk, &["list"]);
    assert!(err(&list).contains("2 notifications for `hook` wait since"), "{}", err(&list));
    check(&alert(&desk, &["tick"]), 1);
    let (port, seen) = receiver(&[(200, "")]);
    configure(&desk, &webhook("hook", port, ""));
    check(&alert(&desk, &["tick"]), 0);
    let failure = |subject: &str| ("failure".to_owned(), subject.to_owned());
    assert_eq!(events(&seen), [failure("db"), failure("files")]);
    let quiet = alert(&desk, &["tick"]);
    check(&quiet, 0);
    assert_eq!(out(&quiet) + &err(&quiet), "");
    assert_eq!(json(&desk, &["list"], 0)["waiting"], Value::Null);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let desk = Desk::without_repository();
    // Whoever connects is accepted by the kernel and hears nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    configure(&desk, &webhook("hook", port, "timeout = '1s'"));
    let tested = alert(&desk, &["test"]);
    check(&tested, 1);
    assert!(
        out(&tested).contains("hook: failed") && out(&tested).contains("timed out"),
        "{}",
        out(&tested)
    );
    drop(silent);
}

#[test]
fn redirects_are_not_followed() {
    let desk = Desk::without_repository();
    let (target, reached) = receiver(&[(200, "")]);
    let port = serve(move |_request| {
        let location = format!("http://127.0.0.1:{target}/elsewhere");
        (Response::new(307, "").with("Location", &location), Sending::Whole)
    });
    desk.put("token", b"Bearer t0p-secret\n");
    fs::set_permissions(desk.path("token"), Permissions::from_mode(0o600)).unwrap();
    configure(&desk, &webhook("hook", port.unwrap(), "authorization = { file = 'token' }"));
    let tested = alert(&desk, &["test"]);
    check(&tested, 1);
    assert!(out(&tested).contains("redirects"), "{}", out(&tested));
    assert_eq!(reached.lock().unwrap().len(), 0);
}

#[test]
fn secrets_of_channels_come_from_where_the_file_says() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "")]);
    let url = format!("http://127.0.0.1:{port}/hidden");
    configure(
        &desk,
        &format!(
            "[[notify.channel]]\nname = 'a'\nkind = 'webhook'\nurl = {{ command = ['echo', '{url}'] }}\n\
             headers = ['X-Team: backup']\nauthorization = {{ environment = 'TOKEN' }}\n"
        ),
    );
    let missing = alert(&desk, &["test"]);
    check(&missing, 1);
    assert!(out(&missing).contains("TOKEN is not set"), "{}", out(&missing));
    check(&command(&desk, &["test"]).env("TOKEN", "Bearer abc").output().unwrap(), 0);
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].header("authorization"), Some("Bearer abc"));
    assert_eq!((seen[0].header("x-team"), seen[0].path()), (Some("backup"), "/hidden"));
}

#[test]
fn levels_are_told_until_somebody_acknowledges() {
    let desk = Desk::without_repository();
    let [(one, first), (two, second)] = [receiver(&[(200, "")]), receiver(&[(200, "")])];
    let text = [webhook("one", one, ""), webhook("two", two, "level = 2")].concat();
    configure(&desk, &format!("{text}[notify.escalation]\nafter = ['1s']\n"));
    for subject in ["db", "files"] {
        check(&alert(&desk, &["tell", "failure", subject]), 0);
    }
    check(&alert(&desk, &["ack", "files", "--note", "mine"]), 0);
    check(&alert(&desk, &["ack", "nothing"]), 2);
    thread::sleep(Duration::from_millis(2_100));
    check(&alert(&desk, &["tick"]), 0);
    check(&alert(&desk, &["tick"]), 0);
    assert_eq!(events(&second), [("failure".to_owned(), "db".to_owned())]);
    let told = bodies(&second).remove(0);
    assert_eq!(told["level"], 2);
    assert!(told["title"].as_str().unwrap().starts_with("nobody acknowledged"), "{told}");
    check(&alert(&desk, &["ack", "--all"]), 0);
    let list = json(&desk, &["list"], 0);
    assert_eq!(list["alerts"][1]["acknowledged"]["note"], Value::Null);
    // Whoever was told of the failure is told of its end.
    check(&alert(&desk, &["tell", "succeeded", "db"]), 0);
    assert_eq!(events(&second).last().unwrap().0, "recovered");
    assert_eq!(events(&first).len(), 3);
}

#[test]
fn a_command_gets_the_event_and_none_of_our_secrets() {
    let desk = Desk::without_repository();
    let script = "cat > event.json; env > variables";
    configure(
        &desk,
        &format!(
            "[repository]\nurl = 'store'\npassword = {{ environment = 'OWN_WORD' }}\n\
             [[notify.channel]]\nname = 'run'\nkind = 'command'\ncommand = ['sh', '-c', '{script}']\n"
        ),
    );
    let mut told = command(
        &desk,
        &["tell", "failure", "db", "--text", "a \"quoted\"\nline", "--exit-code", "4"],
    );
    told.env("SBF_REPO_PASSWORD", "hunter2").env("OWN_WORD", "hunter3");
    check(&told.output().unwrap(), 0);
    let event: Value = serde_json::from_slice(&fs::read(desk.path("event.json")).unwrap()).unwrap();
    assert_eq!((&event["event"], &event["exit_code"]), (&"failure".into(), &4.into()));
    assert_eq!(event["text"], "a \"quoted\"\nline");
    let variables = fs::read_to_string(desk.path("variables")).unwrap();
    assert!(variables.contains("SBF_REPO_EVENT_SUBJECT=db\n"), "{variables}");
    assert!(!variables.contains("hunter"), "{variables}");
}

#[test]
fn a_command_that_fails_or_takes_too_long_is_told() {
    let desk = Desk::without_repository();
    let channel = |name: &str, script: &str| {
        format!(
            "[[notify.channel]]\nname = '{name}'\nkind = 'command'\ntimeout = '1s'\ncommand = ['sh', '-c', '{script}']\n"
        )
    };
    configure(
        &desk,
        &[channel("bad", "echo no pager >&2; exit 3"), channel("slow", "sleep 60")].concat(),
    );
    let tested = alert(&desk, &["test"]);
    check(&tested, 1);
    let said = out(&tested);
    assert!(said.contains("bad: failed: it exited with code 3: no pager"), "{said}");
    assert!(said.contains("slow: failed: it took too long"), "{said}");
    let one = alert(&desk, &["test", "--channel", "bad"]);
    assert!(!out(&one).contains("slow"), "{}", out(&one));
    check(&alert(&desk, &["test", "--channel", "other"]), 2);
}

#[test]
fn pings_follow_a_run_and_a_newer_one_replaces_what_waits() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "OK")]);
    let ping = |port: u16| {
        format!(
            "[[notify.channel]]\nname = 'p'\nkind = 'ping'\nurl = 'http://127.0.0.1:{port}/key/{{subject}}'\n[[notify.channel]]\nname = 'c'\nkind = 'command'\ncommand = ['true']\n"
        )
    };
    let run = "0123456789abcdef0123456789abcdef";
    let tell = |words: &[&str]| check(&alert(&desk, &[&["tell"], words].concat()), 0);
    configure(&desk, &ping(dead_port()));
    tell(&["succeeded", "App DB"]);
    tell(&["started", "App DB"]);
    tell(&["failure", "App DB", "--exit-code", "3"]);
    assert_eq!(json(&desk, &["list"], 0)["waiting"]["count"], 1);
    configure(&desk, &ping(port));
    check(&alert(&desk, &["tick"]), 0);
    tell(&["started", "App DB", "--run", run]);
    tell(&["succeeded", "App DB", "--text", "all is well"]);
    let seen = seen.lock().unwrap();
    let targets: Vec<&str> = seen.iter().map(|request| request.target.as_str()).collect();
    let rid = "/key/app-db/start?rid=01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(targets, ["/key/app-db/3", rid, "/key/app-db"]);
    assert!(String::from_utf8_lossy(&seen[2].body).contains("all is well"));
}

#[test]
fn mail_arrives_whole_with_hostile_text() {
    let desk = Desk::without_repository();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = thread::spawn(move || mail_sink(&listener));
    configure(
        &desk,
        &format!(
            "[[notify.channel]]\nname = 'mail'\nkind = 'smtp'\nhost = '127.0.0.1'\nport = {port}\nsecurity = 'none'\n\
             from = 'Backup <backup@example.org>'\nto = ['admin@example.org', 'Öne <two@example.org>']\n"
        ),
    );
    let told = alert(
        &desk,
        &[
            "tell",
            "failure",
            "db",
            "--title",
            "bad\r\nBcc: evil@example.org",
            "--text",
            "one\n.\nthree",
        ],
    );
    check(&told, 0);
    assert_eq!(err(&told), "");
    let (recipients, text) = sink.join().unwrap();
    assert_eq!(recipients, ["RCPT TO:<admin@example.org>", "RCPT TO:<two@example.org>"]);
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(head.contains("Message-ID: <") && head.contains("Date: "), "{head}");
    let body = String::from_utf8(BASE64.decode(body.replace('\n', "")).unwrap()).unwrap();
    assert!(
        body.contains("one\r\n.\r\nthree") && body.contains("three") && body.contains("host: "),
        "{body}"
    );
}

#[test]
fn a_server_without_starttls_gets_no_mail() {
    let desk = Desk::without_repository();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = thread::spawn(move || mail_sink(&listener));
    desk.put("word", b"t0p-secret");
    fs::set_permissions(desk.path("word"), Permissions::from_mode(0o600)).unwrap();
    configure(
        &desk,
        &format!(
            "[[notify.channel]]\nname = 'mail'\nkind = 'smtp'\nhost = '127.0.0.1'\nport = {port}\nsecurity = 'starttls'\n\
             from = 'a@example.org'\nto = ['b@example.org']\nuser = 'u'\npassword = {{ file = 'word' }}\n"
        ),
    );
    let tested = alert(&desk, &["test"]);
    check(&tested, 1);
    assert!(!out(&tested).contains("t0p-secret"), "{}", out(&tested));
    let (recipients, text) = sink.join().unwrap();
    assert_eq!((recipients, text), (Vec::<String>::new(), String::new()));
}

#[test]
fn a_certificate_that_nobody_trusts_is_refused() {
    let desk = Desk::without_repository();
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(desk.path(""))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-keyout", "tls.key", "-out", "tls.pem", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    assert!(openssl.output().unwrap().status.success());
    let port = tls_server(&desk);
    configure(&desk, &webhook("hook", port, "").replace("http://127.0.0.1", "https://localhost"));
    let tested = alert(&desk, &["test"]);
    check(&tested, 1);
    assert!(out(&tested).to_lowercase().contains("certificate"), "{}", out(&tested));
    // The same certificate, once the machine trusts it.
    let mut trusting = command(&desk, &["test"]);
    check(&trusting.env("SSL_CERT_FILE", desk.path("tls.pem")).output().unwrap(), 0);
}

/// Answers 200 to whoever gets through the handshake.
fn tls_server(desk: &Desk) -> u16 {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificate = CertificateDer::from_pem_file(desk.path("tls.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(desk.path("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut some = [0; 8_192];
            // Head and body come in one or two records; the answer does not depend on them.
            if stream.read(&mut some).is_ok() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
            }
        }
    });
    port
}

#[test]
fn a_damaged_list_of_alerts_is_told_and_hinders_nothing() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "")]);
    configure(&desk, &webhook("hook", port, ""));
    check(&alert(&desk, &["tell", "failure", "db"]), 0);
    desk.put("state/notify/alerts.json", b"{\"version\":");
    let told = alert(&desk, &["tell", "failure", "db"]);
    check(&told, 0);
    assert!(err(&told).contains("alerts.damaged"), "{}", err(&told));
    assert_eq!(events(&seen).len(), 2, "what was open is not known, so that it is told");
}

#[test]
fn without_a_place_to_remember_messages_are_sent_all_the_same() {
    let desk = Desk::without_repository();
    let (port, seen) = receiver(&[(200, "")]);
    configure(&desk, &webhook("hook", port, ""));
    desk.put("blocked", b"a file where a directory should be");
    let mut told = command(&desk, &["tell", "failure", "db"]);
    let told = told.env("SBF_REPO_STATE_DIR", desk.path("blocked")).output().unwrap();
    check(&told, 0);
    assert!(err(&told).contains("cannot keep alerts"), "{}", err(&told));
    assert_eq!(events(&seen).len(), 1);
}
