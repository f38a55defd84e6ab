//! Packs the catalogue's files, compressed, into the library.

use std::io::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../instance-catalog");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<(String, PathBuf)> = vec![("zones".to_owned(), root.join("zones.csv"))];
    for folder in ["types", "regions"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|s| s.to_str()).ok_or("a file name that is not UTF-8")?;
            files.push((format!("{folder}/{stem}"), path.clone()));
        }
    }
    files.sort();
    let mut table = String::from("pub(crate) const FILES: &[(&str, &[u8])] = &[\n");
    for (index, (name, path)) in files.iter().enumerate() {
        let packed = out.join(format!("{index}.z"));
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&std::fs::read(path)?)?;
        std::fs::write(&packed, encoder.finish()?)?;
        table.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", packed));
    }
    table.push_str("];\n");
    std::fs::write(out.join("files.rs"), table)?;
    Ok(())
}
