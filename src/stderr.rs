//! What the process says on stderr: one thread writes it, and nobody waits for that thread.
//!
//! A stderr may be closed, on a full disk, a pipe whose reader is gone, a terminal that hung up, or a pipe that nobody reads.
//! A run goes on in each case: what finds no room in a bounded queue, or cannot be written, is dropped and counted, and the end
//! of the process waits for the rest only so long. Below the text stands a frame, the bars of a terminal, drawn by the same
//! thread, so that neither tears the other.

mod canvas;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use canvas::Canvas;

/// Bytes that may wait to be written; a line that finds less room is dropped.
const MOST_WAITING: usize = 1 << 20;
/// How long the writing thread rests where a stream that does not block has no room.
const NO_ROOM_REST: Duration = Duration::from_millis(10);

/// The way to stderr; cheap to clone. Nothing here blocks for longer than a memory copy, but for [`Stderr::flush`], and nothing fails.
#[derive(Clone, Debug)]
pub struct Stderr {
    shared: Arc<Shared>,
    /// Whether the system gave a thread that writes; else what waits is written at the end.
    has_thread: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    frame: Frame,
    /// Whether the thread has taken something that is not written yet.
    is_writing: bool,
    lost_lines: u64,
}

#[derive(Debug, Default)]
struct Frame {
    lines: Vec<String>,
    is_due: bool,
}

/// What the thread takes to write it.
struct Batch {
    text: Vec<u8>,
    frame: Vec<String>,
}

impl Stderr {
    /// Begins to write to `stream`, on a thread of its own. Where the system gives no thread, what waits goes to the process's stderr when it is
    /// flushed, so that a program which ends for lack of threads says so.
    pub fn start(stream: impl Write + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("stderr".to_owned()).spawn(move || serve(&writer, stream));
        Self { shared, has_thread: thread.is_ok() }
    }

    /// Leaves whole lines to be written, each with its final newline. Drops them where too much waits already.
    pub fn write(&self, lines: &[u8]) {
        let mut state = self.shared.lock();
        if !state.text.is_empty() && state.text.len().saturating_add(lines.len()) > MOST_WAITING {
            state.lost_lines += count_lines(lines);
            return;
        }
        state.text.extend_from_slice(lines.get(..MOST_WAITING).unwrap_or(lines));
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Leaves the lines that are to stand below the text from now on; none take the frame away. The latest wins.
    pub fn show(&self, lines: Vec<String>) {
        let mut state = self.shared.lock();
        if state.frame.lines != lines {
            state.frame = Frame { lines, is_due: true };
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    /// Lines that were dropped, or could not be written, since the process began.
    pub fn lost_lines(&self) -> u64 {
        self.shared.lock().lost_lines
    }

    /// Waits until everything is written, but not longer than `patience`; whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.shared.lock();
        if !self.has_thread {
            state.frame.is_due = false;
            let text = std::mem::take(&mut state.text);
            return write_all(&mut io::stderr(), &text).is_ok();
        }
        while state.is_writing || !state.text.is_empty() || state.frame.is_due {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No step between lock and unlock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write.
    fn take(&self) -> Batch {
        let mut state = self.lock();
        while state.text.is_empty() && !state.frame.is_due {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writing = true;
        state.frame.is_due = false;
        Batch { text: std::mem::take(&mut state.text), frame: state.frame.lines.clone() }
    }

    fn put_down(&self, lost_lines: u64) {
        let mut state = self.lock();
        state.is_writing = false;
        state.lost_lines += lost_lines;
        drop(state);
        self.changed.notify_all();
    }
}

/// The thread's work. It ends with the process.
fn serve(shared: &Shared, mut stream: impl Write) {
    let mut canvas = Canvas::default();
    let mut is_broken = false;
    loop {
        let batch = shared.take();
        let mut bytes = canvas.replace(&batch.text, &batch.frame, columns());
        if is_broken {
            // What could not be written may have ended within a line.
            bytes.insert(0, b'\n');
        }
        is_broken = write_all(&mut stream, &bytes).is_err();
        shared.put_down(if is_broken { count_lines(&batch.text) } else { 0 });
    }
}

/// Like [`Write::write_all`], also to a stream that somebody else set not to block.
fn write_all(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(NO_ROOM_REST),
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The columns of the terminal behind stderr at this moment; none where there is no terminal.
pub fn columns() -> Option<usize> {
    size().map(|(_, columns)| columns)
}

/// Rows and columns of the terminal behind stderr at this moment; none where there is no terminal.
pub fn size() -> Option<(usize, usize)> {
    console::Term::stderr().size_checked().map(|(rows, columns)| (usize::from(rows), usize::from(columns)))
}

/// Whether a person sees this stream on a terminal that understands escape sequences, and wants them (no-color.org).
pub fn may_draw(stream: &impl io::IsTerminal) -> bool {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && draws(variable("TERM").as_deref(), variable("NO_COLOR").as_deref())
}

fn draws(term: Option<&OsStr>, no_color: Option<&OsStr>) -> bool {
    term.is_some_and(|term| term != "dumb" && term != "unknown") && no_color.is_none()
}

/// As much of `text` as fits into so many columns, with a sign that something is missing where it does not fit.
pub fn cut(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

/// A line of words as lines of so many columns, all but the first set in by `indent`; a word that is longer has a line to itself.
pub fn folded(text: &str, columns: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if console::measure_text_width(line) + 1 + console::measure_text_width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{:indent$}{word}", "")),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A stream whose every write waits for leave, then does as it is told.
    struct Gate {
        leaves: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.leaves.recv().unwrap()?;
            self.written.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Stderr, mpsc::Sender<io::Result<()>>, mpsc::Receiver<Vec<u8>>) {
        let (leave, leaves) = mpsc::channel();
        let (written, out) = mpsc::channel();
        (Stderr::start(Gate { leaves, written }), leave, out)
    }

    #[test]
    fn what_is_said_is_written_in_its_order() {
        let (stderr, leave, out) = gated();
        for _ in 0..3 {
            leave.send(Ok(())).unwrap();
        }
        stderr.write(b"one\n");
        stderr.write(b"two\n");
        assert!(stderr.flush(PATIENCE));
        assert_eq!(out.try_iter().flatten().collect::<Vec<u8>>(), b"one\ntwo\n");
        assert_eq!(stderr.lost_lines(), 0);
    }

    /// A blocked pipe under a process that logged held the run itself for ever.
    #[test]
    fn a_stream_that_takes_nothing_holds_nobody_and_the_lost_lines_are_counted() {
        let (stderr, leave, out) = gated();
        let line = vec![b'x'; MOST_WAITING / 4 - 1].into_iter().chain([b'\n']).collect::<Vec<u8>>();
        stderr.write(&line);
        while !stderr.shared.lock().is_writing {
            std::thread::yield_now();
        }
        for _ in 0..6 {
            stderr.write(&line);
        }
        assert_eq!(stderr.lost_lines(), 2);
        assert!(!stderr.flush(Duration::ZERO));
        leave.send(Ok(())).unwrap();
        leave.send(Ok(())).unwrap();
        assert!(stderr.flush(PATIENCE));
        assert_eq!(out.try_iter().map(|bytes| count_lines(&bytes)).sum::<u64>(), 5);
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_the_next_line_begins_anew() {
        let (stderr, leave, out) = gated();
        leave.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
        stderr.write(b"one\ntwo\n");
        assert!(stderr.flush(PATIENCE));
        assert_eq!(stderr.lost_lines(), 2);
        leave.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        leave.send(Ok(())).unwrap();
        stderr.write(b"three\n");
        assert!(stderr.flush(PATIENCE));
        assert_eq!(out.try_iter().flatten().collect::<Vec<u8>>(), b"\nthree\n");
    }

    #[test]
    fn escape_sequences_are_for_terminals_that_have_them_and_people_who_want_them() {
        let draws = |term: &str, no_color: Option<&str>| draws(Some(OsStr::new(term)), no_color.map(OsStr::new));
        assert!(draws("xterm-256color", None) && draws("linux", None));
        assert!(!draws("dumb", None) && !draws("xterm", Some("1")) && !super::draws(None, None));
    }

    #[test]
    fn a_line_larger_than_the_queue_is_cut_and_not_dropped() {
        let (stderr, leave, out) = gated();
        leave.send(Ok(())).unwrap();
        stderr.write(&vec![b'x'; MOST_WAITING * 2]);
        assert!(stderr.flush(PATIENCE));
        assert_eq!(out.try_iter().flatten().count(), MOST_WAITING);
    }

    #[test]
    fn a_text_is_cut_by_its_columns_and_not_by_its_letters() {
        assert_eq!(folded("all of it", 9, 2), "all of it");
        assert_eq!(folded("more than fits into-a-line, at most", 9, 2), "more than\n  fits\n  into-a-line,\n  at most");
        assert_eq!(folded("余额不足 余额 不足", 9, 2), "余额不足\n  余额\n  不足");
        assert_eq!(cut("all of it", 9), "all of it");
        assert_eq!(cut("more than fits", 9), "more tha…");
        assert_eq!(cut("余额不足余额不足", 9), "余额不足…");
    }
}
