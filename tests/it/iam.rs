//! The policies of `docs/iam`: each role's commands run before a server that refuses whatever the
//! role's policy does not permit.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::servers::http::Request;
use crate::servers::http::Response;
use crate::servers::http::Sending;
use crate::servers::proxy;
use crate::servers::weed;
use crate::support::bytes_of;
use sbf_repo::testing::signed_s3;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;
use tempfile::TempDir;

const ROLES: [&str; 4] = ["admin", "writer", "reader", "pruner"];

/// A policy of AWS, as far as those here go.
struct Policy {
    statements: Vec<Statement>,
}

struct Statement {
    actions: Vec<String>,
    /// With one star for anything at all.
    resources: Vec<String>,
    /// Whether only writes count that cannot replace anything.
    creates_only: bool,
}

impl Policy {
    fn of(role: &str) -> Self {
        let json: Value = serde_json::from_str(&text_of(&format!("s3/{role}.json"))).unwrap();
        let texts = |value: &Value| {
            let texts = value.as_array().unwrap().iter();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let statements = json["Statement"].as_array().unwrap().iter().map(|statement| {
            assert_eq!(statement["Effect"], "Allow");
            let condition = &statement["Condition"];
            let creates_only = condition["Null"]["s3:if-none-match"] == "false";
            assert!(creates_only || condition.is_null(), "{condition}");
            let (actions, resources) = (texts(&statement["Action"]), texts(&statement["Resource"]));
            Statement { actions, resources, creates_only }
        });
        Self { statements: statements.collect() }
    }

    /// Whether it permits a request; what is named `CLIENT` is `client`.
    fn permits(&self, request: &Request, bucket: &str, prefix: &str, client: &str) -> bool {
        let target = request.path().trim_start_matches('/');
        let is_of_bucket = !target.contains('/') || target.ends_with('/');
        let query = request.target.split_once('?').map_or("", |(_path, query)| query);
        let action = match (request.method.as_str(), is_of_bucket) {
            ("GET", false) if query.contains("retention") => "s3:GetObjectRetention",
            ("PUT", false) if query.contains("retention") => "s3:PutObjectRetention",
            ("GET" | "HEAD", false) if query.contains("versionId") => "s3:GetObjectVersion",
            ("GET" | "HEAD", false) => "s3:GetObject",
            ("PUT", false) => "s3:PutObject",
            ("DELETE", false) => "s3:DeleteObject",
            // STS says to everybody who they are.
            ("POST", true) if target.is_empty() => return true,
            ("GET", true) if request.target.contains("versioning") => "s3:GetBucketVersioning",
            ("GET", true) if request.target.contains("object-lock") => {
                "s3:GetBucketObjectLockConfiguration"
            }
            ("GET", true) if query.contains("lifecycle") => "s3:GetLifecycleConfiguration",
            ("GET", true) if query.contains("versions") => "s3:ListBucketVersions",
            ("GET", true) => "s3:ListBucket",
            (_, _) => return false,
        };
        let resource = format!("arn:aws:s3:::{}", target.trim_end_matches('/'));
        let is_create = request.header("if-none-match") == Some("*");
        let mut actions = vec![action];
        if request.header("x-amz-object-lock-mode").is_some() {
            actions.push("s3:PutObjectRetention");
        }
        actions
            .iter()
            .all(|action| self.allows(action, &resource, is_create, [bucket, prefix, client]))
    }

    fn allows(
        &self,
        action: &str,
        resource: &str,
        is_create: bool,
        [bucket, prefix, client]: [&str; 3],
    ) -> bool {
        self.statements.iter().any(|statement| {
            let named = |pattern: &str| {
                let pattern = pattern.replace("BUCKET", bucket).replace("PREFIX", prefix);
                matches(&pattern.replace("CLIENT", client), resource)
            };
            statement.actions.iter().any(|own| own == action)
                && statement.resources.iter().any(|pattern| named(pattern))
                && (is_create || !statement.creates_only)
        })
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    (0..=text.len()).any(|cut| text.get(cut..).is_some_and(|text| matches(rest, text)))
}

fn text_of(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/iam");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A repository whose hosts each have a key and rights of their role.
struct Site {
    folder: TempDir,
    bucket: String,
    prefix: String,
    /// What was refused, of all roles.
    refused: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new() -> Self {
        let url = weed::bucket().url;
        let place = url.strip_prefix("s3://").unwrap();
        let (bucket, prefix) = place.split_once('/').unwrap();
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        let folder = tempfile::tempdir().unwrap();
        let site = Self { folder, bucket, prefix, refused: Arc::default() };
        site.put("data", &bytes_of(1, 300_000, 256));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// A server that enforces the policy of a role; returns its port.
    fn enforce(&self, role: &str, client: &str) -> u16 {
        let policy = Policy::of(role);
        let (bucket, prefix) = (self.bucket.clone(), self.prefix.clone());
        let (client, refused) = (client.to_owned(), Arc::clone(&self.refused));
        proxy::start(weed::port(), move |request, upstream| {
            if policy.permits(request, &bucket, &prefix, &client) {
                return (upstream(request), Sending::Whole);
            }
            refused.lock().unwrap().push(format!("{} {}", request.method, request.target));
            refusal()
        })
    }

    /// Runs a command with the key of a role and its rights behind a port.
    fn run(&self, role: &str, port: u16, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin");
        let url = format!("s3://{}/{}", self.bucket, self.prefix);
        command.env("SBF_REPO_REPOSITORY", url).env("SBF_REPO_KEY_FILE", format!("{role}.key"));
        command.env("SBF_REPO_CACHE_DIR", format!("cache-{role}"));
        command.env("SBF_REPO_STATE_DIR", format!("state-{role}"));
        command.envs(variables(port));
        command.output().unwrap()
    }

    /// Runs commands that must succeed and be permitted.
    #[track_caller]
    fn permits(&self, role: &str, port: u16, commands: &[&[&str]]) {
        for arguments in commands {
            let output = self.run(role, port, arguments);
            let refused = std::mem::take(&mut *self.refused.lock().unwrap());
            assert!(refused.is_empty(), "{role}: {arguments:?}: {refused:?}: {}", err(&output));
            check(&output, 0);
        }
    }

    /// The client of a role's key, as the documents say how to find it.
    fn client(&self, role: &str, port: u16) -> String {
        let output = self.run(role, port, &["doctor", "--json"]);
        check(&output, 0);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["doctor"]["client"].as_str().unwrap().to_owned()
    }
}

fn variables(port: u16) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", weed::ADMIN.0.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", weed::ADMIN.1.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn refusal() -> (Response, Sending) {
    proxy::refusal(403, "AccessDenied")
}

#[test]
fn every_role_can_do_its_work_with_the_rights_of_its_policy() {
    let site = Site::new();
    let admin = site.enforce("admin", "");
    let first = ["init", "--key-file", "admin.key"];
    site.permits("admin", admin, &[&first]);
    for role in ["writer", "reader", "pruner", "auditor"] {
        let file = format!("{role}.key");
        site.permits("admin", admin, &[&["key", "add", "--role", role, "--new-key-file", &file]]);
    }
    let writer = site.enforce("writer", &site.client("writer", admin));
    let pruner = site.enforce("pruner", &site.client("pruner", admin));
    let reader = site.enforce("reader", &site.client("reader", admin));
    site.permits(
        "writer",
        writer,
        &[&["snapshot", "data"], &["snapshot", "data"], &["hold", "latest", "--reason", "x"]],
    );
    site.permits("admin", admin, &[&["release", "latest"]]);
    site.put("data", &bytes_of(2, 300_000, 256));
    site.permits("writer", writer, &[&["snapshot", "data"], &["snapshots"], &["session", "list"]]);
    let restore = ["restore", "latest", "--target", "back"];
    site.permits("reader", reader, &[&restore, &["check", "--read-data"], &["ls", "latest"]]);
    site.permits("auditor", reader, &[&["snapshots"]]);
    // Copied out of the bucket by a reader, and into it by a writer.
    let local = ["--repo", "local", "--key-file", "local.key"];
    site.permits("admin", admin, &[&[&local[..], &["init"]].concat()]);
    let copy = ["copy", "--to", "local", "--to-key-file", "local.key"];
    site.permits("reader", reader, &[&copy, &copy]);
    let url = format!("s3://{}/{}", site.bucket, site.prefix);
    let into = [&local[..], &["copy", "--to", &url, "--to-key-file", "writer.key"]].concat();
    for seed in [3, 4] {
        site.put("data", &bytes_of(seed, 300_000, 256));
        let snapshot = [&local[..], &["snapshot", "data", "--source", "local"]].concat();
        site.permits("writer", writer, &[&snapshot, &into, &into]);
    }
    // What the first snapshot alone has goes.
    site.permits("admin", admin, &[&["key", "list"], &["doctor"]]);
    let forget = ["forget", "--keep-last", "1", "--accept-policy", "--force"];
    site.permits(
        "pruner",
        pruner,
        &[&forget, &["prune"], &["forget", "latest", "--force"], &["prune"], &["prune"]],
    );
    site.permits("writer", writer, &[&["snapshot", "data"]]);
    site.permits("reader", reader, &[&["check", "--read-data"]]);
}

#[test]
fn what_a_role_may_not_do_is_refused_and_named() {
    let site = Site::new();
    let admin = site.enforce("admin", "");
    site.permits("admin", admin, &[&["init"], &["snapshot", "data"]]);
    let client = site.client("admin", admin);
    for (role, arguments) in
        [("reader", &["snapshot", "data"][..]), ("writer", &["doctor"]), ("pruner", &["doctor"])]
    {
        let failed = site.run("admin", site.enforce(role, &client), arguments);
        let said = err(&failed);
        assert!(said.contains("the credentials lack the right"), "{role}: {said}");
        check(&failed, 13);
        assert!(!std::mem::take(&mut *site.refused.lock().unwrap()).is_empty());
    }
    // Nor by hand: nobody replaces, a writer deletes nothing and writes in no other's folder.
    let root = format!("/{}/{}", site.bucket, site.prefix);
    let condition = ("if-none-match", "*");
    for (role, method, key, headers) in [
        ("admin", "PUT", "config".to_owned(), &[][..]),
        ("writer", "PUT", format!("packs/{client}/x"), &[]),
        ("writer", "PUT", "packs/other/x".to_owned(), &[condition]),
        ("writer", "PUT", "gc/000000000001/plan".to_owned(), &[condition]),
        ("writer", "DELETE", format!("packs/{client}/x"), &[]),
        ("writer", "GET", "packs/other/x".to_owned(), &[]),
        ("reader", "DELETE", "config".to_owned(), &[]),
        ("pruner", "DELETE", "config".to_owned(), &[]),
        ("pruner", "DELETE", "keys/x".to_owned(), &[]),
    ] {
        let variables = variables(site.enforce(role, &client));
        let target = format!("{root}/{key}");
        let answer = signed_s3(&variables, method, &target, headers, b"x").unwrap();
        assert_eq!(answer.0, 403, "{role} {method} {key}");
    }
}

#[test]
fn the_conditions_for_google_say_the_same() {
    for role in ROLES {
        let text = text_of(&format!("gcs/{role}.txt"));
        let of = |title: &str| -> BTreeSet<String> {
            let Some((_, rest)) = text.split_once(&format!("title: {title}\n")) else {
                return BTreeSet::new();
            };
            let line = rest.lines().next().unwrap();
            let parts =
                line.split("startsWith(\"projects/_/buckets/BUCKET/objects/PREFIX/").skip(1);
            parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
        };
        let of_s3 = |action: &str| -> BTreeSet<String> {
            let policy = Policy::of(role);
            let statements =
                policy.statements.iter().filter(|one| one.actions.iter().any(|own| own == action));
            let resources = statements.flat_map(|statement| statement.resources.clone());
            let start = |resource: String| {
                let (_, key) = resource.split_once("PREFIX/").unwrap();
                key.split('*').next().unwrap().to_owned()
            };
            resources.map(start).collect()
        };
        assert_eq!(of("create"), of_s3("s3:PutObject"), "{role}");
        assert_eq!(of("delete"), of_s3("s3:DeleteObject"), "{role}");
    }
}
