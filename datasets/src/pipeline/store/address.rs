//! Where objects are.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use reqwest::Url;

use crate::pipeline::files::matches;

/// The address of an object of an HTTP server, or of one or several of an S3-compatible store: see the
/// [module](crate::pipeline).
///
/// It is shown without a user's name, a password and what follows a `?`, which may be a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    shown: String,
    pub(super) place: Place,
    pub(super) selection: Selection,
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address '{address}': {problem}")]
#[non_exhaustive]
pub struct AddressError {
    /// The address, up to a `?`.
    pub address: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A server or a bucket.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The address without its path.
    Http(Url),
    S3 {
        bucket: String,
    },
}

/// Which objects there.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Selection {
    One(Path),
    /// All below a folder.
    Below(Path),
    /// Those right below a folder whose names match.
    Matching {
        folder: Path,
        pattern: Vec<char>,
    },
}

impl Selection {
    /// The name of `object` below the folder, if it is one of these.
    pub(super) fn name_of<'a>(&self, object: &'a Path) -> Option<&'a str> {
        let below = |folder: &Path| match folder.is_root() {
            true => Some(object.as_ref()),
            false => object.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/'),
        };
        match self {
            Self::One(path) => (path == object).then(|| object.filename())?,
            Self::Below(folder) => below(folder),
            Self::Matching { folder, pattern } => below(folder).filter(|name| {
                let is_hidden = name.starts_with('.') && pattern.first() != Some(&'.');
                !is_hidden && !name.contains('/') && matches(pattern, &name.chars().collect::<Vec<_>>())
            }),
        }
    }
}

impl Address {
    /// The address of one object here.
    pub(super) fn of(&self, object: &Path) -> String {
        match &self.place {
            Place::Http(_) => self.shown.clone(),
            Place::S3 { bucket } => format!("s3://{bucket}/{object}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let parsed = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => http(text),
            "s3" => s3(rest),
            _ => Err("expected http://, https:// or s3:// in front".to_string()),
        };
        parsed.map_err(|problem| AddressError { address: without_secrets(text), problem })
    }
}

/// What may be shown of an address that cannot be read.
fn without_secrets(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) if !scheme.eq_ignore_ascii_case("s3") => {
            format!("{scheme}://{host}")
        }
        _ => text.to_string(),
    }
}

fn http(text: &str) -> Result<Address, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    let path = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
    if url.path().ends_with('/') {
        return Err("it names a folder; an HTTP server has no list of files, so it must name one".to_string());
    }
    url.set_fragment(None);
    let mut shown = url.clone();
    shown.set_query(None);
    // Both fail for an address without a host alone.
    if shown.set_username("").and_then(|()| shown.set_password(None)).is_err() {
        return Err("it has no host".to_string());
    }
    let shown = String::from(shown);
    url.set_path("");
    Ok(Address { shown, place: Place::Http(url), selection: Selection::One(path) })
}

fn s3(rest: &str) -> Result<Address, String> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_inner) {
        return Err(format!("'{bucket}' cannot be the name of a bucket"));
    }
    let path = |key: &str| Path::parse(key).map_err(|error| error.to_string());
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    if folder.contains(['*', '?']) {
        return Err("it has a wildcard in the name of a folder; only the last name may have one".to_string());
    }
    let selection = match name {
        "" => Selection::Below(path(folder)?),
        name if name.contains(['*', '?']) => {
            Selection::Matching { folder: path(folder)?, pattern: name.chars().collect() }
        }
        _ => Selection::One(path(key)?),
    };
    let shown = format!("s3://{bucket}/{key}");
    Ok(Address { shown, place: Place::S3 { bucket: bucket.to_string() }, selection })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (text, shown) in [
            ("https://host/a/b.tar?X-Amz-Signature=hidden", "https://host/a/b.tar"),
            ("http://user:hidden@host:81/a%20b.npz#part", "http://host:81/a%20b.npz"),
            ("s3://bucket", "s3://bucket/"),
            ("S3://bucket/a/part-*.npz", "s3://bucket/a/part-*.npz"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert!(!format!("{address:?}").contains("hidden"));
        }
        for text in ["http://u:hidden@/x", "https://u:hidden@host:port/a?hidden", "https://host/a//b?hidden"]
        {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hidden") && error.starts_with("address 'http"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("ftp://host/a", "address 'ftp://host/a': expected http://, https:// or s3:// in front"),
            ("s3://", "address 's3://': '' cannot be the name of a bucket"),
            ("s3://a b/c", "address 's3://a b/c': 'a b' cannot be the name of a bucket"),
            (
                "https://host/a/",
                "it names a folder; an HTTP server has no list of files, so it must name one",
            ),
            ("s3://b/*/c", "it has a wildcard in the name of a folder; only the last name may have one"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
        assert!("s3://b/a//c".parse::<Address>().is_err());
    }

    #[test]
    fn objects_below_an_address_have_names() {
        let name = |address: &str, object: &str| {
            let address: Address = address.parse().unwrap();
            address.selection.name_of(&Path::parse(object).unwrap()).map(str::to_string)
        };
        assert_eq!(name("s3://b/lake/", "lake/train/a.tar").as_deref(), Some("train/a.tar"));
        assert_eq!(name("s3://b/", "lake/a.tar").as_deref(), Some("lake/a.tar"));
        assert_eq!(name("s3://b/lake/", "lake"), None);
        assert_eq!(name("s3://b/lake/", "lakes/a"), None);
        assert_eq!(name("s3://b/lake/part-??.npz", "lake/part-07.npz").as_deref(), Some("part-07.npz"));
        assert_eq!(name("s3://b/lake/*", "lake/train/a.tar"), None);
        assert_eq!(name("s3://b/lake/*", "lake/.hidden"), None);
        assert_eq!(name("s3://b/lake/a.tar", "lake/a.tar").as_deref(), Some("a.tar"));
    }
}
