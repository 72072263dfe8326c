//! TLS, where a certificate and its key are configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Grpc;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read as PEM.
    #[error("{}: {fault}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        fault: pem::Error,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("grpc.tls_cert and grpc.tls_key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What accepts TLS; `None` where none is configured.
pub(super) fn acceptor(settings: &Grpc) -> Result<Option<TlsAcceptor>, TlsFault> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |fault| TlsFault::File { path, fault }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(fault(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(fault(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
