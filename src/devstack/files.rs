//! Writes the small files of a data directory: whole or not at all, and with the mode they need from the first byte.

use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Puts `bytes` in place of `file` in one step, readable as `mode` says.
pub fn replace(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let write = || {
        let directory = file.parent().unwrap_or_else(|| Path::new("."));
        // Made with mode 0600, so that a secret is never readable by others, not even for a moment.
        let mut fresh = tempfile::NamedTempFile::new_in(directory)?;
        fresh.write_all(bytes)?;
        fresh.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        fresh.as_file().sync_all()?;
        fresh.persist(file)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Makes `directory`, and those above it, with `mode`, unless it is there already.
pub fn make_directory(directory: &Path, mode: u32) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))
}
