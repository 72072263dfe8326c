//! Finds the server programs that the machine has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Advised;

/// Where Debian puts servers; an ordinary user's PATH lacks it.
const SYSTEM_PLACES: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin"];

/// Where Debian keeps its PostgreSQL versions, each with a `bin`.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The program `name`, as the machine's PATH or Debian's usual places have it.
pub(super) fn find(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(SYSTEM_PLACES.iter().map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|program| program.is_file());
    found.ok_or_else(|| {
        Advised::new(
            format!("this machine has no `{name}`"),
            format!("install it with `apt-get install {package}`, or let script/server do so"),
        )
        .into()
    })
}

/// The directory of PostgreSQL's programs: of the version that made `data` if it was made already, else the newest.
pub(super) fn postgres_binaries(data: &Path) -> anyhow::Result<PathBuf> {
    if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
        return binaries_of_version(version.trim());
    }
    let versions = fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .max_by_key(|(version, _)| *version);
    match newest {
        Some((_, bin)) => Ok(bin),
        None => binaries_on_path(),
    }
}

fn binaries_of_version(version: &str) -> anyhow::Result<PathBuf> {
    let bin = Path::new(POSTGRES_VERSIONS).join(version).join("bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    binaries_on_path().map_err(|_| {
        Advised::new(
            format!("the data was made by PostgreSQL {version}, which this machine does not have"),
            format!("install it with `apt-get install postgresql-{version}`, or choose another --data-dir"),
        )
        .into()
    })
}

fn binaries_on_path() -> anyhow::Result<PathBuf> {
    let postgres = find("postgres", "postgresql")?;
    let postgres = postgres.canonicalize().context("cannot resolve the path of PostgreSQL's programs")?;
    Ok(postgres.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}
