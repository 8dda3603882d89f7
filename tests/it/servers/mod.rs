//! Servers of this machine that tests store in: `SeaweedFS` for S3, `fake-gcs-server` for Google.
//! One of each for the whole test program, started when first needed; they end with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod gcs;
pub(crate) mod http;
#[cfg(feature = "cloud")]
pub(crate) mod mail;
pub(crate) mod place;
pub(crate) mod proxy;
pub(crate) mod rclone;
pub(crate) mod weed;

use crate::servers::http::Request;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A bucket of a server or a place in it, and how a client reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// `s3://` or `gs://`, its name, and what keys begin with.
    pub(crate) url: String,
    /// The variables of the environment that a client needs.
    pub(crate) variables: Vec<(String, String)>,
}

impl Bucket {
    /// Another endpoint for the same bucket, as of a proxy.
    pub(crate) fn through(&self, port: u16) -> Self {
        let mut bucket = self.clone();
        for (name, value) in &mut bucket.variables {
            if name.contains("ENDPOINT") || name == "GOOGLE_BASE_URL" {
                *value = format!("http://127.0.0.1:{port}");
            }
        }
        bucket
    }

    /// The same bucket with another value of a variable.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut bucket = self.clone();
        bucket.variables.retain(|(own, _)| own != name);
        bucket.variables.push((name.to_owned(), value.to_owned()));
        bucket
    }

    /// A place in it.
    fn below(&self, prefix: &str) -> Self {
        Self { url: format!("{}/{prefix}", self.url), variables: self.variables.clone() }
    }
}

/// A name that no other bucket of this test program has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("bucket-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst))
}

/// The Python environment in which `tools/setup` puts the servers.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv")
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    // All at once, so that no two are the same.
    let held = [(); COUNT].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts a server that is killed when this program ends, however it does.
fn start(command: &[String]) {
    let (sender, receiver) = mpsc::channel();
    let command = command.to_vec();
    // The kernel kills it with the thread that started it: so that one must not end before.
    thread::spawn(move || {
        let started = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        sender.send(started.is_ok()).unwrap();
        if let Ok(mut child) = started {
            // It does not end by itself; what counts is that this thread does not, either.
            let _status = child.wait();
        }
    });
    assert!(receiver.recv().unwrap(), "cannot start a server");
}

/// Waits until a server answers at all.
fn wait_for(name: &str, port: u16, target: &str) {
    for _attempt in 0..START_ATTEMPTS {
        if let Ok(response) = http::send(port, &Request::new("GET", target))
            && response.status < 500
        {
            return;
        }
        thread::sleep(START_PAUSE);
    }
    unreachable!("{name} does not answer; `tools/setup` installs it");
}

const START_ATTEMPTS: u32 = 600;
const START_PAUSE: Duration = Duration::from_millis(100);
