//! Databases of a real `MariaDB` come back, and dumps of it that were cut off are refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::Desk;
use crate::cli::check;
use crate::cli::err;
use crate::cli::out;
use crate::scratch::skip;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// A server of the test's own, on a socket; it ends with the test.
struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    /// `None`, with a word why, where there is no `MariaDB`.
    fn start() -> Option<Self> {
        let program = |name: &str| {
            let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter();
            folders.map(|folder| PathBuf::from(folder).join(name)).find(|path| path.exists())
        };
        let needed = ["mariadbd", "mariadb-install-db", "mariadb-dump", "mariadb"].map(program);
        let [Some(daemon), Some(install), Some(_), Some(_)] = needed else {
            skip("there is no MariaDB: mariadbd, mariadb-install-db, mariadb-dump and mariadb");
            return None;
        };
        // The names of sockets are short.
        let folder = tempfile::Builder::new().prefix("maria").tempdir_in("/tmp").unwrap();
        let user = out(&Command::new("id").arg("-un").output().unwrap());
        let common = [
            "--no-defaults".to_owned(),
            format!("--user={}", user.trim()),
            format!("--datadir={}", folder.path().join("data").display()),
            // Small: it holds little, and its log is made anew for each test.
            "--innodb-log-file-size=8M".to_owned(),
        ];
        let mut installing = Command::new(install);
        installing
            .args(&common)
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        let made = installing.output().unwrap();
        assert!(made.status.success(), "{}{}", out(&made), err(&made));
        let mut start = Command::new(daemon);
        start.args(&common).arg(format!("--socket={}", folder.path().join("socket").display()));
        start.arg(format!("--pid-file={}", folder.path().join("pid").display()));
        start.args(["--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Self { folder, child };
        for _ in 0..600 {
            if server.client("mariadb", &["-e", "SELECT 1"]).output().unwrap().status.success() {
                return Some(server);
            }
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!("it does not answer: {}", server.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The words of a program that speaks with the server.
    fn words(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let socket = format!("--socket={}", self.folder.path().join("socket").display());
        let common = [program, "--no-defaults", &socket, "--user=root"];
        common.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let words = self.words(program, arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        let arguments = ["--default-character-set=utf8mb4", "-N", "-B", "-e", sql, database];
        let output = self.client("mariadb", &arguments).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        out(&output).trim().to_owned()
    }

    /// The words of the page's recipe for one database.
    fn dump_words(&self, database: &str) -> Vec<String> {
        let recipe = ["--single-transaction", "--routines", "--events", "--triggers"];
        self.words("mariadb-dump", &[&recipe[..], &["--skip-dump-date", database]].concat())
    }

    fn dump(&self, database: &str) -> Vec<u8> {
        let words = self.dump_words(database);
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        output.stdout
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn count(desk: &Desk) -> usize {
    desk.json(&["snapshots"], 0)["snapshots"].as_array().unwrap().len()
}

fn snapshot(desk: &Desk, words: &[String]) -> Output {
    let before = ["snapshot", "--source", "shop-db", "--stdin-name", "shop.sql", "--from-command"];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    desk.run(&[&before[..], &["--"], &words[..]].concat())
}

/// The same words, run by a shell.
fn shell_words(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    quoted.join(" ")
}

fn shell(script: &str) -> Vec<String> {
    ["bash", "-c", script].map(str::to_owned).to_vec()
}

/// Every kind of value, and what stands beside tables.
const FILL: &str = r#"CREATE TABLE kinds(
    id INT PRIMARY KEY AUTO_INCREMENT, price DECIMAL(20, 6), part DOUBLE, flag BIT(3),
    name VARCHAR(200) CHARACTER SET utf8mb4, old VARCHAR(20) CHARACTER SET latin1, body LONGTEXT,
    raw LONGBLOB, tag BINARY(4), day DATE, at DATETIME(6), stamp TIMESTAMP NULL, kind ENUM('a', 'b''c'),
    many SET('x', 'y'), doc JSON, twice INT GENERATED ALWAYS AS (id * 2) VIRTUAL, KEY(name));
INSERT INTO kinds(price, part, flag, name, old, body, raw, tag, day, at, stamp, kind, many, doc) VALUES
    (12345678901234.567891, 1e-300, b'101', 'Zoë 🦆', 'é', CONCAT('a', CHAR(13, 10), '''\\'), @raw, 'x',
     '2026-02-28', '2026-02-28 23:59:59.123456', '2026-03-01 00:00:00', 'b''c', 'x,y', '{"a": [1, null]}'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (0, -0.5, b'0', '', '', '-- Dump completed', '', '', '0001-01-01', NULL, NULL, 'a', '', '[]');
CREATE TABLE child(id INT, kind INT, FOREIGN KEY (kind) REFERENCES kinds(id)) COMMENT 'it''s; -- one';
INSERT INTO child VALUES (1, 1), (2, 2);
CREATE TABLE empty(x INT);
CREATE VIEW names AS SELECT id, name FROM kinds;
CREATE TRIGGER before_child BEFORE INSERT ON child FOR EACH ROW SET NEW.id = NEW.id + 100;
CREATE PROCEDURE count_kinds() SELECT COUNT(*) FROM kinds;
CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM empty"#;

#[test]
fn databases_come_back_statement_by_statement() {
    let Some(server) = Server::start() else { return };
    let desk = Desk::with_repository();
    server.sql("mysql", "CREATE DATABASE shop CHARACTER SET utf8mb4");
    let every_byte = {
        let pairs: Vec<_> = (0..=255_u8).map(|byte| format!("{byte:02x}")).collect();
        pairs.concat()
    };
    server.sql("shop", &format!("SET @raw = x'{every_byte}'; {FILL}"));
    check(&snapshot(&desk, &server.dump_words("shop")), 0);
    server.sql("mysql", "CREATE DATABASE shop_restored CHARACTER SET utf8mb4");
    let client = server.words("mariadb", &["shop_restored"]);
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let restore = ["restore", "shop-db@latest:/shop.sql", "--to-command", "--"];
    check(&desk.run(&[&restore[..], &client].concat()), 0);
    let stored = desk.run(&["dump", "latest:/shop.sql"]).stdout;
    // Comments of the dump, and nothing else, have the database's name.
    let letters = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let again = letters(&server.dump("shop_restored")).replace("shop_restored", "shop");
    assert!(again == letters(&stored), "the database came back otherwise");
    assert_eq!(server.sql("shop_restored", "SELECT HEX(raw) FROM kinds WHERE id = 1"), {
        every_byte.to_uppercase()
    });
    assert_eq!(server.sql("shop_restored", "SELECT name FROM kinds WHERE id = 1"), "Zoë 🦆");
    let rest = server.sql("shop_restored", "SELECT one(); CALL count_kinds(); SHOW EVENTS");
    assert!(rest.starts_with("1\n3\n") && rest.contains("nightly"), "{rest}");
    // The same data is the same dump, without its date.
    let report = snapshot(&desk, &server.dump_words("shop"));
    check(&report, 0);
    assert_eq!(desk.run(&["dump", "latest:/shop.sql"]).stdout, stored);
}

#[test]
fn a_dump_that_was_cut_off_or_whose_server_goes_away_is_no_snapshot() {
    let Some(mut server) = Server::start() else { return };
    let desk = Desk::with_repository();
    server.sql("mysql", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE a(x INT); INSERT INTO a VALUES (1), (2)");
    let rows = "CREATE TABLE large AS SELECT seq, REPEAT(MD5(seq), 5) AS x FROM seq_1_to_50000";
    server.sql("shop", rows);
    let words = server.dump_words("shop");
    let dump = shell_words(&words);
    let whole = server.dump("shop");
    let text = String::from_utf8_lossy(&whole);
    let at = |needle: &str| text.find(needle).unwrap();
    let trailer = at("-- Dump completed");
    let cuts = [
        at("INSERT INTO `a`"),
        at("(2)"),
        at("INSERT INTO `large`") + 100_000,
        text.rfind("UNLOCK TABLES").unwrap(),
        trailer,
        trailer + 10,
    ];
    for cut in cuts {
        let output = snapshot(&desk, &shell(&format!("{dump} | head -c {cut}")));
        check(&output, 4);
        assert!(err(&output).contains("-- Dump completed"), "{cut}: {}", err(&output));
    }
    // A program that is killed where nobody sees its status, and where somebody does.
    let process = desk.path("process").display().to_string();
    let killed = format!(
        "bash -c 'echo $$ > \"{process}\"; exec \"$@\"' - {dump} | (head -c 100000; kill -9 $(cat '{process}'); cat)"
    );
    let output = snapshot(&desk, &shell(&killed));
    check(&output, 4);
    assert!(err(&output).contains("is a dump that was cut off"), "{}", err(&output));
    check(&snapshot(&desk, &shell(&format!("set -o pipefail; {killed}"))), 4);
    assert_eq!(count(&desk), 0);
    check(&snapshot(&desk, &shell(&format!("{dump} | head -c {}", trailer + 17))), 0);
    // The pipe is full until the server is gone.
    let gone = format!("{dump} | (head -c 100000; kill -9 {}; cat)", server.child.id());
    let output = snapshot(&desk, &shell(&format!("set -o pipefail; {gone}")));
    check(&output, 4);
    assert!(err(&output).contains("bash, for shop.sql: it exited with code"), "{}", err(&output));
    assert!(!server.child.wait().unwrap().success());
    check(&snapshot(&desk, &words), 4);
    assert_eq!(count(&desk), 1);
}
