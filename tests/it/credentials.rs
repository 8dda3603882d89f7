//! Where the credentials of S3 come from: profiles, commands, roles, SSO, containers and machines.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::cli::check;
use crate::cli::err;
use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::http;
use crate::servers::http::Request;
use crate::servers::http::Response;
use crate::servers::http::Sending;
use crate::servers::proxy;
use crate::servers::rclone;
use crate::servers::weed;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;
use tempfile::TempDir;

/// A user with a home directory, a key file, and nothing in the environment that a test does not set.
struct User {
    home: TempDir,
    url: String,
    variables: Vec<(String, String)>,
}

impl User {
    /// Knows where the bucket is, and has no credentials.
    fn of(bucket: &Bucket) -> Self {
        let is_secret = |name: &str| name.contains("KEY") && !name.contains("GOOGLE");
        let known = bucket.variables.iter().filter(|(name, _)| !is_secret(name));
        let variables = known.cloned().collect();
        let user = Self { home: tempfile::tempdir().unwrap(), url: bucket.url.clone(), variables };
        user.with("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// Of a bucket that is never reached.
    fn of_nothing() -> Self {
        let variables = vec![("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned())];
        Self::of(&Bucket { url: "s3://nowhere/at/all".to_owned(), variables })
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(own, _)| own != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with_config(self, text: &str) -> Self {
        self.with_file(".aws/config", text)
    }

    #[expect(clippy::disallowed_methods, reason = "files of tests need not be durable")]
    fn with_file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbf-repo"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        command.env("SBF_REPO_REPOSITORY", &self.url).env("SBF_REPO_KEY_FILE", "key");
        command.env("SBF_REPO_CACHE_DIR", "cache").env("SBF_REPO_STATE_DIR", "state");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    /// What `doctor` says of the credentials.
    #[track_caller]
    fn credentials(&self) -> Value {
        let output = self.run(&["doctor", "--store-only", "--json"]);
        check(&output, 0);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["doctor"]["credentials"].clone()
    }

    #[track_caller]
    fn comes_from(&self, source: &str) {
        let credentials = self.credentials();
        assert_eq!(credentials["source"], source, "{credentials}");
    }

    /// Fails with exit code 13 and these words, and without any secret.
    #[track_caller]
    fn fails_with(&self, words: &str) {
        let output = self.run(&["doctor", "--store-only"]);
        let said = err(&output);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("hush"), "{said}");
        check(&output, 13);
    }
}

fn keys(user: weed::User) -> String {
    format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", user.0, user.1)
}

#[test]
fn profiles_say_where_a_store_is_and_with_which_key() {
    let bucket = weed::bucket();
    let endpoint = format!("http://127.0.0.1:{}", weed::port());
    let config = format!("[profile backup]\nregion = us-east-1\nendpoint_url = {endpoint}\n");
    let credentials = format!("[backup]\n{}", keys(weed::ADMIN));
    let mut user = User::of(&bucket)
        .with_config(&config)
        .with_file(".aws/credentials", &credentials)
        .with("AWS_PROFILE", "backup");
    user.variables.retain(|(name, _)| !matches!(name.as_str(), "AWS_ENDPOINT_URL" | "AWS_REGION"));
    check(&user.run(&["init"]), 0);
    check(&user.run(&["snapshot", "key"]), 0);
    let told = user.credentials();
    assert_eq!(told["source"], "profile `backup`: access key", "{told}");
    assert_eq!(told["access_key"], "a…y", "{told}");
    let words = err(&user.run(&["doctor"]));
    assert!(words.contains("credentials: profile `backup`: access key; access key a…y"), "{words}");
    // The files may be elsewhere.
    let moved = user
        .with_file("c1", &format!("[default]\nendpoint_url = {endpoint}\n"))
        .with_file("c2", &format!("[default]\n{}", keys(weed::ADMIN)))
        .with("AWS_PROFILE", "")
        .with("AWS_CONFIG_FILE", "~/c1")
        .with("AWS_SHARED_CREDENTIALS_FILE", "c2");
    moved.comes_from("profile `default`: access key");
}

#[test]
fn the_first_source_counts() {
    let bucket = weed::bucket();
    let config = format!(
        "[profile good]\n{}[profile bad]\naws_access_key_id = no\naws_secret_access_key = hush\n",
        keys(weed::ADMIN)
    );
    let mut user = User::of(&bucket).with_config(&config).with("AWS_PROFILE", "good");
    user.comes_from("profile `good`: access key");
    // Keys in variables come before a profile that a variable names …
    user = user.with("AWS_ACCESS_KEY_ID", "nobody").with("AWS_SECRET_ACCESS_KEY", "hush");
    user.fails_with("does not know the access key");
    // … and after one that the location names; a source that fails gives way to none.
    user.url = format!("{}?profile=good", bucket.url);
    user.comes_from("profile `good`: access key");
    user.url = format!("{}?profile=bad", bucket.url);
    let user = user.with("AWS_ACCESS_KEY_ID", weed::ADMIN.0);
    let user = user.with("AWS_SECRET_ACCESS_KEY", weed::ADMIN.1);
    user.fails_with("does not know the access key");
}

#[test]
fn a_command_gives_credentials_and_is_run_again_before_they_end() {
    let bucket = weed::bucket();
    let script = format!(
        "echo run >> runs\nend=$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ)\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\",\"Expiration\":\"%s\"}}' $end",
        weed::ADMIN.0,
        weed::ADMIN.1
    );
    let user = User::of(&bucket)
        .with_config("[default]\ncredential_process = sh ./give\n")
        .with_file("give", &script);
    check(&user.run(&["init"]), 0);
    let runs = || fs::read_to_string(user.path("runs")).unwrap_or_default().lines().count();
    let before = runs();
    let slow =
        ["snapshot", "--stdin-name", "x", "--from-command", "--", "sh", "-c", "sleep 3; echo x"];
    check(&user.run(&slow), 0);
    assert!(runs() > before + 1, "{} runs", runs() - before);
    let told = user.credentials();
    assert_eq!(told["source"], "profile `default`: `credential_process`");
    assert!(told["expires"].as_str().unwrap().ends_with('Z'), "{told}");
}

#[test]
fn commands_that_give_no_credentials_are_named() {
    let what = "`credential_process` of profile `default`";
    for (script, words) in [
        ("echo hush; exit 3", "failed (exit status: 3)"),
        ("echo hush", "printed no JSON object"),
        ("echo '{\"Version\":2,\"SecretAccessKey\":\"hush\"}'", "printed something else than"),
        ("echo '{\"Version\":1,\"SecretAccessKey\":\"hush\"}'", "gave no `AccessKeyId`"),
        (
            "echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"2020-01-01T00:00:00Z\"}'",
            "gave credentials that expired at 2020-01-01T00:00:00Z",
        ),
        (
            "echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"soon\"}'",
            "gave an end that is no time",
        ),
    ] {
        let user = User::of_nothing()
            .with_config("[default]\ncredential_process = sh ./give\n")
            .with_file("give", script);
        user.fails_with(&format!("{what} {words}"));
    }
}

#[test]
fn profiles_that_make_no_sense_are_named() {
    for (config, words) in [
        ("[profile other]\n", "there is no profile `p` in `"),
        ("[p]\nregion = x\n", "which must be `[profile p]` there"),
        ("[profile p]\nhush\n", "line 2 of `"),
        ("[profile p\nhush = hush\n", "lacks a `]`"),
        (
            "[profile p]\naws_access_key_id = a\n",
            "has `aws_access_key_id` and no `aws_secret_access_key`",
        ),
        ("[profile p]\naws_secret_access_key = hush\n", "and no `aws_access_key_id`"),
        ("[profile p]\nrole_arn = r\n", "needs either `source_profile` or `credential_source`"),
        (
            "[profile p]\nrole_arn = r\nsource_profile = q\n",
            "profile `p` takes its credentials from another: there is no profile `q`",
        ),
        (
            "[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\n",
            "profile `q`, which a role is assumed with, has no credentials",
        ),
        (
            "[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\nrole_arn = s\nsource_profile = p\n",
            "from each other: `p` from `q` from `p`",
        ),
        ("[profile p]\nrole_arn = r\nsource_profile = p\n", "profile `p`, which a role"),
        ("[profile p]\nrole_arn = r\ncredential_source = Moon\n", "known are Environment"),
        (
            "[profile p]\nrole_arn = r\ncredential_source = Environment\n",
            "AWS_ACCESS_KEY_ID is not set",
        ),
        ("[profile p]\nrole_arn = r\ncredential_source = EcsContainer\n", "FULL_URI is not set"),
        (
            "[profile p]\nrole_arn = r\nmfa_serial = m\nsource_profile = p\n",
            "a code of a second factor",
        ),
        (
            "[profile p]\nrole_arn = r\nduration_seconds = long\n",
            "`duration_seconds` of profile `p` is no number",
        ),
        ("[profile p]\nsso_session = s\n", "needs a section `[sso-session s]`"),
        ("[profile p]\nsso_start_url = u\n", "uses SSO and lacks `sso_region`"),
        ("[profile p]\nregion = x\n", "AWS_EC2_METADATA_DISABLED is set"),
    ] {
        let user = User::of_nothing().with_config(config).with("AWS_PROFILE", "p");
        user.fails_with(words);
    }
    let user = User::of_nothing().with("AWS_PROFILE", "p").with_file(".aws/config/x", "");
    user.fails_with("cannot read `");
    let user = User::of_nothing().with("AWS_ACCESS_KEY_ID", "a");
    user.fails_with("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not");
    let user = User::of_nothing().with("AWS_WEB_IDENTITY_TOKEN_FILE", "t");
    user.fails_with("AWS_ROLE_ARN is not");
    let user =
        User::of_nothing().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/x");
    user.fails_with("must begin with `https://`");
    User::of_nothing().fails_with(
        "looked for AWS_ACCESS_KEY_ID, credentials of profile `default`, AWS_WEB_IDENTITY_TOKEN_FILE",
    );
}

/// The services of AWS that give credentials, and what they were asked. They know the key `key`.
struct Services {
    port: u16,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Services {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let port = http::serve(move |request| {
            seen.lock().unwrap().push(request.clone());
            (answer(&request), Sending::Whole)
        });
        Self { port: port.unwrap(), asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bodies of what STS was asked, of those that say something.
    fn forms(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let forms = asked.iter().filter(|request| request.method == "POST");
        forms.map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
    }
}

fn answer(request: &Request) -> Response {
    let json = r#"{"Code":"Success","AccessKeyId":"key","SecretAccessKey":"secret","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#;
    let form = String::from_utf8_lossy(&request.body);
    match (request.method.as_str(), request.path()) {
        ("POST", "/") if form.contains("forbidden") => Response::new(
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>",
        ),
        ("POST", "/") if form.contains("GetCallerIdentity") => {
            Response::new(200, "<R><Arn>arn:aws:iam::1:user/me</Arn></R>")
        }
        ("POST", "/") => Response::new(
            200,
            "<R><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/sbf-repo</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>key</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>",
        ),
        ("GET", "/federation/credentials") => match request.header("x-amz-sso_bearer_token") {
            Some("good") => Response::new(
                200,
                r#"{"roleCredentials":{"accessKeyId":"key","secretAccessKey":"secret","sessionToken":"session","expiration":4070908800000}}"#,
            ),
            _ => Response::new(401, r#"{"message":"Session token not found or invalid"}"#),
        },
        ("GET", "/container") if request.header("authorization") == Some("let me in") => {
            Response::new(200, json)
        }
        ("PUT", "/latest/api/token") => Response::new(200, "machine token"),
        ("GET", path) if path.starts_with("/latest/meta-data/iam/security-credentials/") => {
            match (request.header("x-aws-ec2-metadata-token"), path.ends_with("/backup")) {
                (Some("machine token"), false) => Response::new(200, "backup"),
                (Some("machine token"), true) => Response::new(200, json),
                (_, _) => Response::new(401, ""),
            }
        }
        _ => Response::new(403, r#"{"message":"go away"}"#),
    }
}

/// A bucket that only takes requests with the session token that [`Services`] gives.
fn bucket_for_sessions() -> Bucket {
    let bucket = rclone::bucket();
    let endpoint = bucket.variables.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    let port: u16 = endpoint.1.rsplit(':').next().unwrap().parse().unwrap();
    let port = proxy::start(port, |request, upstream| {
        if request.header("x-amz-security-token") != Some("session") {
            return proxy::refusal(403, "InvalidToken");
        }
        (upstream(request), Sending::Whole)
    });
    let mut bucket = bucket.through(port);
    // Not for the services beside S3.
    for (name, _) in &mut bucket.variables {
        if name == "AWS_ENDPOINT_URL" {
            "AWS_ENDPOINT_URL_S3".clone_into(name);
        }
    }
    bucket
}

#[test]
fn roles_are_assumed_one_after_the_other() {
    let services = Services::start();
    let config = "[profile far]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = near\nexternal_id = a/b\n\
                  role_session_name = nightly\nduration_seconds = 900\n\
                  [profile near]\nrole_arn = arn:aws:iam::2:role/y\nsource_profile = base\n\
                  [profile base]\naws_access_key_id = mine\naws_secret_access_key = hush\n";
    let user = User::of(&bucket_for_sessions())
        .with_config(config)
        .with("AWS_PROFILE", "far")
        .with("AWS_ENDPOINT_URL_STS", &services.url());
    let told = user.credentials();
    let words = "profile `far`: access key, then role arn:aws:iam::2:role/y, then role arn:aws:iam::1:role/x";
    assert_eq!(told["source"], words);
    assert_eq!(told["identity"], "arn:aws:sts::1:assumed-role/x/sbf-repo");
    let forms = services.forms();
    let version = "Version=2011-06-15";
    let first = format!(
        "Action=AssumeRole&{version}&RoleArn=arn%3Aaws%3Aiam%3A%3A2%3Arole%2Fy&RoleSessionName=sbf-repo&DurationSeconds=3600"
    );
    let second = format!(
        "Action=AssumeRole&{version}&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=nightly&DurationSeconds=900&ExternalId=a%2Fb"
    );
    assert_eq!(forms, [first, second]);
    let asked = services.asked.lock().unwrap();
    let signed_by: Vec<&str> =
        asked.iter().map(|request| request.header("authorization").unwrap()).collect();
    assert!(signed_by[0].contains("Credential=mine/") && signed_by[0].contains("/us-east-1/sts/"));
    assert!(signed_by[1].contains("Credential=key/"));
    assert_eq!(asked[1].header("x-amz-security-token"), Some("session"));
}

#[test]
fn a_role_that_is_refused_says_so() {
    let services = Services::start();
    let config = "[default]\nrole_arn = forbidden\ncredential_source = Environment\n";
    let user = User::of_nothing().with_config(config);
    let mut user = user.with("AWS_ENDPOINT_URL_STS", &services.url());
    user.url.push_str("?profile=default");
    let user = user.with("AWS_ACCESS_KEY_ID", "mine").with("AWS_SECRET_ACCESS_KEY", "hush");
    user.fails_with("cannot assume role forbidden of profile `default`: STS refuses (status 403): AccessDenied: not you");
    let user = user.with("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9");
    user.fails_with("STS cannot be reached at http://127.0.0.1:9/");
}

#[test]
fn whose_a_plain_key_is_is_asked_where_somebody_knows() {
    let services = Services::start();
    let bucket = weed::bucket();
    let user = User::of(&bucket)
        .with("AWS_ACCESS_KEY_ID", weed::ADMIN.0)
        .with("AWS_SECRET_ACCESS_KEY", weed::ADMIN.1)
        .with("AWS_ENDPOINT_URL_S3", &format!("http://127.0.0.1:{}", weed::port()))
        .with("AWS_ENDPOINT_URL_STS", &services.url());
    let told = user.credentials();
    assert_eq!(told["source"], "AWS_ACCESS_KEY_ID");
    assert_eq!(told["identity"], "arn:aws:iam::1:user/me");
    // Nobody needs to answer.
    let user = user.with("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9");
    assert_eq!(user.credentials()["identity"], Value::Null);
}

#[test]
fn web_identities_are_exchanged() {
    let services = Services::start();
    let user = User::of(&bucket_for_sessions())
        .with_file("token", "from the cluster\n")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
        .with("AWS_ROLE_ARN", "arn:r")
        .with("AWS_ENDPOINT_URL_STS", &services.url());
    user.comes_from("AWS_WEB_IDENTITY_TOKEN_FILE, role arn:r");
    assert!(services.forms()[0].ends_with("WebIdentityToken=from%20the%20cluster"));
    let config = "[default]\nrole_arn = arn:q\nweb_identity_token_file = ~/token\n";
    let user = user.with_config(config);
    user.comes_from("profile `default`: web identity, role arn:q");
    fs::remove_file(user.path("token")).unwrap();
    user.fails_with("cannot read the token in `");
}

/// The file of a token is named by the SHA-1 of the session's name, here `work`.
const TOKEN_FILE: &str = ".aws/sso/cache/e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json";

#[test]
fn sso_uses_the_login_and_says_when_it_is_over() {
    let services = Services::start();
    let config = "[default]\nsso_session = work\nsso_account_id = 123\nsso_role_name = Backup\n\
                  [sso-session work]\nsso_region = us-east-1\nsso_start_url = https://x\n";
    let user = User::of(&bucket_for_sessions())
        .with_config(config)
        .with("AWS_ENDPOINT_URL_SSO", &services.url());
    let login = "run `aws sso login --profile default`";
    user.fails_with(&format!("was never begun on this machine: {login}"));
    let token =
        |token: &str, end: &str| format!("{{\"accessToken\":\"{token}\",\"expiresAt\":\"{end}\"}}");
    let user = user.with_file(TOKEN_FILE, &token("good", "2099-01-01T00:00:00Z"));
    user.comes_from("profile `default`: SSO, account 123, role Backup");
    let asked = services.asked.lock().unwrap()[0].target.clone();
    assert_eq!(asked, "/federation/credentials?account_id=123&role_name=Backup");
    let user = user.with_file(TOKEN_FILE, &token("hush", "2020-01-01T00:00:00Z"));
    user.fails_with(&format!("expired at 2020-01-01T00:00:00Z: {login}"));
    let user = user.with_file(TOKEN_FILE, &token("hush", "2099-01-01T00:00:00UTC"));
    user.fails_with(&format!("is no longer accepted: {login}"));
    user.with_file(TOKEN_FILE, "hush").fails_with(&format!("json`: {login}"));
}

#[test]
fn containers_and_machines_have_services() {
    let services = Services::start();
    let user = User::of(&bucket_for_sessions())
        .with_file("token", "let me in\n")
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", services.url()))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token");
    user.comes_from("the container's service");
    let user = user.with_file("token", "hush");
    user.fails_with("the container's service refuses (status 403; it says: go away)");
    let user = user
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        .with("AWS_EC2_METADATA_DISABLED", "")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &services.url());
    user.comes_from("the machine's service");
    let user = user.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9");
    user.fails_with("this machine has no service that gives some (asked http://127.0.0.1:9)");
}

#[test]
fn of_google_the_file_is_told() {
    let user = User::of(&gcs::bucket());
    let told = user.credentials();
    let source = "GOOGLE_SERVICE_ACCOUNT_KEY, which switches credentials off";
    assert_eq!(told["source"], source, "{told}");
}
