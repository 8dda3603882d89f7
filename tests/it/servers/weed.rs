//! `SeaweedFS`: an S3 server that honours conditional writes, versions and object lock.

use crate::servers::Bucket;
use crate::servers::environment;
use crate::servers::free_ports;
use crate::servers::fresh_name;
use crate::servers::start;
use crate::servers::wait_for;
use sbf_repo::testing::signed_s3;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A user of the server: its access key and secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User(pub(crate) &'static str, pub(crate) &'static str);

pub(crate) const ADMIN: User = User("admin-key", "admin-secret");
/// Reads and lists only.
pub(crate) const READER: User = User("reader-key", "reader-secret");

struct Server {
    port: u16,
    _folder: TempDir,
}

/// An empty place in the one bucket that most tests share: making buckets takes seconds.
pub(crate) fn bucket() -> Bucket {
    static SHARED: OnceLock<Bucket> = OnceLock::new();
    SHARED.get_or_init(|| bucket_with(&[])).below(&fresh_name())
}

/// An empty bucket, made with these headers.
pub(crate) fn bucket_with(headers: &[(&str, &str)]) -> Bucket {
    let name = fresh_name();
    let bucket = named(&name, ADMIN);
    let made = signed_s3(&bucket.variables, "PUT", &format!("/{name}"), headers, b"").unwrap();
    assert_eq!(made.0, 200, "{}", String::from_utf8_lossy(&made.1));
    bucket
}

/// A bucket by its name, as a user sees it.
pub(crate) fn named(name: &str, user: User) -> Bucket {
    let variables = [
        ("AWS_ACCESS_KEY_ID", user.0.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", user.1.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", port())),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Bucket { url: format!("s3://{name}"), variables }
}

/// The port of the S3 server.
pub(crate) fn port() -> u16 {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start_server).port
}

#[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
fn start_server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let users = format!(
        r#"{{"identities":[
        {{"name":"admin","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Admin"]}},
        {{"name":"reader","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Read","List"]}}]}}"#,
        ADMIN.0, ADMIN.1, READER.0, READER.1,
    );
    std::fs::write(folder.path().join("users.json"), users).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let ports: [u16; 8] = free_ports();
    let [master, master_rpc, volume, volume_rpc, filer, filer_rpc, s3, s3_rpc] = ports;
    let program = environment().join("bin/weed");
    let mut command =
        vec![program.display().to_string(), format!("-logdir={path}"), "server".to_owned()];
    command.extend([
        format!("-dir={path}/data"),
        "-ip=127.0.0.1".to_owned(),
        "-ip.bind=127.0.0.1".to_owned(),
        format!("-master.port={master}"),
        format!("-master.port.grpc={master_rpc}"),
        "-master.telemetry=false".to_owned(),
        // Each bucket has volumes of its own.
        "-master.volumeSizeLimitMB=64".to_owned(),
        "-volume.max=0".to_owned(),
        format!("-volume.port={volume}"),
        format!("-volume.port.grpc={volume_rpc}"),
        "-filer".to_owned(),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={filer_rpc}"),
        format!("-filer.localSocket={path}/filer.socket"),
        "-s3".to_owned(),
        format!("-s3.port={s3}"),
        format!("-s3.port.grpc={s3_rpc}"),
        "-s3.port.iceberg=0".to_owned(),
        "-s3.port.lance=0".to_owned(),
        format!("-s3.config={path}/users.json"),
    ]);
    start(&command);
    wait_for("SeaweedFS", s3, "/");
    Server { port: s3, _folder: folder }
}
