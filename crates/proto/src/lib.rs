//! The gRPC interface as Rust: messages, the server's side, and behind the feature `client` the client's.
//!
//! The code under `src/gen` is generated from `proto/` and committed, so that building needs no protobuf compiler. A test
//! (`tests/generated.rs`) generates it again and compares; `UPDATE_GENERATED=1` has it write instead.

/// Package `numbering.v1`.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
pub mod v1 {
    include!("gen/numbering.v1.rs");
}

/// The `FileDescriptorSet` of the interface with what it imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/numbering.v1.bin");
