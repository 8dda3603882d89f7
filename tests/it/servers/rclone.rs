//! `rclone serve s3`: a server that lets every writer win, whatever the condition.

use crate::servers::Bucket;
use crate::servers::environment;
use crate::servers::free_ports;
use crate::servers::fresh_name;
use crate::servers::start;
use crate::servers::wait_for;
use sbf_repo::testing::signed_s3;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

struct Server {
    port: u16,
    _folder: TempDir,
}

/// An empty bucket.
pub(crate) fn bucket() -> Bucket {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(start_server);
    let name = fresh_name();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", server.port)),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let made = signed_s3(&variables, "PUT", &format!("/{name}"), &[], b"").unwrap();
    assert_eq!(made.0, 200, "{}", String::from_utf8_lossy(&made.1));
    Bucket { url: format!("s3://{name}"), variables }
}

fn start_server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    start(&[
        program().display().to_string(),
        "serve".to_owned(),
        "s3".to_owned(),
        "--config=".to_owned(),
        "--vfs-cache-mode=off".to_owned(),
        format!("--addr=127.0.0.1:{port}"),
        "--auth-key=key,secret".to_owned(),
        folder.path().display().to_string(),
    ]);
    wait_for("rclone", port, "/");
    Server { port, _folder: folder }
}

/// The program.
pub(crate) fn program() -> PathBuf {
    environment().join("bin/rclone")
}
