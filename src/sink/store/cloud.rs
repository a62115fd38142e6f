//! Buckets as the environment addresses them: each provider's ordinary variables, as `object_store` reads them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Location;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ClientConfigKey, Error, MultipartId, Result, RetryConfig};

use super::objects::{Objects, ids_in};
use super::{Bucket, StoreError, Writers};
use crate::sink::address::{BucketAddress, Provider};

/// How long one request may take; a piece of an upload is the largest.
const REQUEST_TIMEOUT: &str = "60s";
/// How often a request is sent again that failed in passing.
const MOST_RETRIES: usize = 8;
/// How long a request is sent again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a store may take to list open uploads; the request is signed for as long.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses a bucket. Nothing is sent.
///
/// # Errors
/// Where a variable of the environment cannot be understood.
pub(super) fn open(bucket: &BucketAddress, told: &str, writers: Writers) -> Result<Bucket, StoreError> {
    Ok(Bucket::new(objects(bucket, told)?, &bucket.prefix, told, writers))
}

/// The objects of a bucket. Nothing is sent.
///
/// # Errors
/// Where a variable of the environment cannot be understood.
pub(super) fn objects(bucket: &BucketAddress, told: &str) -> Result<Arc<dyn Objects>, StoreError> {
    // A provider that is installed already serves as well, so a refusal is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    build(bucket).map_err(|source| StoreError::Setup { output: told.to_owned(), source })
}

#[async_trait]
impl Objects for AmazonS3 {
    async fn uploads_of(&self, object: &Location) -> Result<Vec<MultipartId>> {
        listed(self, object).await
    }
}

#[async_trait]
impl Objects for GoogleCloudStorage {
    async fn uploads_of(&self, object: &Location) -> Result<Vec<MultipartId>> {
        listed(self, object).await
    }
}

/// Pieces that were not put together are gone after a week, and there is nothing that could give them up.
#[async_trait]
impl Objects for MicrosoftAzure {
    fn keeps_uploads(&self) -> bool {
        false
    }

    async fn uploads_of(&self, _object: &Location) -> Result<Vec<MultipartId>> {
        Ok(Vec::new())
    }
}

/// Asks for the open uploads to an object, for which `object_store` has no request, but signs one.
async fn listed(signer: &dyn Signer, object: &Location) -> Result<Vec<MultipartId>> {
    let failed = |source| Error::Generic { store: "bucket", source };
    let query = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", object.as_ref())]);
    let url = signer.signed_url_opts(Method::GET, &Location::default(), LIST_TIMEOUT, &query).await?;
    let asked = async {
        let client = reqwest::Client::builder().timeout(LIST_TIMEOUT).build()?;
        client.get(url).send().await?.error_for_status()?.text().await
    };
    // The address holds the signature.
    let told = asked.await.map_err(|error| failed(error.without_url().into()))?;
    ids_in(&told, object).ok_or_else(|| failed("it has no list of open uploads".into()))
}

fn build(bucket: &BucketAddress) -> Result<Arc<dyn Objects>> {
    let retry = RetryConfig { max_retries: MOST_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let name = bucket.name.as_str();
    let timeout = ClientConfigKey::Timeout;
    Ok(match bucket.provider {
        Provider::Amazon => {
            let store = AmazonS3Builder::from_env().with_bucket_name(name).with_retry(retry);
            Arc::new(store.with_config(AmazonS3ConfigKey::Client(timeout), REQUEST_TIMEOUT).build()?)
        }
        Provider::Google => {
            let store = GoogleCloudStorageBuilder::from_env().with_bucket_name(name).with_retry(retry);
            Arc::new(store.with_config(GoogleConfigKey::Client(timeout), REQUEST_TIMEOUT).build()?)
        }
        Provider::Azure => {
            let store = MicrosoftAzureBuilder::from_env().with_container_name(name).with_retry(retry);
            Arc::new(store.with_config(AzureConfigKey::Client(timeout), REQUEST_TIMEOUT).build()?)
        }
    })
}
