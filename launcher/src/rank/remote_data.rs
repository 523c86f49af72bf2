//! Data sets at addresses of servers: they are brought to files of this host before they are opened.

use crate::cli::address;
use crate::failure::Failure;
use std::borrow::Cow;
use std::path::Path;

/// The file or the folder to open for `path`, which `option` names: what is at an address is downloaded into
/// the user's cache, as far as it is not there.
pub(crate) fn local<'p>(path: &'p Path, option: &'static str) -> Result<Cow<'p, Path>, Failure> {
    match path.to_str().filter(|text| address::is_meant(text)) {
        Some(text) => download(text, option).map(Cow::Owned),
        None => Ok(Cow::Borrowed(path)),
    }
}

#[cfg(feature = "object-store")]
fn download(text: &str, option: &'static str) -> Result<std::path::PathBuf, Failure> {
    use crate::system::cache_folder;
    use crate::system::status_line::StatusLine;
    use isograd_datasets::pipeline::{Address, StoreOptions, mirror};
    use sha2::{Digest, Sha256};

    let usage = |problem: String| Failure::Usage { problem: format!("{option}: {problem}"), hint: None };
    let address: Address = text.parse().map_err(|error| usage(format!("{error}")))?;
    let no_cache = "there is no folder for downloads: neither XDG_CACHE_HOME nor HOME is set";
    let cache = cache_folder::find().ok_or_else(|| usage(no_cache.to_string()))?;
    // What follows a `?` may choose the object, so it counts.
    let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut line = StatusLine::on_terminal();
    if let Some(line) = &mut line {
        line.show(&format!("downloading {address}"));
    }
    let options = StoreOptions::default().with_variables(std::env::vars_os().filter_map(|(name, value)| {
        // Others are not for a store.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }));
    let downloaded = mirror(&address, &cache.join("objects").join(digest), &options);
    downloaded.map_err(|source| Failure::Download { option, source })
}

#[cfg(not(feature = "object-store"))]
fn download(text: &str, option: &'static str) -> Result<std::path::PathBuf, Failure> {
    // The parser refuses them; a saved run may be of another build.
    let problem = format!("{option}: {text}: this isograd was built without the feature object-store");
    Err(Failure::Usage { problem, hint: None })
}
