//! What a bucket is asked for: single objects, uploads in pieces, and which of those were never brought to an end.

use async_trait::async_trait;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Location;
use object_store::{MultipartId, ObjectStore};

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

/// What a store tells of open uploads, as S3 and Google write it: the ids of those to this object. None where it is something else.
#[cfg(feature = "cloud")]
pub(super) fn ids_in(xml: &str, object: &Location) -> Option<Vec<MultipartId>> {
    let uploads = xml.split("<Upload>").skip(1);
    let of_object = uploads.filter(|upload| text_of(upload, "Key").as_deref() == Some(object.as_ref()));
    let is_a_list = xml.contains("<ListMultipartUploadsResult");
    is_a_list.then(|| of_object.filter_map(|upload| text_of(upload, "UploadId")).collect())
}

#[cfg(feature = "cloud")]
fn text_of(xml: &str, element: &str) -> Option<String> {
    let (_, from) = xml.split_once(&format!("<{element}>"))?;
    let (text, _) = from.split_once(&format!("</{element}>"))?;
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';')?;
        plain.push(character(name)?);
        plain.push_str(rest);
    }
    Some(plain)
}

/// What a reference of XML stands for.
#[cfg(feature = "cloud")]
fn character(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
            char::from_u32(hexadecimal.unwrap_or_else(|| number.parse()).ok()?)?
        }
    })
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
