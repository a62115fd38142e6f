//! The one thread that writes: it gathers what arrives together into one transaction, and answers after the sync.
//!
//! Policy of failure. A full disk: the transaction is rolled back, the ballast is given up, the same batch is written once
//! more; from then on only pages, the answers in flight, are tried, and nothing new is reserved. Any other failure of the
//! database stops the writer for good, because after a failed sync nothing that a second one says can be believed.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::attempt::SharedBook;
use super::ballast::Ballast;
use super::book::Account;
use super::bought::Bought;
use super::changes::{Extent, Recording, Reserved};
use super::codec::Packer;
use super::error::{JournalError, is_damage, is_full};
use super::job::{Job, Request};
use super::lock::{HeldFolder, Place};
use super::mark::{Known, Marker};
use super::reader::Cursor;
use super::recovery::{Opened, checkpoint};
use super::shared::Shared;
use super::shipping::Changes;
use super::tables::{Batch, Entry, Statements};
use crate::failpoint::{self, CrashStep};

/// Requests that wait for the writer; senders beyond it wait themselves.
pub(super) const QUEUE: usize = 1_024;
/// Jobs that share one transaction.
const LARGEST_BATCH: usize = 256;
/// The least time from the beginning of one transaction to that of the next, while pages are on their way that may share it: each syncs, and
/// writes the last page of each table anew, however few rows it holds. So long, at most, a page waits for others; once half of those on their
/// way have come, none waits: the other half comes while these are written. Many disks take some four milliseconds for a sync, so less would
/// gather no more than comes meanwhile.
const APART: Duration = Duration::from_millis(6);
/// How often it is looked meanwhile whether so many have come, or something that others wait for.
const LOOK_EVERY: Duration = Duration::from_micros(300);
/// Growth of the log after which it is moved into the database.
const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// What a transaction adds to the log beside the bodies: the pages of tables and indexes that it touches.
const TRANSACTION_BYTES: u64 = 64 * 1024;
type Answer = Result<i64, JournalError>;

/// Whether the writer may still write.
#[derive(Clone, Debug)]
enum Health {
    Sound,
    /// Only pages are still tried.
    Full,
    /// Nothing is; the file is gone.
    Vanished,
    /// Nothing is; the first cause.
    Stopped(String),
}

/// A transaction, rolled back unless it is committed. Its statements are prepared once, unlike those of the library's own.
struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // Whatever made it fail is told already, and a transaction that stays open is refused with the next one.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

/// The writer's side of the journal.
pub(super) struct Writer {
    // Declared in the order in which they are let go: the lock last.
    connection: Connection,
    ballast: Ballast,
    _folder: HeldFolder,
    place: Place,
    run: Option<i64>,
    cursor: Cursor,
    marker: Marker,
    /// What is durable of the ledger.
    known: Option<Known>,
    bought: Bought,
    packer: Packer,
    health: Health,
    /// When the last transaction began.
    began: Option<Instant>,
    /// What notes the rows that are touched, where a copy is kept elsewhere.
    recording: Option<Recording>,
    /// What the copy was told last of the ledger.
    told: Option<Reserved>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    /// A request that was gathered and must be written alone.
    waiting: Option<Request>,
    /// Where those wait who ask, if the journal was opened there.
    runtime: Option<Handle>,
}

impl Writer {
    pub(super) fn new(
        opened: Opened,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Self, JournalError> {
        let place = Place::of(&opened.file)?;
        let Opened { connection, ballast, folder, run, cursor, bought, .. } = opened;
        let known = run.map(|(number, account)| (number, account.tally.attempts));
        let (run, marker) = (run.map(|(number, _)| number), Marker::new(&opened.file, known));
        let health = Health::Sound;
        let recording = shared.shipping.is_some().then(|| Recording::begin(&connection)).transpose();
        let recording = recording.map_err(JournalError::read("beginning to note changes", &opened.file))?;
        let (began, told, waiting, runtime) = (None, None, None, Handle::try_current().ok());
        Ok(Self {
            connection,
            ballast,
            _folder: folder,
            place,
            run,
            cursor,
            marker,
            known,
            bought,
            packer: Packer::default(),
            health,
            began,
            recording,
            told,
            shared,
            requests,
            waiting,
            runtime,
        })
    }

    /// Serves requests until the journal is closed or nobody can ask any more.
    pub(super) fn run(mut self) {
        while let Some(request) = self.waiting.take().or_else(|| self.requests.blocking_recv()) {
            match request.job {
                Job::Close => {
                    let answer = self.close();
                    // Whoever waits for the end may open the folder again at once.
                    drop(self);
                    let _ = request.answer.send(answer);
                    return;
                }
                Job::Changes { extent, last, answer } => {
                    // Who does not wait any more has ended, and ships nothing.
                    let _ = answer.send(self.changes(extent, last));
                }
                #[cfg(test)]
                Job::Crash => {
                    drop(self);
                    let _ = request.answer.send(Ok(0));
                    return;
                }
                _ => self.serve(request),
            }
        }
    }

    fn serve(&mut self, first: Request) {
        let gathered = self.gather(first);
        if matches!(self.health, Health::Sound | Health::Full) && !self.place.is_held() {
            self.health = Health::Vanished;
        }
        let (batch, refused): (Vec<_>, Vec<_>) = gathered.into_iter().partition(|request| self.accepts(&request.job));
        for request in refused {
            let _ = request.answer.send(Err(self.refusal()));
        }
        if !batch.is_empty() {
            let answers = self.commit(&batch);
            self.hand_out(batch.into_iter().map(|request| request.answer).zip(answers).collect());
            self.move_log();
            self.tell_mark();
        }
    }

    /// Hands the answers of one transaction to those who wait. Each that comes from another thread wakes theirs by itself, so several go
    /// there together.
    fn hand_out(&self, answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
        let each = |answers: Vec<(oneshot::Sender<Answer>, Answer)>| {
            for (waiting, answer) in answers {
                // Nobody waits for the answer of a call that was cancelled; what it asked for is done all the same.
                let _ = waiting.send(answer);
            }
        };
        match &self.runtime {
            Some(runtime) if answers.len() > 1 => drop(runtime.spawn(async move { each(answers) })),
            _ => each(answers),
        }
    }

    /// Tells the mark what the log holds by now, where that is due. To be without it would leave a lost log unseen.
    fn tell_mark(&mut self) {
        let Some(known) = self.known.filter(|_| matches!(self.health, Health::Sound)) else { return };
        match self.marker.knows(known) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.declare_full(),
            Err(error) => self.health = Health::Stopped(error.to_string()),
        }
    }

    /// Takes what waits to be written, and what comes right after it.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let alone = first.job.is_alone();
        let mut batch = vec![first];
        while !alone && self.takes_in(&mut batch) && self.awaits_more(&batch) {
            thread::sleep(LOOK_EVERY);
        }
        self.began = Some(Instant::now());
        batch.iter_mut().for_each(|request| request.job.settle());
        batch
    }

    /// Adds what waits; whether more might share the transaction.
    fn takes_in(&mut self, batch: &mut Vec<Request>) -> bool {
        while batch.len() < LARGEST_BATCH {
            match self.requests.try_recv() {
                Ok(request) if request.job.is_alone() => {
                    self.waiting = Some(request);
                    return false;
                }
                Ok(request) => batch.push(request),
                Err(_) => return true,
            }
        }
        false
    }

    /// Whether the last transaction began just now and more pages are on their way. Nobody who waits for anything else is kept waiting.
    fn awaits_more(&self, batch: &[Request]) -> bool {
        let is_page = |request: &Request| matches!(request.job, Job::Page { attempt: Some(_), .. });
        let Some(book) = self.shared.book().filter(|_| batch.iter().all(is_page)) else { return false };
        let is_soon = self.began.is_some_and(|began| began.elapsed() < APART);
        is_soon && book.lock().in_flight() > 2 * batch.len() as u64
    }

    fn accepts(&self, job: &Job) -> bool {
        match self.health {
            Health::Sound => true,
            Health::Full => matches!(job, Job::Page { .. }),
            Health::Vanished | Health::Stopped(_) => false,
        }
    }

    fn refusal(&self) -> JournalError {
        let file = self.shared.file.clone();
        match &self.health {
            Health::Stopped(cause) => JournalError::Stopped { file, cause: cause.clone() },
            Health::Vanished => JournalError::Vanished { file },
            Health::Full | Health::Sound => JournalError::DiskFull { file },
        }
    }

    fn commit(&mut self, batch: &[Request]) -> Vec<Answer> {
        if let [Request { job: Job::FinishRun { .. }, .. }] = batch
            && let Some(book) = self.shared.book()
        {
            book.lock().end();
        }
        let answers = match self.write(batch) {
            Err(error) if is_full(&error) => self.write_on_full_disk(batch),
            Err(error) => self.stop(&error, batch.len()),
            Ok(answers) => answers,
        };
        if let ([Request { job: Job::BeginRun { .. }, .. }], [Ok(number)]) = (batch, answers.as_slice()) {
            self.run = Some(*number);
            self.shared.set_book(Account::default());
        }
        answers
    }

    /// Writes the batch and the ledger in one transaction. Nothing in memory changes before it is durable.
    fn write(&mut self, batch: &[Request]) -> rusqlite::Result<Vec<Answer>> {
        let book = self.shared.book();
        let more = self.reservation(book.as_ref(), batch);
        let transaction = Transaction::begin(&self.connection)?;
        let mut open = Batch {
            connection: &self.connection,
            run: self.run,
            cursor: self.cursor,
            bought: &self.bought,
            shared: &self.shared,
            recording: self.recording.as_ref(),
            draft: Vec::new(),
            statements: Statements::default(),
            packer: &mut self.packer,
        };
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            answers.push(open.answer(&request.job)?);
        }
        let account = book.as_ref().map(|book| book.lock().account(more));
        if let Some(account) = account {
            open.account(account)?;
        }
        let (cursor, draft) = open.end();
        transaction.commit()?;
        if let Some(shipping) = &self.shared.shipping {
            shipping.committed();
        }
        batch.iter().filter_map(|request| request.job.step()).for_each(failpoint::pass);
        if more > 0 {
            failpoint::pass(CrashStep::CreditsReserved);
        }
        self.cursor = Cursor { written_bytes: cursor.written_bytes + TRANSACTION_BYTES, ..cursor };
        self.known = self.run.zip(account.map(|account| account.tally.attempts)).or(self.known);
        self.know(draft);
        if let Some(book) = &book {
            book.lock().grant(more);
        }
        self.refuse_reservations(book.as_ref(), batch, &mut answers);
        Ok(answers)
    }

    /// Takes over what a transaction made of what is known, once it is durable.
    fn know(&mut self, draft: Vec<Entry>) {
        let mut held = self.shared.held();
        for entry in draft {
            match entry {
                Entry::Bought { address, sequence, has_keys } => {
                    self.bought.insert(&address);
                    if has_keys {
                        self.bought.insert_keys(address.purpose, sequence);
                    }
                }
                Entry::Held(page) => held.add(page),
                Entry::Released(region, place) => held.release(&region, place),
                Entry::Swept(sequences) => held.swept(&sequences),
                Entry::Closed(window) => self.bought.close(window),
                Entry::Forgotten(sequences) => sequences.iter().for_each(|sequence| self.bought.forget(*sequence)),
                Entry::Cleared => {
                    held.clear();
                    self.bought.clear();
                }
            }
        }
    }

    /// How many attempts this transaction reserves: asked for, or along the way with a page, whose end makes room.
    fn reservation(&self, book: Option<&SharedBook>, batch: &[Request]) -> u64 {
        let (Some(book), Health::Sound) = (book, &self.health) else { return 0 };
        let asked = batch.iter().any(|request| matches!(&request.job, Job::Reserve(asking) if asking.is(book)));
        let along = batch.iter().any(|request| matches!(request.job, Job::Page { .. }));
        match (asked, along) {
            (true, _) => book.lock().refill_for_one(),
            (false, true) => book.lock().refill(),
            (false, false) => 0,
        }
    }

    /// Tells those who asked for a reservation that none can be had, so that they do not ask for ever.
    fn refuse_reservations(&self, book: Option<&SharedBook>, batch: &[Request], answers: &mut [Answer]) {
        for (request, answer) in batch.iter().zip(answers) {
            if let Job::Reserve(asking) = &request.job {
                if !book.is_some_and(|book| book.is(asking)) {
                    *answer = Err(JournalError::RunEnded);
                } else if !matches!(self.health, Health::Sound) {
                    *answer = Err(self.refusal());
                }
            }
        }
    }

    /// The same batch once more with the ballast's room, then, where even that is too little, each job by itself.
    fn write_on_full_disk(&mut self, batch: &[Request]) -> Vec<Answer> {
        if matches!(self.health, Health::Sound) {
            self.declare_full();
            match self.write(batch) {
                Ok(answers) => return answers,
                Err(error) if !is_full(&error) => return self.stop(&error, batch.len()),
                Err(_) => {}
            }
        }
        batch.iter().map(|request| self.write_one(request)).collect()
    }

    fn write_one(&mut self, request: &Request) -> Answer {
        if matches!(self.health, Health::Vanished | Health::Stopped(_)) {
            return Err(self.refusal());
        }
        match self.write(std::slice::from_ref(request)) {
            Ok(answers) => answers.into_iter().next().unwrap_or_else(|| Err(self.refusal())),
            Err(error) if is_full(&error) => Err(self.refusal()),
            Err(error) => Err(self.stop_for(&error)),
        }
    }

    fn declare_full(&mut self) {
        self.health = Health::Full;
        self.ballast.give_up();
        #[cfg(test)]
        super::tests::find_room(&self.connection);
    }

    fn stop(&mut self, error: &rusqlite::Error, jobs: usize) -> Vec<Answer> {
        (0..jobs).map(|_| Err(self.stop_for(error))).collect()
    }

    /// Stops for good and names the cause; damage is named as such.
    fn stop_for(&mut self, error: &rusqlite::Error) -> JournalError {
        self.health = Health::Stopped(error.to_string());
        match is_damage(error) {
            true => JournalError::damaged(&self.shared.file, "a page that was to be changed", error),
            false => self.refusal(),
        }
    }

    /// Moves the log into the database when it has grown. Its failure endangers what is durable already, so it stops.
    fn move_log(&mut self) {
        if self.cursor.written_bytes < LOG_BYTES || !matches!(self.health, Health::Sound) {
            return;
        }
        self.cursor.written_bytes = 0;
        match checkpoint(&self.connection, "PASSIVE") {
            Ok(()) => {
                if let Some(known) = self.known {
                    self.marker.moved(known);
                }
                failpoint::pass(CrashStep::LogMoved);
            }
            Err(error) if is_full(&error) => self.declare_full(),
            Err(error) => self.health = Health::Stopped(error.to_string()),
        }
    }

    /// What was committed since this was asked last, with a ledger that lets as much be sent as may be lost.
    fn changes(&mut self, extent: Extent, last: bool) -> Result<Changes, JournalError> {
        if matches!(self.health, Health::Vanished | Health::Stopped(_)) {
            return Err(self.refusal());
        }
        let book = self.shared.book();
        if last {
            if let Some(book) = &book {
                book.lock().give_back();
            }
            self.write(&[]).map_err(|error| if is_full(&error) { self.refusal() } else { self.stop_for(&error) })?;
        }
        let at_risk = self.shared.shipping.as_ref().filter(|_| !last).map_or(0, |shipping| shipping.requests_at_risk());
        let reserved = self.run.zip(book.as_ref().map(|book| book.lock().ahead(at_risk)));
        let reserved = reserved.map(|(run, attempts)| Reserved { run, attempts });
        let position = self.shared.shipping.as_ref().map_or(0, |shipping| shipping.position());
        let taken = match &self.recording {
            Some(recording) => recording.take(&self.connection, extent, (reserved, reserved != self.told)),
            None => Ok(Vec::new()),
        };
        let pieces = taken.map_err(|error| self.stop_for(&error))?;
        self.told = reserved;
        let ceiling = book.zip(reserved.map(|reserved| reserved.attempts));
        Ok(Changes { pieces, position, ceiling })
    }

    /// Gives back what is reserved and unsent, and leaves the log empty.
    fn close(&mut self) -> Answer {
        if matches!(self.health, Health::Vanished | Health::Stopped(_)) {
            return Err(self.refusal());
        }
        if let Some(book) = self.shared.book() {
            book.lock().give_back();
        }
        let written = self.write(&[]).and_then(|_| checkpoint(&self.connection, "TRUNCATE"));
        match written {
            Err(error) if !is_full(&error) => Err(self.stop_for(&error)),
            Ok(()) if matches!(self.health, Health::Sound) => {
                failpoint::pass(CrashStep::JournalClosed);
                Ok(0)
            }
            _ => Err(self.refusal()),
        }
    }
}
