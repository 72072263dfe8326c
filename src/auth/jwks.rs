//! The issuer's keys: read from a file or over HTTP, kept, and read again.
//!
//! What must stay true: one algorithm for each key, fixed by the key set and never by a token; the last good set stays in
//! force when reading fails; and no token can make this service read more often than every [`UNKNOWN_KEY_PAUSE`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::TokenAlgorithm;

/// The least time between two readings that unknown keys ask for.
pub const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const DOCUMENT_MOST_BYTES: usize = 262_144;
const KEYS_MOST: usize = 100;

/// RSA keys below 2,048 bits are refused; base64 of the modulus is this long at least.
const RSA_MODULUS_LEAST_BYTES: usize = 256;

/// Why the key set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JwksFault {
    /// The file could not be read.
    #[error("the key set {path} cannot be read: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address could not be read.
    #[error("the key set cannot be fetched: {0}")]
    Fetch(#[from] reqwest::Error),
    /// The document is larger than a key set ever is.
    #[error("the key set is larger than {DOCUMENT_MOST_BYTES} bytes")]
    TooLarge,
    /// It is no JSON Web Key Set.
    #[error("the key set is no JSON Web Key Set: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Nothing in it can check a token.
    #[error(
        "the key set has no usable key of the accepted algorithms: each needs a kid of its own, and no private part"
    )]
    NoUsableKey,
}

/// A public key and the one algorithm it is used with.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: TokenAlgorithm,
    key: DecodingKey,
}

impl Key {
    pub(super) fn verifies(&self, signed: &[u8], signature: &str) -> bool {
        let algorithm = match self.algorithm {
            TokenAlgorithm::EdDsa => Algorithm::EdDSA,
            TokenAlgorithm::Es256 => Algorithm::ES256,
            TokenAlgorithm::Es384 => Algorithm::ES384,
            TokenAlgorithm::Rs256 => Algorithm::RS256,
            TokenAlgorithm::Rs384 => Algorithm::RS384,
            TokenAlgorithm::Rs512 => Algorithm::RS512,
            TokenAlgorithm::Ps256 => Algorithm::PS256,
            TokenAlgorithm::Ps384 => Algorithm::PS384,
            TokenAlgorithm::Ps512 => Algorithm::PS512,
        };
        jsonwebtoken::crypto::verify(signature, signed, &self.key, algorithm).unwrap_or(false)
    }
}

/// The usable keys of one document.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: HashMap<String, Key>,
    /// Counts documents that differed; tokens verified with another one are not trusted.
    pub(super) generation: u64,
    document: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a JWK that matter, by RFC 7517 and 7518.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<serde_json::Value>,
}

impl KeySet {
    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes the usable keys. What this service cannot use (other algorithms, encryption) is passed over, as key sets are
    /// shared; what is dangerous (a `kid` twice, a private part) too, and said so in the log.
    pub(super) fn parse(document: &[u8], accepted: &[TokenAlgorithm]) -> Result<Self, JwksFault> {
        let parsed: Document = serde_json::from_slice(document)?;
        let mut keys: HashMap<String, Option<Key>> = HashMap::new();
        for value in parsed.keys.into_iter().take(KEYS_MOST) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            if let Some(twice) = keys.get_mut(&jwk.kid) {
                tracing::warn!(kid = jwk.kid, "two keys of the key set have one kid: neither is used");
                *twice = None;
                continue;
            }
            if jwk.d.is_some() {
                tracing::error!(kid = jwk.kid, "the key set publishes a private key: it is not used");
                continue;
            }
            if let Some(key) = jwk.usable(accepted) {
                keys.insert(jwk.kid, Some(key));
            }
        }
        let keys: HashMap<String, Key> = keys.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect();
        if keys.is_empty() { Err(JwksFault::NoUsableKey) } else { Ok(Self { keys, ..Self::default() }) }
    }
}

impl Jwk {
    fn usable(&self, accepted: &[TokenAlgorithm]) -> Option<Key> {
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let algorithm = self.algorithm()?;
        if !signs || !accepted.contains(&algorithm) {
            return None;
        }
        let key = match algorithm {
            TokenAlgorithm::EdDsa => DecodingKey::from_ed_components(self.x.as_deref()?),
            TokenAlgorithm::Es256 | TokenAlgorithm::Es384 => {
                DecodingKey::from_ec_components(self.x.as_deref()?, self.y.as_deref()?)
            }
            TokenAlgorithm::Rs256
            | TokenAlgorithm::Rs384
            | TokenAlgorithm::Rs512
            | TokenAlgorithm::Ps256
            | TokenAlgorithm::Ps384
            | TokenAlgorithm::Ps512 => {
                let modulus = self.n.as_deref()?;
                if modulus.len() * 3 / 4 < RSA_MODULUS_LEAST_BYTES {
                    return None;
                }
                DecodingKey::from_rsa_components(modulus, self.e.as_deref()?)
            }
        };
        Some(Key { algorithm, key: key.ok()? })
    }

    /// The one algorithm of the key: what its type allows, narrowed by `alg`. An RSA key that names none is for RS256.
    fn algorithm(&self) -> Option<TokenAlgorithm> {
        let named = match &self.alg {
            Some(name) => Some(TokenAlgorithm::parse(name)?),
            None => None,
        };
        let by_type = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => TokenAlgorithm::EdDsa,
            ("EC", Some("P-256")) => TokenAlgorithm::Es256,
            ("EC", Some("P-384")) => TokenAlgorithm::Es384,
            ("RSA", None) => {
                let named = named.unwrap_or(TokenAlgorithm::Rs256);
                let curves = [TokenAlgorithm::EdDsa, TokenAlgorithm::Es256, TokenAlgorithm::Es384];
                return (!curves.contains(&named)).then_some(named);
            }
            _ => return None,
        };
        named.is_none_or(|named| named == by_type).then_some(by_type)
    }
}

/// Where the document is.
enum Source {
    File(PathBuf),
    Address(String, reqwest::Client),
}

impl Source {
    fn new(jwks: &str) -> Result<Self, JwksFault> {
        let secure = jwks.starts_with("https://");
        if !secure && !jwks.starts_with("http://") {
            return Ok(Self::File(jwks.into()));
        }
        // A second call in one process finds it installed, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        // Without TLS no certificates are needed, and a bare container has none.
        let client = if secure { client } else { client.tls_certs_only([]) };
        Ok(Self::Address(jwks.to_owned(), client.build()?))
    }

    async fn read(&self) -> Result<Vec<u8>, JwksFault> {
        match self {
            Self::File(path) => {
                let fault = |source| JwksFault::File { path: path.clone(), source };
                if tokio::fs::metadata(path).await.map_err(fault)?.len() > DOCUMENT_MOST_BYTES as u64 {
                    return Err(JwksFault::TooLarge);
                }
                tokio::fs::read(path).await.map_err(fault)
            }
            Self::Address(address, client) => {
                let mut response = client.get(address).send().await?.error_for_status()?;
                let mut document = Vec::new();
                while let Some(chunk) = response.chunk().await? {
                    if document.len() + chunk.len() > DOCUMENT_MOST_BYTES {
                        return Err(JwksFault::TooLarge);
                    }
                    document.extend_from_slice(&chunk);
                }
                Ok(document)
            }
        }
    }
}

/// The keys in force.
pub(super) struct Jwks {
    source: Source,
    accepted: Vec<TokenAlgorithm>,
    in_force: ArcSwap<KeySet>,
    /// When the last reading began; held while one is under way, so that there is one at a time.
    last_reading: Mutex<Option<Instant>>,
}

impl Jwks {
    pub(super) fn new(jwks: &str, accepted: &[TokenAlgorithm]) -> Result<Self, JwksFault> {
        Ok(Self {
            source: Source::new(jwks)?,
            accepted: accepted.to_vec(),
            in_force: ArcSwap::default(),
            last_reading: Mutex::default(),
        })
    }

    pub(super) fn in_force(&self) -> Arc<KeySet> {
        self.in_force.load_full()
    }

    /// Which set of keys is in force, counted.
    pub(super) fn generation(&self) -> u64 {
        self.in_force.load().generation
    }

    /// Reads the document again. Returns how many keys are in force.
    pub(super) async fn refresh(&self) -> Result<usize, JwksFault> {
        let mut last_reading = self.last_reading.lock().await;
        *last_reading = Some(Instant::now());
        self.read().await
    }

    /// Reads the document because a token names a key that is not in it; `None` where that was done just before.
    pub(super) async fn refresh_for_unknown_key(&self) -> Option<Result<usize, JwksFault>> {
        let mut last_reading = self.last_reading.lock().await;
        if last_reading.is_some_and(|last| last.elapsed() < UNKNOWN_KEY_PAUSE) {
            return None;
        }
        *last_reading = Some(Instant::now());
        Some(self.read().await)
    }

    async fn read(&self) -> Result<usize, JwksFault> {
        let document = self.source.read().await?;
        let hash: [u8; 32] = sha256(&document);
        let before = self.in_force.load();
        if before.document != Some(hash) {
            let keys = KeySet::parse(&document, &self.accepted)?;
            let generation = before.generation + 1;
            tracing::info!(keys = keys.len(), generation, "the issuer's key set is in force");
            self.in_force.store(Arc::new(KeySet { generation, document: Some(hash), ..keys }));
        }
        Ok(self.in_force.load().len())
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
