//! A bucket to export into: moto's S3, started on a port of its own, or another store that a variable names.
//!
//! After each start the bucket is copied into the job's output folder, so that whatever looks at a folder looks at a bucket too.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Location;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::runtime::Runtime;

/// Names a bucket in place of moto's, such as `s3://lake` or `az://lake`; the provider's variables say the rest.
const ADDRESS: &str = "LAKE";
/// The program's own bucket in moto.
const BUCKET: &str = "lake";

/// A prefix in a bucket.
#[derive(Clone)]
pub(crate) struct Lake {
    address: String,
    prefix: String,
    variables: Vec<(String, String)>,
    store: Arc<dyn ObjectStore>,
    /// Signs what `object_store` has no way to ask; of S3 alone.
    signer: Option<Arc<dyn Signer>>,
    runtime: Arc<Runtime>,
    /// Where an S3 that is reached without TLS listens.
    listens_at: Option<String>,
    _server: Option<Arc<Moto>>,
}

struct Moto {
    child: Child,
    endpoint: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Lake {
    /// An empty prefix of a bucket; none where there is no server for it here, which is told.
    pub(crate) fn start() -> Option<Self> {
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime =
            Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        let prefix = format!("videos/{:016x}", rand::random::<u64>());
        if let Ok(bucket) = std::env::var(ADDRESS) {
            let (scheme, name) = bucket.split_once("://").unwrap();
            let mut signer: Option<Arc<dyn Signer>> = None;
            let store: Arc<dyn ObjectStore> = match scheme {
                "s3" => {
                    let store = Arc::new(AmazonS3Builder::from_env().with_bucket_name(name).build().unwrap());
                    signer = Some(Arc::<object_store::aws::AmazonS3>::clone(&store));
                    store
                }
                "gs" => Arc::new(GoogleCloudStorageBuilder::from_env().with_bucket_name(name).build().unwrap()),
                _ => Arc::new(MicrosoftAzureBuilder::from_env().with_container_name(name).build().unwrap()),
            };
            let address = format!("{bucket}/{prefix}");
            let endpoint = std::env::var("AWS_ENDPOINT_URL").ok().filter(|_| scheme == "s3");
            let listens_at = endpoint.as_deref().and_then(without_scheme);
            let variables = Vec::new();
            return Some(Self { address, prefix, variables, store, signer, runtime, listens_at, _server: None });
        }
        let Some(server) = Moto::start() else {
            println!(
                "skipped: moto_server is neither in target/moto_server nor on the path (pip install 'moto[server,s3]')"
            );
            return None;
        };
        let variables = [
            ("AWS_ENDPOINT_URL", server.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let store = AmazonS3Builder::new()
            .with_endpoint(&server.endpoint)
            .with_access_key_id("key")
            .with_secret_access_key("secret")
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .build()
            .unwrap();
        let store = Arc::new(store);
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let lake = Self {
            address: format!("s3://{BUCKET}/{prefix}"),
            prefix,
            variables,
            signer: Some(Arc::<object_store::aws::AmazonS3>::clone(&store)),
            store,
            runtime,
            listens_at: without_scheme(&server.endpoint),
            _server: Some(Arc::new(server)),
        };
        lake.ask(Method::PUT, &[]);
        Some(lake)
    }

    /// Another prefix of the same bucket, whose name goes on after this one's.
    pub(crate) fn beside(&self, ending: &str) -> Self {
        let (address, prefix) = (format!("{}{ending}", self.address), format!("{}{ending}", self.prefix));
        Self { address, prefix, ..self.clone() }
    }

    /// Where its server listens; none of one that nothing can be put before.
    pub(crate) fn listens_at(&self) -> Option<&str> {
        self.listens_at.as_deref()
    }

    /// What `--out` is given.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Variables that the program needs to find it.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The names of all objects below the prefix, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let below = Location::from(self.prefix.as_str());
        let listed = self.store.list(Some(&below)).map_ok(|object| object.location.to_string());
        let names: Vec<String> = self.runtime.block_on(listed.try_collect()).unwrap();
        let mut names: Vec<String> =
            names.iter().map(|name| name.strip_prefix(&format!("{}/", self.prefix)).unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Copies everything into a folder, in place of what is there.
    pub(crate) fn pull(&self, folder: &Path) {
        let _there_may_be_none = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).unwrap();
        for name in self.names() {
            let read = async {
                match self.store.get(&self.location(&name)).await {
                    // Another process may have taken it away meanwhile.
                    Err(object_store::Error::NotFound { .. }) => None,
                    found => Some(found.unwrap().bytes().await.unwrap()),
                }
            };
            let Some(content) = self.runtime.block_on(read) else { continue };
            let file = folder.join(&name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
    }

    /// Puts a folder's files in the place of everything that is there.
    pub(crate) fn push(&self, folder: &Path) {
        for name in self.names() {
            self.runtime.block_on(self.store.delete(&self.location(&name))).unwrap();
        }
        for file in super::files_below(folder) {
            let name = file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let content = PutPayload::from(std::fs::read(&file).unwrap());
            self.runtime.block_on(self.store.put(&self.location(&name), content)).unwrap();
        }
    }

    /// Uploads in pieces below the prefix that were neither completed nor given up; of S3 alone.
    pub(crate) fn open_uploads(&self) -> usize {
        self.ask(Method::GET, &[("uploads", ""), ("prefix", &self.prefix)]).matches("<UploadId>").count()
    }

    fn location(&self, name: &str) -> Location {
        Location::parse(format!("{}/{name}", self.prefix)).unwrap()
    }

    /// A request for the bucket itself, which `object_store` has no way to ask.
    fn ask(&self, method: Method, query: &[(&str, &str)]) -> String {
        let Some(signer) = &self.signer else { return String::new() };
        let query = SignedUrlOptions::new().with_query(query.iter().copied());
        let asked = async {
            let lasts = std::time::Duration::from_secs(60);
            let url = signer.signed_url_opts(method.clone(), &Location::default(), lasts, &query).await.unwrap();
            let asked = reqwest::Client::new().request(method, url).header("content-length", 0);
            let answer = asked.send().await.unwrap();
            answer.error_for_status().unwrap().text().await.unwrap()
        };
        self.runtime.block_on(asked)
    }
}

/// Host and port of an address without TLS.
fn without_scheme(endpoint: &str) -> Option<String> {
    Some(endpoint.strip_prefix("http://")?.trim_end_matches('/').to_owned())
}

impl Moto {
    fn start() -> Option<Self> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/moto_server/bin/moto_server");
        let program = if installed.exists() { installed } else { PathBuf::from("moto_server") };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut told = BufReader::new(child.stderr.take()?);
        let mut line = String::new();
        while told.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some((_, endpoint)) = line.split_once("Running on ") {
                let endpoint = endpoint.split_whitespace().next()?.to_owned();
                // Its log of requests is read to nobody, so that it never waits for a reader.
                std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
                return Some(Self { child, endpoint });
            }
            line.clear();
        }
        panic!("moto_server ended before it served anything");
    }
}
