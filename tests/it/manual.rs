//! The manual: every block of it marked `sh` is run as it stands, on machines that have what a page begins with.
//!
//! A machine is a set of overlays in a mount namespace of its own, with a host's name of its own; what a block
//! leaves there the next one finds. Names of buckets are replaced by those of the servers on this machine.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::postgres_server::Server;
use crate::scratch::is_root;
use crate::scratch::put;
use crate::scratch::skip;
use crate::servers::Bucket;
use crate::servers::gcs;
use crate::servers::weed;
use std::fmt::Write as _;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use tempfile::TempDir;

/// A block of a page.
#[derive(Debug)]
struct Block {
    page: &'static str,
    line: usize,
    /// The machine that it is for.
    host: String,
    text: String,
}

/// The blocks marked `sh` of a page; what follows the mark names the machine.
fn blocks(page: &'static str) -> Vec<Block> {
    let text = fs::read_to_string(format!("docs/{page}")).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_end)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(mark)) => {
                let (kind, host) = mark.split_once(' ').unwrap_or((mark, "alone"));
                assert_eq!(kind, "sh", "{page}:{}: a block that no test runs", number + 1);
                let (line, host) = (number + 1, host.to_owned());
                open = Some(Block { page, line, host, text: String::new() });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none() && !blocks.is_empty(), "{page}");
    blocks
}

/// The machines of a manual, and what is between them.
struct Machines {
    folder: TempDir,
    server: Server,
    replaced: Vec<(&'static str, String)>,
    variables: Vec<(String, String)>,
}

impl Machines {
    /// `None`, with a word why, where there can be none.
    fn start() -> Option<Self> {
        if !is_root() {
            skip("only root makes namespaces with overlays");
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            skip("there is no /dev/fuse");
            return None;
        }
        let server = Server::start()?;
        let folder = tempfile::tempdir().unwrap();
        let (s3, gs) = (weed::bucket(), gcs::bucket());
        let place = |bucket: &Bucket| format!("{}/app", bucket.url);
        let replaced =
            vec![("s3://acme-backup/app", place(&s3)), ("gs://acme-backup-dr/app", place(&gs))];
        let variables = s3.variables.into_iter().chain(gs.variables).collect();
        let machines = Self { folder, server, replaced, variables };
        machines.write_entry();
        let tried = machines.run_all(&[Block {
            page: "",
            line: 0,
            host: "alone".to_owned(),
            text: "true".to_owned(),
        }]);
        if !tried.status.success() {
            skip("this system mounts no overlays in namespaces");
            return None;
        }
        Some(machines)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The script that enters a machine and runs a block there.
    fn write_entry(&self) {
        let binary = env!("CARGO_BIN_EXE_sbf-repo");
        let variables: Vec<_> = self.variables.iter().map(|(k, v)| format!("'{k}={v}'")).collect();
        let text = ENTRY
            .replace("@SOCKET@", &self.server.socket())
            .replace("@PROGRAMS@", &self.server.programs.display().to_string())
            .replace("@BINARY@", binary)
            .replace("@VARIABLES@", &variables.join(" "));
        put(self.path("enter"), text);
    }

    /// Runs blocks one after the other; what went wrong is in the output.
    fn run_all(&self, blocks: &[Block]) -> Output {
        let stage = self.path("stage");
        fs::create_dir_all(&stage).unwrap();
        let mut script = format!(
            "set -eu\nmount -t tmpfs tmpfs '{0}'\nexport STAGE='{0}'\nmkdir -p $STAGE/transfer\n",
            stage.display()
        );
        for (number, block) in blocks.iter().enumerate() {
            let file = self.path(&format!("block-{number}"));
            let text = self
                .replaced
                .iter()
                .fold(block.text.clone(), |text, (from, to)| text.replace(from, to));
            put(&file, format!("set -euo pipefail\n{text}"));
            writeln!(
                script,
                "echo '== {}:{} on {}'\nunshare --mount --uts bash '{}' {} '{}'",
                block.page,
                block.line,
                block.host,
                self.path("enter").display(),
                block.host,
                file.display()
            )
            .unwrap();
        }
        let main = self.path("main");
        put(&main, script);
        fs::set_permissions(&main, Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash"]).arg(&main);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.output().unwrap()
    }

    #[track_caller]
    fn check(&self, pages: &[&'static str]) {
        let blocks: Vec<Block> = pages.iter().copied().flat_map(blocks).collect();
        let output = self.run_all(&blocks);
        let (out, err) = (crate::cli::out(&output), crate::cli::err(&output));
        assert!(output.status.success(), "{out}\n{err}");
    }

    /// A database with something in it.
    fn fill(&self) {
        self.server.sql("postgres", "CREATE DATABASE app");
        let rows = "CREATE TABLE users AS SELECT i AS id, 'user ' || i AS name FROM generate_series(1, 500) i";
        self.server.sql("app", rows);
    }
}

#[test]
fn the_quick_start_leads_to_a_backup_that_came_back_and_drills_to_records_of_that() {
    let Some(machines) = Machines::start() else { return };
    machines.fill();
    machines.check(&["quick-start.md", "drills.md"]);
    assert_eq!(machines.server.sql("app_restored", "SELECT count(*) FROM users"), "500");
}

#[test]
fn controls_hold_on_a_host_that_was_set_up_as_the_page_says() {
    let Some(machines) = Machines::start() else { return };
    machines.check(&["controls.md"]);
}

#[test]
fn what_was_set_up_for_years_recovers_and_withstands() {
    let Some(machines) = Machines::start() else { return };
    machines.fill();
    machines.server.sql("postgres", "CREATE ROLE backup LOGIN IN ROLE pg_read_all_data");
    machines.check(&[
        "setup.md",
        "recover-files.md",
        "recover-database.md",
        "incident.md",
        "report.md",
    ]);
    assert_eq!(machines.server.sql("app", "SELECT count(*) FROM users"), "500");
    assert_eq!(machines.server.sql("app_before_incident", "SELECT count(*) FROM users"), "500");
}

#[test]
fn what_was_erased_stays_erased() {
    let Some(machines) = Machines::start() else { return };
    machines.check(&["erasure.md"]);
}

/// Enters the machine that the first word names, and runs the file that the second names.
const ENTRY: &str = r#"
set -eu
host=$1 block=$2
hostname "$host"
is_new=
[ -d "$STAGE/$host" ] || is_new=yes
mkdir -p /srv /mnt /root /usr/local/bin
for place in etc srv var/lib var/cache root mnt usr/local/bin run; do
  mkdir -p "$STAGE/$host/$place/up" "$STAGE/$host/$place/work"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=$STAGE/$host/$place/up,workdir=$STAGE/$host/$place/work" "/$place"
done
mkdir -p /run/postgresql /mnt/transfer
mount --bind '@SOCKET@' /run/postgresql
mount --bind "$STAGE/transfer" /mnt/transfer
if [ "$is_new" ]; then
  ln -s '@BINARY@' /usr/local/bin/sbf-repo
  # systemd does not run here.
  printf '#!/bin/sh\n[ "$1" != is-enabled ]\n' > /usr/local/bin/systemctl
  chmod 755 /usr/local/bin/systemctl
  if [ "$host" != backup-keeper ]; then
    mkdir -p /srv/app/uploads/cache /etc/app
    echo report > /srv/app/uploads/report.txt
    head -c 300000 /dev/urandom > /srv/app/uploads/picture
    echo listen=1 > /etc/app/app.conf
    if [ "$host" = app ]; then
      printf '[app]\nhost=/run/postgresql\ndbname=app\nuser=backup\n' > /root/.pg_service.conf
    fi
  fi
fi
if [ -e /root/app.key ]; then
  mv /root/app.key /mnt/transfer/
fi
status=0
env -i HOME=/root 'PATH=/usr/local/bin:@PROGRAMS@:/usr/sbin:/usr/bin:/sbin:/bin' @VARIABLES@ bash "$block" || status=$?
if [ -e /root/app.key ]; then
  mv /root/app.key /mnt/transfer/
fi
exit $status
"#;
