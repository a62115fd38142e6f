//! What a bucket is asked for: single objects, uploads in pieces, and which of those were never brought to an end.

use async_trait::async_trait;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Location;
use object_store::{MultipartId, ObjectStore};
#[cfg(feature = "cloud")]
use serde::Deserialize;

/// A bucket's objects.
#[async_trait]
pub trait Objects: ObjectStore + MultipartStore {
    /// Whether an upload in pieces stays until it is completed or given up. Where it goes by itself, nothing is to be noted.
    fn keeps_uploads(&self) -> bool {
        true
    }

    /// The ids of the uploads to this object that were neither completed nor given up.
    ///
    /// # Errors
    /// Where the store fails, or has no such list for us.
    async fn uploads_of(&self, object: &Location) -> object_store::Result<Vec<MultipartId>>;
}

/// What a store answers that is asked for its open uploads, as S3 and Google write it.
#[cfg(feature = "cloud")]
#[derive(Deserialize)]
enum Answer {
    ListMultipartUploadsResult {
        #[serde(default, rename = "Upload")]
        uploads: Vec<Open>,
    },
}

#[cfg(feature = "cloud")]
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Open {
    key: String,
    upload_id: MultipartId,
}

/// What a store tells of open uploads: the ids of those to this object. None where it is something else.
#[cfg(feature = "cloud")]
pub(super) fn ids_in(xml: &str, object: &Location) -> Option<Vec<MultipartId>> {
    let Answer::ListMultipartUploadsResult { uploads } = quick_xml::de::from_str(xml).ok()?;
    Some(uploads.into_iter().filter(|upload| upload.key == object.as_ref()).map(|upload| upload.upload_id).collect())
}

#[cfg(all(test, feature = "cloud"))]
mod tests {
    use super::*;

    #[test]
    fn of_open_uploads_those_to_the_very_object_are_found() {
        let upload = |key: &str, id: &str| format!("<Upload>\n<Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
        let list = |uploads: &[String]| {
            format!(
                "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\">{}</ListMultipartUploadsResult>",
                uploads.concat()
            )
        };
        let object = Location::parse("a&b/é.parquet").unwrap();
        let told = list(&[
            upload("a&amp;b/&#233;.parquet", "1"),
            upload("a&#x26;b/é.parquet.1", "2"),
            upload("a&amp;b/é.parquet", "3&lt;"),
        ]);
        assert_eq!(ids_in(&told, &object), Some(vec!["1".to_owned(), "3<".to_owned()]));
        assert_eq!(ids_in(&list(&[]), &object), Some(vec![]));
        // A store that heeds no `uploads` in the query lists objects.
        assert_eq!(ids_in("<ListBucketResult></ListBucketResult>", &object), None);
    }
}
