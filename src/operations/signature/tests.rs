use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::*;

const FILE: &[u8] = b"msisdn,vanity\n+93701234567,false\n+93701234568,true\n";

fn operator(id: &str) -> OperatorId {
    OperatorId::parse(id).unwrap()
}

fn sha256(file: &[u8]) -> FileSha256 {
    FileSha256(digest(&SHA256, file).as_ref().try_into().unwrap())
}

fn message() -> String {
    signed_message(&operator("awcc"), sha256(FILE))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// One signer of each algorithm.
struct Signers {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Signers {
    fn new() -> Self {
        Self {
            ed25519: Ed25519KeyPair::generate().unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn public_pem(&self, algorithm: SignatureAlgorithm) -> String {
        match algorithm {
            SignatureAlgorithm::Ed25519 => pem(self.ed25519.public_key().as_der().unwrap().as_ref()),
            SignatureAlgorithm::EcdsaP256 => pem(self.p256.public_key().as_der().unwrap().as_ref()),
            SignatureAlgorithm::RsaPss => {
                let der: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
                pem(der.as_ref())
            }
        }
    }

    fn key(&self, algorithm: SignatureAlgorithm) -> VerifyingKey {
        VerifyingKey::from_pem(algorithm, &self.public_pem(algorithm)).unwrap()
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &str) -> Vec<u8> {
        match algorithm {
            SignatureAlgorithm::Ed25519 => self.ed25519.sign(message.as_bytes()).as_ref().to_vec(),
            SignatureAlgorithm::EcdsaP256 => {
                self.p256.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
            SignatureAlgorithm::RsaPss => self.sign_rsa(&RSA_PSS_SHA256, message),
        }
    }

    fn sign_rsa(&self, encoding: &'static dyn RsaEncoding, message: &str) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        signature
    }
}

#[test]
fn the_message_is_the_contracts_to_the_letter() {
    assert_eq!(
        signed_message(&operator("awcc"), sha256(b"")),
        "numbering-block-v1\nawcc\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
    );
}

#[test]
fn each_algorithm_verifies_its_own_signature_and_no_other() {
    let signers = Signers::new();
    for of_signature in SignatureAlgorithm::ALL {
        let signature = DetachedSignature(signers.sign(of_signature, &message()));
        for of_key in SignatureAlgorithm::ALL {
            assert_eq!(
                signers.key(of_key).verifies(&message(), &signature),
                of_key == of_signature,
                "{of_signature} under a key for {of_key}"
            );
        }
    }
}

#[test]
fn an_rsa_pss_salt_may_be_as_long_as_fits() {
    let signers = Signers::new();
    let longest = &const { RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) };
    let signature = DetachedSignature(signers.sign_rsa(longest, &message()));
    assert!(signers.key(SignatureAlgorithm::RsaPss).verifies(&message(), &signature));
}

/// Each forgery with the algorithm whose key it is shown to.
fn forgeries(signers: &Signers) -> Vec<(SignatureAlgorithm, &'static str, String, Vec<u8>)> {
    let strangers = Signers::new();
    let mut forged = Vec::new();
    for algorithm in SignatureAlgorithm::ALL {
        let good = signers.sign(algorithm, &message());
        let mut add = |why, message: String, signature: Vec<u8>| forged.push((algorithm, why, message, signature));
        add("another operator's key", message(), strangers.sign(algorithm, &message()));
        add("signed for another operator", message(), {
            signers.sign(algorithm, &signed_message(&operator("roshan"), sha256(FILE)))
        });
        add(
            "another file's",
            message(),
            signers.sign(algorithm, &signed_message(&operator("awcc"), sha256(b"msisdn\n"))),
        );
        add("the file itself signed", message(), signers.sign(algorithm, std::str::from_utf8(FILE).unwrap()));
        add("no final newline", message(), signers.sign(algorithm, message().trim_end()));
        add("upper-case digest", message(), {
            let upper = hex::encode(sha256(FILE).0).to_uppercase();
            signers.sign(algorithm, &format!("numbering-block-v1\nawcc\n{upper}\n"))
        });
        add("another version of the message", message(), signers.sign(algorithm, &message().replace("-v1", "-v2")));
        add("with CRLF", message(), signers.sign(algorithm, &message().replace('\n', "\r\n")));
        for at in 0..FILE.len().min(12) {
            let mut altered = FILE.to_vec();
            altered[at * 4] ^= 1;
            add("the file altered", signed_message(&operator("awcc"), sha256(&altered)), good.clone());
        }
        for length in [0, 1, good.len() / 2, good.len() - 1] {
            add("the signature truncated", message(), good[..length].to_vec());
        }
        for extra in [0_u8, 1, 0xff] {
            add("the signature extended", message(), [good.as_slice(), &[extra]].concat());
        }
        for at in [0, 1, 2, 3, 4, 5, good.len() / 3, good.len() / 2, good.len() - 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            add("a bit flipped", message(), flipped);
        }
        add("all zero", message(), vec![0; good.len()]);
        add("all ones", message(), vec![0xff; good.len()]);
        add("twice", message(), good.repeat(2));
        for other in SignatureAlgorithm::ALL {
            if other != algorithm {
                add("another algorithm's", message(), signers.sign(other, &message()));
            }
        }
    }
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let wide = p384.sign(&SystemRandom::new(), message().as_bytes()).unwrap().as_ref().to_vec();
    forged.push((SignatureAlgorithm::EcdsaP256, "over P-384", message(), wide));
    let p256 = signers.p256.to_pkcs8v1().unwrap();
    let fixed = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref()).unwrap();
    let fixed = fixed.sign(&SystemRandom::new(), message().as_bytes()).unwrap().as_ref().to_vec();
    forged.push((SignatureAlgorithm::EcdsaP256, "in fixed form", message(), fixed));
    for (why, encoding) in
        [("PKCS #1 v1.5", &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding), ("with SHA-384", &RSA_PSS_SHA384)]
    {
        forged.push((SignatureAlgorithm::RsaPss, why, message(), signers.sign_rsa(encoding, &message())));
    }
    forged
}

#[test]
fn no_forgery_passes() {
    let signers = Signers::new();
    let forged = forgeries(&signers);
    assert!(forged.len() >= 100, "only {} forgeries", forged.len());
    for (algorithm, why, message, signature) in forged {
        assert!(
            !signers.key(algorithm).verifies(&message, &DetachedSignature(signature.clone())),
            "{algorithm}: {why}: {}",
            hex::encode(signature)
        );
    }
}

#[test]
fn a_signature_is_base64_with_padding_and_nothing_else() {
    let bytes: Vec<u8> = (0..64).map(|byte| byte | 0xc0).collect();
    let good = STANDARD.encode(&bytes);
    let broken = format!("{}\r\n{}\n", &good[..40], &good[40..]);
    for text in [good.as_str(), &broken] {
        assert_eq!(DetachedSignature::from_base64(text), Ok(DetachedSignature(bytes.clone())));
    }
    for text in [
        String::new(),
        "\n".to_owned(),
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
        hex::encode(&bytes) + "!",
        format!(" {good}"),
        format!("{good}="),
        format!("{good}AAAA"),
        good.replace("w==", "x=="),
        format!("data:;base64,{good}"),
        "A".repeat(SIGNATURE_MOST_BYTES + 4),
    ] {
        assert_eq!(DetachedSignature::from_base64(&text), Err(MalformedSignature), "{text}");
    }
}

#[test]
fn a_key_is_one_pem_block_of_its_algorithm() {
    let signers = Signers::new();
    for algorithm in SignatureAlgorithm::ALL {
        let good = signers.public_pem(algorithm);
        let key = VerifyingKey::from_pem(algorithm, &good).unwrap();
        assert_eq!(VerifyingKey::from_pem(algorithm, &key.to_pem()).unwrap().to_pem(), key.to_pem());
        assert_eq!(VerifyingKey::from_pem(algorithm, &good.replace('\n', "\r\n")).unwrap().to_pem(), key.to_pem());
        for other in SignatureAlgorithm::ALL {
            assert_eq!(VerifyingKey::from_pem(other, &good).is_ok(), other == algorithm, "{algorithm} as {other}");
        }
        for bad in [
            String::new(),
            good.repeat(2),
            good.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
            good.replace("PUBLIC KEY", "CERTIFICATE"),
            good.replace("PUBLIC KEY", "PRIVATE KEY"),
            good.replace("-----END PUBLIC KEY-----\n", ""),
            format!("hello\n{good}"),
            good.replace("-----BEGIN", "----BEGIN"),
            STANDARD.encode(&key.der),
            format!("{good}{}", " ".repeat(PUBLIC_KEY_MOST_BYTES)),
        ] {
            assert_eq!(VerifyingKey::from_pem(algorithm, &bad).unwrap_err(), KeyRejected::Pem, "{bad}");
        }
        let longer = pem(&[key.der.as_slice(), &[0]].concat());
        let shorter = pem(&key.der[..key.der.len() - 1]);
        for bad in [longer, shorter, pem(&[]), pem(&key.der[1..])] {
            assert_eq!(
                VerifyingKey::from_pem(algorithm, &bad).unwrap_err(),
                KeyRejected::Algorithm(algorithm),
                "{bad}"
            );
        }
    }
}

#[test]
fn raw_keys_and_other_curves_are_refused() {
    let signers = Signers::new();
    let raw = pem(signers.ed25519.public_key().as_ref());
    assert_eq!(
        VerifyingKey::from_pem(SignatureAlgorithm::Ed25519, &raw).unwrap_err(),
        KeyRejected::Algorithm(SignatureAlgorithm::Ed25519)
    );
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let p384 = pem(p384.public_key().as_der().unwrap().as_ref());
    for algorithm in SignatureAlgorithm::ALL {
        assert_eq!(VerifyingKey::from_pem(algorithm, &p384).unwrap_err(), KeyRejected::Algorithm(algorithm));
    }
}

/// Made with `openssl genrsa 1024 | openssl rsa -pubout`.
const RSA_1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDXFpCrzaRPj1DqzLbKKj7/A3xr
ucCVRMEGi+qSe6SelyBDflO4bgJJzU1PDLlXlrVhzVzw+srRJ72+ySFCvQTreJ5U
bSYzIhqQb07ZWyzl+ihb5yk9AyOumMqmArc0emN+N8u9UOV01+HKZ47u9D6dEl/k
RJKxM6p3ygqCtoDOvQIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn a_short_rsa_key_is_refused() {
    assert_eq!(
        VerifyingKey::from_pem(SignatureAlgorithm::RsaPss, RSA_1024).unwrap_err(),
        KeyRejected::Algorithm(SignatureAlgorithm::RsaPss)
    );
}
