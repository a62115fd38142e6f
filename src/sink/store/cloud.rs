//! Buckets as the environment addresses them: each provider's ordinary variables, as `object_store` reads them.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, RetryConfig};

use super::{Bucket, Objects, StoreError, Writers};
use crate::sink::address::{BucketAddress, Provider};

/// How long one request may take; a piece of an upload is the largest.
const REQUEST_TIMEOUT: &str = "60s";
/// How often a request is sent again that failed in passing.
const MOST_RETRIES: usize = 8;
/// How long a request is sent again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

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

fn build(bucket: &BucketAddress) -> object_store::Result<Arc<dyn Objects>> {
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
