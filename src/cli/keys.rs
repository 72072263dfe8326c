//! `numbering keys generate`: a key pair for an operator to sign its blocks with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::signing_key::{KeyAlgorithm, SigningKey};
use crate::devstack::{Advised, files};

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key pair: FILE, the private key (PKCS #8 PEM, kept by the operator), and FILE.pub, the public key
    Generate(Generate),
}

/// What `keys generate` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// The algorithm of the signature
    #[arg(long, value_enum, default_value = "ed25519")]
    algorithm: KeyAlgorithm,
    /// Where to write the private key; `.pub` is appended for the public one
    #[arg(long, value_name = "FILE", default_value = "operator-key.pem")]
    out: PathBuf,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Generate(args) = command;
    let public = public_file(&args.out);
    for file in [&args.out, &public] {
        if file.exists() {
            let what = format!("{} exists, and a key is never overwritten", file.display());
            return Err(Advised::new(what, "choose another name with --out").into());
        }
    }
    let key = SigningKey::generate(args.algorithm)?;
    write_pair(&key, &args.out)?;
    println!("private key  {}  (keep it secret)", args.out.display());
    println!("public key   {}  (algorithm {})", public.display(), key.algorithm());
    Ok(())
}

/// Writes the private key to `file` and the public one beside it.
pub(super) fn write_pair(key: &SigningKey, file: &Path) -> anyhow::Result<()> {
    files::replace(&public_file(file), key.public_pem()?.as_bytes(), 0o644)?;
    files::replace(file, key.private_pem()?.as_bytes(), 0o600)
}

fn public_file(private: &Path) -> PathBuf {
    let mut name: OsString = private.into();
    name.push(".pub");
    name.into()
}
