//! Decides which user PostgreSQL runs as: it refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::{Advised, programs};

/// A user of this machine to drop to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The user that PostgreSQL runs as under `home`, or none when this process is not root and so runs it as itself.
    ///
    /// As root it is the owner of the data directory, and `postgres` where root owns that too.
    pub(super) fn for_postgres(home: &Path) -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(home).with_context(|| format!("cannot look at {}", home.display()))?.uid();
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let account = users
            .lines()
            .filter_map(Self::parse)
            .filter(|user| user.uid != 0 && (user.uid == owner || user.name == "postgres"))
            .max_by_key(|user| user.uid == owner);
        let account = account.ok_or_else(|| {
            Advised::new(
                "PostgreSQL does not run as root, and this machine has no user `postgres` to run it as",
                "install it with `apt-get install postgresql`, or run this as an ordinary user",
            )
        })?;
        account.require_passage(home)?;
        Ok(Some(account))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }

    /// The arguments of setpriv(1) that drop to this user.
    pub(super) fn setpriv_arguments(&self) -> [String; 5] {
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        ["--reuid".to_owned(), uid, "--regid".to_owned(), gid, "--init-groups".to_owned()]
    }

    /// Gives `path` to this user.
    pub(super) fn own(&self, path: &Path) -> anyhow::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to the user {}", path.display(), self.name))
    }

    /// Sees to it that this user can reach what is in `home`.
    ///
    /// The data directory itself is opened for passing through (not for listing; its secrets are closed by their own
    /// modes). The directories above are not ours to open.
    fn require_passage(&self, home: &Path) -> anyhow::Result<()> {
        let mode = fs::metadata(home)?.permissions().mode();
        if !self.can_enter(home)? && home.parent().is_some_and(|parent| self.can_enter(parent).unwrap_or(false)) {
            fs::set_permissions(home, fs::Permissions::from_mode(mode | 0o011))
                .with_context(|| format!("cannot open {} for the user {}", home.display(), self.name))?;
        }
        if self.can_enter(home)? {
            return Ok(());
        }
        let mut above: Vec<&Path> = home.ancestors().collect();
        above.reverse();
        let closed = above.into_iter().find(|place| !self.can_enter(place).unwrap_or(false)).unwrap_or(home);
        Err(Advised::new(
            format!(
                "PostgreSQL does not run as root, and the user `{}` it runs as instead may not pass through {}",
                self.name,
                closed.display()
            ),
            format!(
                "choose a --data-dir elsewhere (/var/tmp/numbering, say), or allow it with `chmod o+x {}`",
                closed.display()
            ),
        )
        .into())
    }

    fn can_enter(&self, directory: &Path) -> anyhow::Result<bool> {
        let status = Command::new(programs::find("setpriv", "util-linux")?)
            .args(self.setpriv_arguments())
            .args(["test", "-x"])
            .arg(directory)
            .current_dir("/")
            .status()
            .context("cannot run setpriv")?;
        Ok(status.success())
    }
}
