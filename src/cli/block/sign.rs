//! `numbering block sign`: the detached signature that an operator sends along with a block.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use numbering_domain::OperatorId;

use crate::cli::signing_key::SigningKey;
use crate::cli::{print_out, read};
use crate::operations::signature::{FileSha256, signed_message};

/// What `block sign` can be told.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The operator that the block comes from
    #[arg(long, value_name = "OPERATOR", value_parser = OperatorId::parse)]
    operator: OperatorId,
    /// The operator's private key (PKCS #8 PEM); the development ones are in DIR/keys/operators
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The block's file
    #[arg(value_name = "CSV")]
    csv: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let key = SigningKey::from_pem(&String::from_utf8_lossy(&read(&args.key)?))?;
    print_out(&format!("{}\n", signature(&key, args.operator.as_str(), &read(&args.csv)?)?))
}

/// The signature over a block's file, base64, as an import takes it.
pub(in crate::cli) fn signature(key: &SigningKey, operator: &str, csv: &[u8]) -> anyhow::Result<String> {
    let mut sha256 = FileSha256([0; 32]);
    sha256.0.copy_from_slice(digest(&SHA256, csv).as_ref());
    signature_of(key, &OperatorId::parse(operator)?, sha256)
}

/// Like [`signature`], for a file that was hashed already.
pub(super) fn signature_of(key: &SigningKey, operator: &OperatorId, sha256: FileSha256) -> anyhow::Result<String> {
    Ok(STANDARD.encode(key.sign(signed_message(operator, sha256).as_bytes())?))
}
