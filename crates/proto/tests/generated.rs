//! The committed code is what the `.proto` files generate, byte for byte.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without, it fails without")]

use std::fs;
use std::path::{Path, PathBuf};

use protox::prost::Message as _;

const SOURCE: &str = "numbering/v1/numbering.proto";
const CODE: &str = "numbering.v1.rs";
const DESCRIPTORS: &str = "numbering.v1.bin";

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn compiler() -> protox::Compiler {
    let mut compiler = protox::Compiler::new([crate_root().join("../../proto")]).unwrap();
    compiler.include_imports(true);
    compiler
}

fn generate(out: &Path) {
    let sources = compiler().include_source_info(true).open_file(SOURCE).unwrap().file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(out)
        .client_mod_attribute(".", r#"#[cfg(feature = "client")]"#)
        .compile_fds(sources)
        .unwrap();
    let descriptors = compiler().include_source_info(false).open_file(SOURCE).unwrap().file_descriptor_set();
    fs::write(out.join(DESCRIPTORS), descriptors.encode_to_vec()).unwrap();
}

#[test]
fn the_committed_code_is_what_the_proto_files_generate() {
    let committed: PathBuf = crate_root().join("src/gen");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(&committed).unwrap();
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    for file in [CODE, DESCRIPTORS] {
        let same = fs::read(fresh.path().join(file)).unwrap() == fs::read(committed.join(file)).unwrap_or_default();
        assert!(
            same,
            "src/gen/{file} is stale: run `UPDATE_GENERATED=1 cargo test -p numbering-proto --test generated`"
        );
    }
}
