//! The catalogue's files as they were compressed into the library.

use std::io::Read;

use stowage_model::Code;

use crate::error::CatalogError;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The age of the facts: on-demand list prices of us-east-1.
pub const PRICE_DATE: &str = "2026-07-20";
/// The age of the instance type facts.
pub const TYPE_DATE: &str = "2026-09-30";

/// The text of one file, such as `regions/us-east-1`.
pub fn file(name: &str) -> Result<String, CatalogError> {
    let broken = |message: String| CatalogError::new(Code::InCatalog, format!("embedded file {name}"), message);
    let at =
        FILES.binary_search_by(|(known, _)| (*known).cmp(name)).map_err(|_| broken("does not exist".to_owned()))?;
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(FILES[at].1).read_to_string(&mut text).map_err(|e| broken(e.to_string()))?;
    Ok(text)
}

/// Names of the files in a folder, without the folder.
pub fn folder(name: &str) -> impl Iterator<Item = &'static str> {
    FILES.iter().filter_map(move |(file, _)| file.strip_prefix(name)?.strip_prefix('/'))
}
