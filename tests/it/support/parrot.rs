//! A service that answers with whatever a test wants, byte for byte, and can repeat the key that it was asked with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request as the parrot sees it.
pub(crate) struct Asked {
    /// The key behind `Bearer `.
    pub(crate) key: String,
    /// The value of `page_num`.
    pub(crate) page: u32,
    /// The lines of the request's head.
    pub(crate) head: Vec<String>,
}

/// The pieces of a raw answer; each leaves the machine by itself.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// Serves until it is dropped. Each answer ends its connection.
pub(crate) struct Parrot {
    address: std::net::SocketAddr,
    over: Arc<AtomicBool>,
}

impl Parrot {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Pieces + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (is_over, answer) = (Arc::clone(&over), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                let answer = Arc::clone(&answer);
                // A caller that goes away in the middle is the caller's affair.
                std::thread::spawn(move || stream.and_then(|stream| serve(stream, &*answer)));
            }
        });
        Self { address, over }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the listener, so that it sees that it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Pieces) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let value = |name: &str| {
        let found = head.iter().find(|line| line.to_lowercase().starts_with(name));
        found.map(|line| line[name.len()..].trim().to_owned()).unwrap_or_default()
    };
    let number = head.first().and_then(|line| line.split("page_num=").nth(1)).unwrap_or("1");
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let key = value("authorization:").trim_start_matches("Bearer ").to_owned();
    let page = digits.parse().unwrap_or(1);
    for piece in answer(&Asked { key, page, head }) {
        stream.write_all(&piece)?;
        stream.flush()?;
    }
    Ok(())
}
