//! Through a proxy, only where one is set: TLS goes through it unopened, so that it never sees the key.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use keyapi_export::simulator::RunningSimulator;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Ended, Job, TOKEN, holds_exactly_the_truth, serve};

/// `someone:hidden`, as a proxy is told it.
const BASIC: &str = "Basic c29tZW9uZTpoaWRkZW4=";

fn file(name: &str) -> String {
    format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Everything up to and with the blank line.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// TLS before the simulator, at a port of its own, with a certificate of the tests' own authority.
fn tls_before(simulator: &RunningSimulator) -> u16 {
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(file("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let (config, behind) = (Arc::new(config), simulator.address());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let mut client = StreamOwned::new(ServerConnection::new(config).unwrap(), client);
                let asked = head(&mut client);
                let mut service = TcpStream::connect(behind).unwrap();
                let asked = asked.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
                service.write_all(asked.as_bytes()).unwrap();
                let mut answer = Vec::new();
                service.read_to_end(&mut answer).unwrap();
                // A run that has ended hangs up.
                let _gone = client.write_all(&answer);
                client.conn.send_close_notify();
                let _gone = client.flush();
            });
        }
    });
    port
}

/// A proxy that makes a way to this machine's ports, or answers what it is told; and all that it was sent in clear text.
struct Proxy {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn that_answers(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || serve_one(client, refusal, &told));
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve_one(mut client: TcpStream, refusal: Option<&'static str>, told: &Mutex<Vec<String>>) {
    let asked = head(&mut client);
    let port = asked.split_whitespace().nth(1).and_then(|target| target.rsplit(':').next()?.parse::<u16>().ok());
    told.lock().unwrap().push(asked);
    let (Some(port), None) = (port, refusal) else {
        let _gone = client.write_all(format!("HTTP/1.1 {}\r\n\r\n", refusal.unwrap_or("400 Bad Request")).as_bytes());
        return;
    };
    let mut service = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from_client, mut to_service) = (client.try_clone().unwrap(), service.try_clone().unwrap());
    std::thread::spawn(move || {
        let _gone = std::io::copy(&mut from_client, &mut to_service);
        let _gone = to_service.shutdown(std::net::Shutdown::Write);
    });
    let _gone = std::io::copy(&mut service, &mut client);
}

fn job(simulator: &RunningSimulator, proxy: &Proxy) -> Job {
    Job::of(simulator)
        .with(&format!("--base-url https://localhost:{}", tls_before(simulator)))
        .with_variable("SSL_CERT_FILE", &file("authority.pem"))
        .with_variable("KEYAPI_EXPORT_SERVICE__PROXY", &format!("http://someone:hidden@{}", proxy.address))
}

/// Neither the key nor the proxy's password is in what the run told.
fn tells_no_secret(ended: &Ended) {
    for secret in [TOKEN, "hidden", BASIC] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}: {ended}");
    }
}

#[test]
fn a_run_goes_through_a_proxy_which_sees_neither_question_nor_key() {
    let simulator = serve(|service| service.world.rows = 200);
    let proxy = Proxy::that_answers(None);
    let job = job(&simulator, &proxy);
    let ended = job.run();
    assert_eq!(ended.code, 0, "{ended}");
    tells_no_secret(&ended);
    holds_exactly_the_truth(&simulator, &job);
    let heard = proxy.heard();
    assert!(!heard.is_empty() && heard.iter().all(|head| head.starts_with("CONNECT localhost:")), "{heard:?}");
    assert!(heard.iter().all(|head| head.contains(BASIC) && !head.contains(TOKEN)), "{heard:?}");
}

#[test]
fn a_proxy_that_makes_no_way_is_named_without_its_password() {
    let simulator = serve(|service| service.world.rows = 200);
    for (answer, patience, code, words) in [
        ("407 Proxy Authentication Required", "60s", 2, "asks for a user name and a password"),
        ("502 Bad Gateway", "1s", 5, "makes no way to the service"),
    ] {
        let proxy = Proxy::that_answers(Some(answer));
        let ended = job(&simulator, &proxy).with(&format!("--give-up-after {patience}")).run();
        assert_eq!(ended.code, code, "{ended}");
        let error = ended.error();
        assert!(error.contains(&format!("the proxy {}", proxy.address)) && error.contains(words), "{error}");
        tells_no_secret(&ended);
    }
    let nobody = Proxy { address: "127.0.0.1:1".to_owned(), heard: Arc::default() };
    let ended = job(&simulator, &nobody).with("--give-up-after 1s").run();
    assert!(
        ended.code == 5 && ended.error().contains("the connection to the proxy 127.0.0.1:1 was refused"),
        "{ended}"
    );
    tells_no_secret(&ended);
    assert_eq!(simulator.stats().requests, 0);
}

#[test]
fn no_key_passes_a_proxy_in_clear_text() {
    let simulator = serve(|service| service.world.rows = 200);
    let through = |proxy: &str| Job::of(&simulator).with_variable("KEYAPI_EXPORT_SERVICE__PROXY", proxy).run();
    let refused = through("http://someone:hidden@proxy.example:3128");
    assert!(refused.code == 2 && refused.error().contains("the proxy proxy.example:3128 in clear text"), "{refused}");
    tells_no_secret(&refused);
    let refused = through("someone:hidden@proxy.example:3128");
    assert!(refused.code == 2 && refused.error().contains("service.proxy"), "{refused}");
    tells_no_secret(&refused);
    assert_eq!(simulator.stats().requests, 0);
}
