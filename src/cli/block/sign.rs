//! `numbering block sign`: the detached signature that an operator sends along with a block.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use numbering_domain::OperatorId;

use crate::cli::signing_key::SigningKey;
use crate::cli::{print_out, read};

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
    Ok(STANDARD.encode(key.sign(&signed_message(operator, csv))?))
}

/// What the signature is over (contract, section 3, import file).
fn signed_message(operator: &str, csv: &[u8]) -> Vec<u8> {
    let sha256 = hex::encode(digest(&SHA256, csv));
    format!("numbering-block-v1\n{operator}\n{sha256}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_message_is_the_contracts() {
        let sha256 = "94ff332dc5436d26384dd54590a720798d80fe9c8cdaa9131d46a0ddc3f895c8";
        let expected = format!("numbering-block-v1\nawcc\n{sha256}\n");
        assert_eq!(signed_message("awcc", b"msisdn\n+93700000001\n"), expected.as_bytes());
    }
}
