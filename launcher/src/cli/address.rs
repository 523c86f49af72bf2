//! Addresses of servers, which may stand where files can.

use std::path::{Path, PathBuf};

#[cfg(feature = "object-store")]
use isograd_datasets::pipeline::Address;

/// Whether `text` is meant as an address, with whatever mistakes.
pub(crate) fn is_meant(text: &str) -> bool {
    let (scheme, _) = text.split_once("://").unwrap_or_default();
    ["http", "https", "s3"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// A path, or an address that can be read.
pub(super) fn path(path: PathBuf) -> Result<PathBuf, String> {
    path.to_str().filter(|text| is_meant(text)).map_or(Ok(()), check)?;
    Ok(path)
}

#[cfg(feature = "object-store")]
fn check(text: &str) -> Result<(), String> {
    text.parse::<Address>().map(drop).map_err(|error| error.problem)
}

#[cfg(not(feature = "object-store"))]
fn check(_: &str) -> Result<(), String> {
    Err("this isograd reads no addresses of servers: it was built without the feature object-store"
        .to_string())
}

/// A path, or an address without what may be secret in it: for tables and messages.
pub(crate) fn shown(path: &Path) -> String {
    #[cfg(feature = "object-store")]
    if let Some(address) =
        path.to_str().filter(|text| is_meant(text)).and_then(|text| text.parse::<Address>().ok())
    {
        return address.to_string();
    }
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_the_feature() {
        assert_eq!(path("./a.tar".into()), Ok(PathBuf::from("./a.tar")));
        assert_eq!(path("C:/a.tar".into()), Ok(PathBuf::from("C:/a.tar")));
        let read = path("https://host/a.tar?signature=x".into());
        match cfg!(feature = "object-store") {
            true => assert_eq!(read.map(|path| shown(&path)), Ok("https://host/a.tar".to_string())),
            false => assert!(read.unwrap_err().ends_with("it was built without the feature object-store")),
        }
        assert!(path("S3://a b/c".into()).is_err());
    }
}
