//! A private key that blocks and development tokens are signed with, in the forms that other tools read and write.

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::devstack::Advised;

/// The algorithms that an operator's key can have (contract, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum KeyAlgorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, the signature in ASN.1 DER.
    P256,
    /// RSA of 3,072 bits, PSS with SHA-256.
    Rsa,
}

/// A private key of one of the algorithms.
pub(super) enum SigningKey {
    Ed25519(Ed25519KeyPair),
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// A new key.
    pub(super) fn generate(algorithm: KeyAlgorithm) -> anyhow::Result<Self> {
        let made = match algorithm {
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519),
            KeyAlgorithm::P256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(|key| Self::P256(Box::new(key)))
            }
            KeyAlgorithm::Rsa => RsaKeyPair::generate(KeySize::Rsa3072).map(|key| Self::Rsa(Box::new(key))),
        };
        made.context("the key could not be made")
    }

    /// Reads a PKCS #8 private key in PEM; the key itself says its algorithm.
    pub(super) fn from_pem(text: &str) -> anyhow::Result<Self> {
        let der = decode_pem(text, "PRIVATE KEY").ok_or_else(|| {
            Advised::new(
                "the file is no private key in PEM form (PKCS #8)",
                "`numbering keys generate` makes one; `openssl pkcs8 -topk8 -nocrypt -in KEY` converts others",
            )
        })?;
        if let Ok(key) = Ed25519KeyPair::from_pkcs8(&der) {
            return Ok(Self::Ed25519(key));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der) {
            return Ok(Self::P256(Box::new(key)));
        }
        if let Ok(key) = RsaKeyPair::from_pkcs8(&der) {
            return Ok(Self::Rsa(Box::new(key)));
        }
        anyhow::bail!("the private key is of none of the algorithms Ed25519, ECDSA P-256, RSA (2,048 bits or more)")
    }

    /// The name of its algorithm in REST (`POST …/operators/{operatorId}/keys`).
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ED25519",
            Self::P256(_) => "ECDSA_P256",
            Self::Rsa(_) => "RSA_PSS",
        }
    }

    /// PKCS #8 in PEM. Version 1, because OpenSSL 3.0 does not read version 2 of Ed25519 keys.
    pub(super) fn private_pem(&self) -> anyhow::Result<String> {
        let encoded = match self {
            Self::Ed25519(key) => key.to_pkcs8v1().map(|der| encode_pem("PRIVATE KEY", der.as_ref())),
            Self::P256(key) => key.to_pkcs8v1().map(|der| encode_pem("PRIVATE KEY", der.as_ref())),
            Self::Rsa(key) => {
                AsDer::<Pkcs8V1Der<'_>>::as_der(key.as_ref()).map(|der| encode_pem("PRIVATE KEY", der.as_ref()))
            }
        };
        encoded.context("the private key cannot be encoded")
    }

    /// `SubjectPublicKeyInfo` in PEM.
    pub(super) fn public_pem(&self) -> anyhow::Result<String> {
        let der: Result<PublicKeyX509Der<'_>, _> = match self {
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::P256(key) => key.public_key().as_der(),
            Self::Rsa(key) => rsa_public_key(key).as_der(),
        };
        Ok(encode_pem("PUBLIC KEY", der.context("the public key cannot be encoded")?.as_ref()))
    }

    /// The raw public key, where it is one of Ed25519: what a JSON Web Key holds as `x`.
    pub(super) fn ed25519_public_key(&self) -> Option<&[u8]> {
        match self {
            Self::Ed25519(key) => Some(key.public_key().as_ref()),
            Self::P256(_) | Self::Rsa(_) => None,
        }
    }

    /// The signature over `message`.
    pub(super) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::P256(key) => key.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        };
        signature.context("the key does not sign")
    }
}

fn rsa_public_key(key: &RsaKeyPair) -> &rsa::PublicKey {
    key.public_key()
}

fn encode_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn decode_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
    };
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_algorithm_survives_its_pem_and_signs_for_its_public_key() {
        for algorithm in KeyAlgorithm::value_variants() {
            let made = SigningKey::generate(*algorithm).unwrap();
            let read = SigningKey::from_pem(&made.private_pem().unwrap()).unwrap();
            assert_eq!(read.algorithm(), made.algorithm());
            let public_pem = read.public_pem().unwrap();
            assert_eq!(public_pem, made.public_pem().unwrap());
            let verification: &'static dyn VerificationAlgorithm = match algorithm {
                KeyAlgorithm::Ed25519 => &ED25519,
                KeyAlgorithm::P256 => &ECDSA_P256_SHA256_ASN1,
                KeyAlgorithm::Rsa => &RSA_PSS_2048_8192_SHA256,
            };
            let public = ParsedPublicKey::new(verification, decode_pem(&public_pem, "PUBLIC KEY").unwrap()).unwrap();
            public.verify_sig(b"message", &read.sign(b"message").unwrap()).unwrap();
            assert!(public.verify_sig(b"another", &read.sign(b"message").unwrap()).is_err());
        }
    }

    #[test]
    fn what_is_no_private_key_is_refused_with_a_hint() {
        let public = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap().public_pem().unwrap();
        for text in ["", "not a key", &public] {
            let Err(refused) = SigningKey::from_pem(text) else { panic!("{text:?} was taken for a key") };
            assert!(refused.downcast_ref::<Advised>().is_some());
        }
    }
}
