//! Detached signatures of block files: an operator's word that these numbers are its own (US-NUM-001).
//!
//! What must stay true: a key verifies by its own algorithm only, whatever a request says; the message names the operator,
//! so that one operator's signature says nothing for another; a key is taken in one encoding only, so that two spellings
//! never look like two keys.

use std::fmt;

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RsaPssSaltLength, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use numbering_domain::OperatorId;

/// The longest signature as text: RSA with 8192 bits takes 1,368 characters, and lines may be broken.
pub const SIGNATURE_MOST_BYTES: usize = 4_096;
/// The longest public key as text: RSA with 8192 bits takes some 1,450 characters.
pub const PUBLIC_KEY_MOST_BYTES: usize = 8_192;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// With a salt as long as the digest, or the longest that fits, as OpenSSL signs unless told otherwise.
static RSA_PSS: [&dyn VerificationAlgorithm; 2] =
    [&RSA_PSS_2048_8192_SHA256, &const { RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) }];

/// How an operator signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// Ed25519, the default.
    Ed25519,
    /// ECDSA over P-256 with SHA-256; the signature in DER.
    EcdsaP256,
    /// RSA-PSS with SHA-256 and MGF1 of it, 2048 to 8192 bits; the salt as long as the digest, or as long as fits.
    RsaPss,
}

impl SignatureAlgorithm {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::EcdsaP256, Self::RsaPss];

    /// The algorithm as the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ED25519",
            Self::EcdsaP256 => "ECDSA_P256",
            Self::RsaPss => "RSA_PSS",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// The parameters that a signature may have been made with.
    fn accepted(self) -> &'static [&'static dyn VerificationAlgorithm] {
        match self {
            Self::Ed25519 => &[&ED25519],
            Self::EcdsaP256 => &[&ECDSA_P256_SHA256_ASN1],
            Self::RsaPss => &RSA_PSS,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The SHA-256 of a block's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSha256(pub [u8; SHA256_OUTPUT_LEN]);

impl fmt::Display for FileSha256 {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What the operator signs, in place of the file itself: `numbering-block-v1\n<operatorId>\n<sha256 hex>\n`.
#[must_use]
pub fn signed_message(operator: &OperatorId, file: FileSha256) -> String {
    format!("numbering-block-v1\n{operator}\n{file}\n")
}

/// The text is no base64, or too long for any signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not base64 (RFC 4648, section 4, with padding)")]
pub struct MalformedSignature;

/// A signature that came apart from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedSignature(Vec<u8>);

impl DetachedSignature {
    /// Reads base64: the standard alphabet, padded, no stray bits. Line breaks, which many tools add, mean nothing.
    ///
    /// # Errors
    /// [`MalformedSignature`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, MalformedSignature> {
        if text.len() > SIGNATURE_MOST_BYTES {
            return Err(MalformedSignature);
        }
        let unbroken: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match STANDARD.decode(unbroken) {
            Ok(bytes) if !bytes.is_empty() => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(MalformedSignature),
        }
    }
}

/// Why a text is no public key of its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejected {
    /// Not one PEM block of the kind `PUBLIC KEY`.
    #[error("must be one PEM block, from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----")]
    Pem,
    /// The block holds no key of this algorithm in its plain encoding, or an RSA key too short to trust or too long to
    /// check.
    #[error("is no {0} key (SubjectPublicKeyInfo in DER; RSA with 2048 to 8192 bits)")]
    Algorithm(SignatureAlgorithm),
}

/// A public key of an operator, ready to verify with.
#[derive(Debug)]
pub struct VerifyingKey {
    der: Vec<u8>,
    /// The key under each set of parameters that its algorithm allows.
    parsed: Vec<ParsedPublicKey>,
}

impl VerifyingKey {
    /// Reads a PEM `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`KeyRejected`] where it is not one key of just this algorithm, or not in its one canonical encoding.
    pub fn from_pem(algorithm: SignatureAlgorithm, pem: &str) -> Result<Self, KeyRejected> {
        let der = public_key_block(pem).ok_or(KeyRejected::Pem)?;
        let refused = KeyRejected::Algorithm(algorithm);
        if algorithm == SignatureAlgorithm::RsaPss {
            // `ParsedPublicKey` looks at the size only when it verifies.
            let bits = PublicEncryptingKey::from_der(&der).map_err(|_| refused)?.key_size_bits();
            if !RSA_BITS.contains(&bits) {
                return Err(refused);
            }
        }
        let parsed: Vec<ParsedPublicKey> = algorithm
            .accepted()
            .iter()
            .map(|parameters| ParsedPublicKey::new(*parameters, &der))
            .collect::<Result<_, _>>()
            .map_err(|_| refused)?;
        // Written out again it must be the same bytes: no raw key, no trailing bytes, no second spelling.
        for key in &parsed {
            let canonical: PublicKeyX509Der<'_> = key.as_der().map_err(|_| refused)?;
            if canonical.as_ref() != der {
                return Err(refused);
            }
        }
        Ok(Self { der, parsed })
    }

    /// The key as PEM, written in one way only, so that equal keys are equal texts.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let base64 = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// Whether this key made this signature of this message.
    #[must_use]
    pub fn verifies(&self, message: &str, signature: &DetachedSignature) -> bool {
        self.parsed.iter().any(|key| key.verify_sig(message.as_bytes(), &signature.0).is_ok())
    }
}

/// The bytes of the one `PUBLIC KEY` block that the text consists of.
fn public_key_block(pem: &str) -> Option<Vec<u8>> {
    if pem.len() > PUBLIC_KEY_MOST_BYTES {
        return None;
    }
    let mut lines = pem.trim_ascii().lines().map(str::trim_ascii_end);
    if lines.next() != Some("-----BEGIN PUBLIC KEY-----") || lines.next_back() != Some("-----END PUBLIC KEY-----") {
        return None;
    }
    STANDARD.decode(lines.collect::<String>()).ok()
}

#[cfg(test)]
mod tests;
