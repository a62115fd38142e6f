//! Where an output is: a folder of this machine, or a prefix in a bucket. Pure.
//!
//! ```text
//! data/videos            a folder
//! s3://BUCKET/PREFIX     S3, and what speaks like it
//! gs://BUCKET/PREFIX     Google Cloud Storage
//! az://CONTAINER/PREFIX  Azure Blob Storage
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

/// The address of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Bucket(BucketAddress),
}

/// A prefix in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAddress {
    /// Whose store it is.
    pub provider: Provider,
    /// The bucket, or the container.
    pub name: String,
    /// What the names of all its objects begin with, without slashes at either end; empty for the bucket as a whole.
    pub prefix: String,
}

/// Whose store a bucket is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// S3.
    Amazon,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// An address that names no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Its scheme is none that is known.
    #[error("`{scheme}://` is no scheme of an output")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// No bucket follows its scheme.
    #[error("it names no bucket")]
    NoBucket,
    /// What follows the bucket has an empty, `.` or `..` level, or a character that means something else in an address.
    #[error("`{0}` is no prefix")]
    Prefix(String),
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 3] = [Self::Amazon, Self::Google, Self::Azure];

    /// What stands before `://`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Amazon => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl Address {
    /// Reads an address as it was written. A path is taken as it is.
    ///
    /// # Errors
    /// A scheme that is not known, no bucket, a prefix that no object can have.
    pub fn parse(written: &Path) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = written.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Self::Folder(written.to_owned()));
        };
        let provider = Provider::ALL.into_iter().find(|provider| provider.scheme() == scheme);
        let provider = provider.ok_or_else(|| AddressError::Scheme { scheme: scheme.to_owned() })?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(AddressError::NoBucket);
        }
        let prefix = prefix.trim_end_matches('/');
        let is_odd = |level: &str| matches!(level, "" | "." | "..") || level.contains(['?', '#', '*', '\\']);
        if !prefix.is_empty() && prefix.split('/').any(is_odd) {
            return Err(AddressError::Prefix(prefix.to_owned()));
        }
        Ok(Self::Bucket(BucketAddress { provider, name: name.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl Address {
    /// The folder; none where it is in a bucket.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Bucket(_) => None,
        }
    }
}

impl BucketAddress {
    /// A name for a local folder that belongs to it: bucket and prefix, with `-` between the levels.
    pub fn folder_name(&self) -> String {
        let levels =
            std::iter::once(self.name.as_str()).chain(self.prefix.split('/').filter(|level| !level.is_empty()));
        levels.collect::<Vec<_>>().join("-")
    }
}

impl From<&Path> for Address {
    /// The folder at this path.
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}

impl From<&PathBuf> for Address {
    /// The folder at this path.
    fn from(folder: &PathBuf) -> Self {
        Self::Folder(folder.clone())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(formatter),
            Self::Bucket(BucketAddress { provider, name, prefix }) if prefix.is_empty() => {
                write!(formatter, "{}://{name}", provider.scheme())
            }
            Self::Bucket(BucketAddress { provider, name, prefix }) => {
                write!(formatter, "{}://{name}/{prefix}", provider.scheme())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Address, AddressError> {
        Address::parse(Path::new(text))
    }

    #[test]
    fn an_address_is_told_as_it_was_written_but_for_slashes_at_its_end() {
        for text in
            ["out", "/data/videos", "./x", "s3://lake/videos/us", "gs://lake/videos", "az://lake/videos", "s3://lake"]
        {
            assert_eq!(parsed(text).unwrap().to_string(), text);
        }
        assert_eq!(parsed("s3://lake/videos//").unwrap(), parsed("s3://lake/videos").unwrap());
        assert_eq!(parsed("s3://lake/").unwrap().to_string(), "s3://lake");
        assert_eq!(parsed("s3:/lake").unwrap(), Address::Folder("s3:/lake".into()));
    }

    #[test]
    fn what_names_no_output_is_refused() {
        assert_eq!(parsed("s3a://x/y"), Err(AddressError::Scheme { scheme: "s3a".to_owned() }));
        assert_eq!(parsed("https://x/y"), Err(AddressError::Scheme { scheme: "https".to_owned() }));
        assert_eq!(parsed("s3:///y"), Err(AddressError::NoBucket));
        for odd in ["s3://b/a//b", "s3://b/../a", "s3://b/a?x=1", "s3://b/*"] {
            assert!(matches!(parsed(odd), Err(AddressError::Prefix(_))), "{odd}");
        }
    }

    #[test]
    fn a_bucket_has_a_name_for_a_local_folder() {
        let name = |text| match parsed(text).unwrap() {
            Address::Bucket(bucket) => bucket.folder_name(),
            Address::Folder(_) => unreachable!("it is a bucket"),
        };
        assert_eq!(name("s3://lake/videos/us"), "lake-videos-us");
        assert_eq!(name("gs://lake"), "lake");
    }
}
