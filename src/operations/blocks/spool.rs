//! Where an upload rests until its signature is verified: a file without a name, so that nothing is left of it, however the
//! process ends.

use std::io;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::operations::signature::FileSha256;

/// Why an upload could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It is larger than an import may be.
    #[error("the file is larger than {most_bytes} bytes")]
    TooLarge {
        /// The limit.
        most_bytes: u64,
    },
    /// It could not be written.
    #[error("the file could not be spooled: {0}")]
    Io(#[from] io::Error),
}

/// A file on its way in.
pub struct Spool {
    file: tokio::fs::File,
    hash: Context,
    bytes: u64,
    most_bytes: u64,
}

/// A file that is whole, at its beginning, with what its signature is about.
#[derive(Debug)]
pub struct SpooledFile {
    /// The file.
    pub file: std::fs::File,
    /// Its SHA-256.
    pub sha256: FileSha256,
}

impl Spool {
    /// An empty one, in `directory` or else where the system keeps temporary files.
    pub async fn create(directory: Option<&Path>, most_bytes: u64) -> Result<Self, SpoolError> {
        let directory = directory.map(Path::to_path_buf);
        let made = tokio::task::spawn_blocking(move || match directory {
            Some(directory) => tempfile::tempfile_in(directory),
            None => tempfile::tempfile(),
        });
        let file = made.await.map_err(io::Error::other)??;
        Ok(Self { file: tokio::fs::File::from_std(file), hash: Context::new(&SHA256), bytes: 0, most_bytes })
    }

    /// Appends.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.most_bytes {
            return Err(SpoolError::TooLarge { most_bytes: self.most_bytes });
        }
        self.hash.update(chunk);
        Ok(self.file.write_all(chunk).await?)
    }

    /// The whole file.
    pub async fn finish(mut self) -> Result<SpooledFile, SpoolError> {
        self.file.flush().await?;
        self.file.rewind().await?;
        let mut sha256 = FileSha256([0; 32]);
        sha256.0.copy_from_slice(self.hash.finish().as_ref());
        Ok(SpooledFile { file: self.file.into_std().await, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_back_and_hashed() {
        let mut spool = Spool::create(None, 6).await.unwrap();
        spool.write(b"ab").await.unwrap();
        spool.write(b"c").await.unwrap();
        let mut spooled = spool.finish().await.unwrap();
        let mut text = String::new();
        spooled.file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(spooled.sha256.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[tokio::test]
    async fn a_byte_too_many_is_refused() {
        let mut spool = Spool::create(None, 3).await.unwrap();
        spool.write(b"abc").await.unwrap();
        assert!(matches!(spool.write(b"d").await, Err(SpoolError::TooLarge { most_bytes: 3 })));
    }
}
