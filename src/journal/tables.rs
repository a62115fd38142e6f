//! One transaction's writes: how each job becomes rows.
//!
//! Rule for every job: the statement that a rule of the journal may refuse comes first, so that a refused job has written
//! nothing and the other jobs of its transaction stand.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::book::Account;
use super::bought::Bought;
use super::changes::Recording;
use super::codec::{Packer, body_checksum, encode_keys, event_checksum, keys_checksum, standing_name};
use super::error::JournalError;
use super::held::{HeldPage, Place};
use super::job::{Forerunner, Halt, Job, PartStep, address_text, purpose_columns};
use super::reader::Cursor;
use super::record::{Change, NewPage, NewRun, PartRecord, RejectedRow, RunOutcome, StoredPage, StoredQuestion, Upkeep};
use super::schema::{BETWEEN_PAGES, MORE_PAGES, MOST_PAGES_CHARS, OF_ONE_RUN};
use super::shared::Shared;
use crate::api::contract::Region;
use crate::api::reply::says_something;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::units::{EpochSeconds, TimeRange};

/// What a part may be that is not, or not any more, where readers look.
const UNPUBLISHED: [Option<&str>; 4] = [None, Some("prepared"), Some("held"), Some("superseded")];
/// Whatever a part may be.
const ANY: [Option<&str>; 5] = [None, Some("prepared"), Some("held"), Some("superseded"), Some("published")];

/// Bodies that one release job drops: a bound on how long a transaction may hold up the pages behind it.
pub(super) const RELEASE_AT_ONCE: usize = 1_000;

/// What a transaction makes of what is known in memory; true once it is durable.
#[derive(Debug)]
pub(super) enum Entry {
    /// A page was bought.
    Bought { address: PageAddress, sequence: i64, has_keys: bool },
    /// A page holds a body.
    Held(HeldPage),
    /// A page holds its body no more.
    Released(Region, Place),
    /// What was released between these sequences is gone.
    Swept(Range<i64>),
    /// A window is closed.
    Closed(WindowId),
    /// The row keys of these pages are gone.
    Forgotten(Vec<i64>),
    /// A run began: it has bought nothing.
    Cleared,
}

/// The statements that every page needs, kept for a transaction: to find one by its text costs as much as a short row does.
#[derive(Default)]
pub(super) struct Statements<'a> {
    page: Option<CachedStatement<'a>>,
    keys: Option<CachedStatement<'a>>,
    body: Option<CachedStatement<'a>>,
    released: Option<CachedStatement<'a>>,
}

/// The statement in its place, prepared if it is the first time.
fn kept<'s, 'a>(
    place: &'s mut Option<CachedStatement<'a>>,
    connection: &'a Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'a>> {
    match place {
        Some(statement) => Ok(statement),
        none => Ok(none.insert(connection.prepare_cached(sql)?)),
    }
}

/// One open transaction.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    /// The current run's number.
    pub(super) run: Option<i64>,
    pub(super) cursor: Cursor,
    /// What was bought, and what holds a body, before this transaction.
    pub(super) bought: &'a Bought,
    pub(super) shared: &'a Shared,
    /// What notes the rows that are touched, where a copy is kept elsewhere.
    pub(super) recording: Option<&'a Recording>,
    /// What this transaction makes of it.
    pub(super) draft: Vec<Entry>,
    pub(super) statements: Statements<'a>,
    pub(super) packer: &'a mut Packer,
}

impl Batch<'_> {
    /// Writes one job. The outer error fails the transaction; the inner one refuses this job alone.
    pub(super) fn answer(&mut self, job: &Job) -> rusqlite::Result<Result<i64, JournalError>> {
        match self.apply(job) {
            Ok(value) => Ok(Ok(value)),
            Err(Halt::Refused(refusal)) => Ok(Err(refusal)),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// What the transaction makes of what is known; nothing more is written.
    pub(super) fn end(self) -> (Cursor, Vec<Entry>) {
        (self.cursor, self.draft)
    }

    /// Writes the current run's ledger.
    pub(super) fn account(&self, account: Account) -> rusqlite::Result<()> {
        let sql = "UPDATE runs SET reserved = ?2, attempts = ?3, pages = ?4, pages_with_rows = ?5, retries = ?6, \
                   throttled = ?7, astray = ?8 WHERE number = ?1";
        let Account { reserved, tally } = account;
        self.connection.prepare_cached(sql)?.execute(params![
            self.run,
            integer(reserved),
            integer(tally.attempts),
            integer(tally.pages),
            integer(tally.pages_with_rows),
            integer(tally.retries),
            integer(tally.throttled),
            integer(tally.astray)
        ])?;
        Ok(())
    }

    fn apply(&mut self, job: &Job) -> Result<i64, Halt> {
        match job {
            Job::Question(question) => self.question(question),
            Job::QuestionAnew(question) => self.question_anew(question),
            Job::BeginRun { run, forerunner } => self.begin_run(run, *forerunner),
            Job::FinishRun { run, outcome } => self.set_outcome(run, Some(*outcome)),
            Job::Spent { run, at } => self.set_spent(run, *at),
            Job::Page { page, .. } => self.page(page),
            Job::ForgetRejected(numbers) => self.forget_rejected(numbers),
            Job::Events { events, upkeep } => self.events(events, upkeep),
            Job::Release { region, below } => self.release(region, *below),
            Job::Part(step) => self.part(step),
            Job::Change(change) => self.change(change),
            Job::Learn { name, json } => self.learn(name, json),
            // The ledger's row is written with every transaction; these ask for nothing more.
            Job::Reserve(_) | Job::Changes { .. } | Job::Close => Ok(0),
            #[cfg(test)]
            Job::Crash => Ok(0),
            #[cfg(test)]
            Job::Fill => {
                self.connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))?;
                Ok(0)
            }
        }
    }

    fn question(&self, asked: &StoredQuestion) -> Result<i64, Halt> {
        let stored: Option<(String, String)> = self
            .connection
            .query_row("SELECT fingerprint, json FROM question", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match stored {
            Some((fingerprint, _)) if fingerprint == asked.fingerprint => Ok(0),
            Some((_, stored)) => Err(Halt::Refused(JournalError::OtherQuestion { stored, asked: asked.json.clone() })),
            None => {
                let sql = "INSERT INTO question (one, fingerprint, json) VALUES (1, ?1, ?2)";
                self.connection.execute(sql, params![asked.fingerprint, asked.json])?;
                Ok(0)
            }
        }
    }

    fn question_anew(&self, question: &StoredQuestion) -> Result<i64, Halt> {
        let sql = "INSERT INTO question (one, fingerprint, json) VALUES (1, ?1, ?2) \
                   ON CONFLICT (one) DO UPDATE SET fingerprint = excluded.fingerprint, json = excluded.json";
        self.connection.execute(sql, params![question.fingerprint, question.json])?;
        Ok(0)
    }

    fn begin_run(&mut self, run: &NewRun, forerunner: Forerunner) -> Result<i64, Halt> {
        let latest = "SELECT id FROM runs WHERE number = ?1 AND outcome IS NULL";
        let unfinished: Option<String> = self.connection.query_row(latest, [self.run], |row| row.get(0)).optional()?;
        if let Some(run) = unfinished.clone().filter(|_| forerunner == Forerunner::HasEnded) {
            return Err(Halt::Refused(JournalError::RunUnfinished { run }));
        }
        let sql = "INSERT INTO runs (id, range_start, range_end, began_at, output, partition, reads, ends) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let TimeRange { start, end } = run.range;
        let (began_at, reads) = (run.began_at.get(), json_of(&run.reads)?);
        self.connection
            .execute(
                sql,
                params![run.id, start.get(), end.get(), began_at, run.output, run.partition, reads, run.ends.name()],
            )
            .map_err(Halt::on_conflict(JournalError::RunExists { run: run.id.clone() }))?;
        let number = self.connection.last_insert_rowid();
        if let Some(run) = unfinished {
            self.set_outcome(&run, Some(RunOutcome::Incomplete))?;
        }
        match self.recording {
            Some(recording) => recording.clear_run(self.connection)?,
            None => {
                for table in OF_ONE_RUN {
                    self.connection.execute(&format!("DELETE FROM {table}"), [])?;
                }
            }
        }
        self.draft.push(Entry::Cleared);
        Ok(number)
    }

    fn set_outcome(&self, run: &str, outcome: Option<RunOutcome>) -> Result<i64, Halt> {
        let sql = "UPDATE runs SET outcome = ?3 WHERE number = ?1 AND id = ?2";
        match self.connection.execute(sql, params![self.run, run, outcome.map(RunOutcome::name)])? {
            0 => Err(Halt::Refused(JournalError::UnknownRun { run: run.to_owned() })),
            _ => Ok(0),
        }
    }

    fn set_spent(&self, run: &str, at: Option<EpochSeconds>) -> Result<i64, Halt> {
        let sql = "UPDATE runs SET spent_at = ?3 WHERE number = ?1 AND id = ?2";
        self.connection.execute(sql, params![self.run, run, at.map(EpochSeconds::get)])?;
        Ok(0)
    }

    fn extend(&self, run: &str, range: TimeRange) -> Result<i64, Halt> {
        let sql = "UPDATE runs SET range_start = ?3, range_end = ?4 WHERE number = ?1 AND id = ?2";
        match self.connection.execute(sql, params![self.run, run, range.start.get(), range.end.get()])? {
            0 => Err(Halt::Refused(JournalError::UnknownRun { run: run.to_owned() })),
            _ => Ok(0),
        }
    }

    fn page(&mut self, page: &NewPage) -> Result<i64, Halt> {
        let run = self.run.ok_or(Halt::Refused(JournalError::NoRun))?;
        let sequence = self.cursor.next_sequence;
        self.refuse_second(page)?;
        self.page_summary(run, sequence, page)?;
        let has_keys = self.page_keys(sequence, page)?;
        self.draft.push(Entry::Bought { address: page.fact.address.clone(), sequence, has_keys });
        if keeps_body(page) {
            self.page_body(sequence, page)?;
        }
        let place = address_text(&page.fact.address);
        for (row, name) in page.rejected.iter().zip(told_apart(page)) {
            self.rejected(run, (&page.fact.address.region, &place), (row, &name))?;
        }
        self.cursor.next_sequence += 1;
        Ok(sequence)
    }

    fn refuse_second(&self, page: &NewPage) -> Result<(), Halt> {
        let wanted = &page.fact.address;
        let is_wanted = |entry: &Entry| matches!(entry, Entry::Bought { address, .. } if address == wanted);
        if self.bought.contains(wanted) || self.draft.iter().any(is_wanted) {
            return Err(Halt::Refused(JournalError::BoughtTwice { page: address_text(wanted) }));
        }
        Ok(())
    }

    fn page_summary(&mut self, run: i64, sequence: i64, page: &NewPage) -> rusqlite::Result<()> {
        let fact = &page.fact;
        let (purpose, window, scan) = purpose_columns(fact.address.purpose);
        let span = fact.span();
        let sql = "INSERT INTO pages (sequence, run, region, purpose, window, scan, page, fetched_at, slots, position, \
                   first, last, standing, outside, own_region, other_region, print) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        kept(&mut self.statements.page, self.connection, sql)?
            .execute(params![
                sequence,
                run,
                fact.address.region.as_str(),
                purpose,
                window,
                scan,
                fact.address.page.get(),
                fact.fetched_at.get(),
                fact.slots,
                page.position.get(),
                span.map(|span| span.start.get()),
                span.map(|span| span.end.shifted(-1).get()),
                standing_name(fact.check.standing),
                fact.check.outside,
                fact.check.own_region,
                fact.check.other_region,
                fact.check.print.cast_signed(),
            ])
            .map(drop)
    }

    /// A page that lands after its window was closed keeps no row keys: the planner has no use for it. Says whether it has any.
    fn page_keys(&mut self, sequence: i64, page: &NewPage) -> rusqlite::Result<bool> {
        let purpose = page.fact.address.purpose;
        let closes = |entry: &Entry| matches!((entry, purpose), (Entry::Closed(closed), Purpose::Walk { window, .. }) if *closed == window);
        if self.bought.is_closed(purpose) || self.draft.iter().any(closes) {
            return Ok(false);
        }
        let keys = encode_keys(&page.fact.rows);
        let checksum = keys_checksum(sequence, &page.fact, (page.position, &keys));
        let sql = "INSERT INTO row_keys (sequence, keys, checksum) VALUES (?1, ?2, ?3)";
        kept(&mut self.statements.keys, self.connection, sql)?.execute(params![sequence, keys, checksum])?;
        Ok(true)
    }

    fn page_body(&mut self, sequence: i64, page: &NewPage) -> rusqlite::Result<()> {
        let span = page.fact.span().filter(|_| page.delivers);
        let span = span.unwrap_or(TimeRange::new(page.position, page.position.shifted(1)));
        let stored = StoredPage {
            sequence,
            fetched_at_ms: page.fetched_at_ms,
            request_id: page.request_id.clone(),
            span,
            body: Vec::new(),
        };
        let region = &page.fact.address.region;
        let checksum = body_checksum(region, &stored, &page.body);
        let packed = self.packer.pack(&page.body);
        let body = packed.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        self.cursor.written_bytes += body.len() as u64;
        let sql = "INSERT INTO bodies (sequence, region, first, end, slots, fetched_at_ms, request_id, length, \
                   checksum, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        kept(&mut self.statements.body, self.connection, sql)?.execute(params![
            sequence,
            region.as_str(),
            span.start.get(),
            span.end.get(),
            page.fact.slots,
            page.fetched_at_ms,
            page.request_id,
            integer(page.body.len() as u64),
            checksum,
            body
        ])?;
        let (region, slots) = (region.clone(), page.fact.slots);
        self.draft.push(Entry::Held(HeldPage { region, sequence, span, slots }));
        Ok(())
    }

    fn rejected(
        &self,
        run: i64,
        (region, page): (&Region, &str),
        (row, name): (&RejectedRow, &str),
    ) -> rusqlite::Result<()> {
        // Each page that it came on counts: where one of several shows its seconds without it, it is rejected all the same.
        let sql = "INSERT INTO rejected (run, region, hash, page, place, why, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT (run, region, hash) DO UPDATE \
                   SET page = page || ?8 || CASE WHEN length(page) < ?9 THEN excluded.page ELSE ?10 END \
                   WHERE instr(?8 || page || ?8, ?8 || excluded.page || ?8) = 0 \
                   AND instr(page || ?8, ?8 || ?10 || ?8) = 0";
        let hash = Sha256::digest(name.as_bytes());
        self.connection.prepare_cached(sql)?.execute(params![
            run,
            region.as_str(),
            hash.as_slice(),
            page,
            row.index,
            row.why,
            row.text,
            BETWEEN_PAGES,
            MOST_PAGES_CHARS,
            MORE_PAGES
        ])?;
        Ok(())
    }

    fn forget_rejected(&self, numbers: &[i64]) -> Result<i64, Halt> {
        for number in numbers {
            self.connection.prepare_cached("DELETE FROM rejected WHERE number = ?1")?.execute([number])?;
        }
        Ok(0)
    }

    fn events(&mut self, events: &[String], upkeep: &Upkeep) -> Result<i64, Halt> {
        let run = self.run.ok_or(Halt::Refused(JournalError::NoRun))?;
        let mut insert =
            self.connection.prepare_cached("INSERT INTO events (sequence, json, checksum) VALUES (?1, ?2, ?3)")?;
        for json in events {
            let sequence = self.cursor.next_sequence;
            insert.execute(params![sequence, json, event_checksum(sequence, json)])?;
            self.cursor.next_sequence += 1;
        }
        drop(insert);
        self.close(run, &upkeep.closed)?;
        for (region, range) in &upkeep.not_its_own {
            self.drop_foreign(run, region, *range)?;
        }
        Ok(self.cursor.next_sequence - 1)
    }

    /// Drops the bodies of a region's pages that lie in the range and of which every row names another region.
    fn drop_foreign(&mut self, run: i64, region: &Region, range: TimeRange) -> rusqlite::Result<()> {
        let sql = "SELECT bodies.sequence, bodies.first FROM pages JOIN bodies USING (sequence) \
                   WHERE pages.run = ?1 AND pages.region = ?2 AND own_region = 0 AND other_region > 0 \
                   AND bodies.first < ?4 AND bodies.end > ?3 \
                   AND NOT EXISTS (SELECT 1 FROM released WHERE released.sequence = bodies.sequence)";
        let mut find = self.connection.prepare_cached(sql)?;
        let foreign = find.query_map(params![run, region.as_str(), range.start.get(), range.end.get()], |row| {
            Ok((EpochSeconds::new(row.get(1)?), row.get(0)?))
        })?;
        for place in foreign.collect::<rusqlite::Result<Vec<Place>>>()? {
            self.release_one(region, place)?;
        }
        Ok(())
    }

    fn release_one(&mut self, region: &Region, place: Place) -> rusqlite::Result<()> {
        let sql = "INSERT INTO released (sequence) VALUES (?1) ON CONFLICT DO NOTHING";
        kept(&mut self.statements.released, self.connection, sql)?.execute([place.1])?;
        self.draft.push(Entry::Released(region.clone(), place));
        Ok(())
    }

    fn close(&mut self, run: i64, windows: &[WindowId]) -> rusqlite::Result<()> {
        let mark = "INSERT INTO closed_windows (run, window) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        for window in windows {
            self.connection.prepare_cached(mark)?.execute(params![run, window.0])?;
            self.draft.push(Entry::Closed(*window));
        }
        let forgettable = if windows.is_empty() { Vec::new() } else { self.bought.forgettable(windows) };
        // Windows that are read side by side close nearly at once, so most of these pages lie in long rows without a hole.
        for adjacent in forgettable.chunk_by(|one, next| one + 1 == *next) {
            if let (Some(first), Some(last)) = (adjacent.first(), adjacent.last()) {
                let sql = "DELETE FROM row_keys WHERE sequence BETWEEN ?1 AND ?2";
                self.connection.prepare_cached(sql)?.execute([first, last])?;
            }
        }
        if !forgettable.is_empty() {
            self.draft.push(Entry::Forgotten(forgettable));
        }
        Ok(())
    }

    /// Pages of this same transaction are left to the next release.
    fn release(&mut self, region: &Region, below: EpochSeconds) -> Result<i64, Halt> {
        let places = self.shared.held().ended(region, below, RELEASE_AT_ONCE);
        let released = integer(places.len() as u64);
        for place in places {
            self.release_one(region, place)?;
        }
        self.sweep()?;
        Ok(released)
    }

    /// Drops released bodies of chunks in which nothing is held. Pages of this same transaction may lie there too.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        let ripe = self.shared.held().ripe();
        for sequences in ripe {
            let between = params![sequences.start, sequences.end];
            let bodies = "DELETE FROM bodies WHERE sequence >= ?1 AND sequence < ?2 AND +sequence IN (SELECT sequence FROM released)";
            self.connection.prepare_cached(bodies)?.execute(between)?;
            let released = "DELETE FROM released WHERE sequence >= ?1 AND sequence < ?2";
            self.connection.prepare_cached(released)?.execute(between)?;
            self.draft.push(Entry::Swept(sequences));
        }
        Ok(())
    }

    fn part(&self, step: &PartStep) -> Result<i64, Halt> {
        match step {
            PartStep::Prepare(record) => self.add_part(record, "prepared", &UNPUBLISHED),
            PartStep::Hold(record) => self.add_part(record, "held", &UNPUBLISHED),
            PartStep::Replace(record) => self.add_part(record, "prepared", &ANY),
            PartStep::HoldAgain(record) => self.add_part(record, "held", &ANY),
            PartStep::Forget(path) => {
                self.check_part(path, "forgotten", &UNPUBLISHED)?;
                Ok(self.connection.execute("DELETE FROM parts WHERE path = ?1", [path]).map(|_| 0)?)
            }
            PartStep::GiveUp(path) => {
                Ok(self.connection.execute("DELETE FROM parts WHERE path = ?1", [path]).map(|_| 0)?)
            }
            PartStep::Publish(path) => {
                self.move_part(path, "published", &[Some("prepared"), Some("held"), Some("published")])
            }
            PartStep::Supersede(path) => {
                self.move_part(path, "superseded", &[Some("held"), Some("published"), Some("superseded")])
            }
        }
    }

    fn add_part(&self, record: &PartRecord, state: &'static str, from: &[Option<&str>]) -> Result<i64, Halt> {
        self.check_part(&record.path, state, from)?;
        let json = json_of(record)?;
        let sql = "INSERT INTO parts (path, state, record) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (path) DO UPDATE SET state = excluded.state, record = excluded.record";
        self.connection.execute(sql, params![record.path, state, json])?;
        Ok(0)
    }

    fn move_part(&self, path: &str, wanted: &'static str, from: &[Option<&str>]) -> Result<i64, Halt> {
        self.check_part(path, wanted, from)?;
        self.connection.execute("UPDATE parts SET state = ?2 WHERE path = ?1", params![path, wanted])?;
        Ok(0)
    }

    fn check_part(&self, path: &str, wanted: &'static str, from: &[Option<&str>]) -> Result<(), Halt> {
        let sql = "SELECT state FROM parts WHERE path = ?1";
        let found: Option<String> = self.connection.query_row(sql, [path], |row| row.get(0)).optional()?;
        if from.contains(&found.as_deref()) {
            return Ok(());
        }
        let found = found.unwrap_or_else(|| "unknown".to_owned());
        Err(Halt::Refused(JournalError::PartState { path: path.to_owned(), wanted, found }))
    }

    /// A step that is refused takes those before it back, so that the job has written nothing.
    fn change(&mut self, change: &Change) -> Result<i64, Halt> {
        let before = (self.cursor, self.draft.len());
        self.connection.execute_batch("SAVEPOINT change")?;
        let done = self.change_in_order(change);
        match &done {
            Err(Halt::Refused(_)) => {
                self.cursor = before.0;
                self.draft.truncate(before.1);
                self.connection.execute_batch("ROLLBACK TO change; RELEASE change")?;
            }
            // A failed step fails the whole transaction.
            Err(Halt::Failed(_)) => {}
            Ok(_) => self.connection.execute_batch("RELEASE change")?,
        }
        done
    }

    fn change_in_order(&mut self, change: &Change) -> Result<i64, Halt> {
        for path in &change.superseded {
            self.part(&PartStep::Supersede(path.clone()))?;
        }
        for record in &change.taken_over {
            self.add_part(record, "published", &UNPUBLISHED)?;
        }
        for path in &change.published {
            self.part(&PartStep::Publish(path.clone()))?;
        }
        if let Some(run) = &change.goes_on {
            self.set_outcome(run, None)?;
        }
        if let Some((run, range)) = &change.extends {
            self.extend(run, *range)?;
        }
        // Parts may change before any run begins.
        if change.events.is_empty() && change.upkeep == Upkeep::default() {
            return Ok(0);
        }
        self.events(&change.events, &change.upkeep)
    }

    fn learn(&self, name: &str, json: &str) -> Result<i64, Halt> {
        let sql =
            "INSERT INTO learned (name, json) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET json = excluded.json";
        self.connection.prepare_cached(sql)?.execute(params![name, json])?;
        Ok(0)
    }
}

/// What tells each rejected row of a page from all others of its region. A row that says something of its own is the same
/// row wherever it comes again. One that says nothing, such as null, is known by its place alone: so many such rows behind
/// a row that has an identity, or before one. Where a page begins with it, another page may count it a second time.
fn told_apart(page: &NewPage) -> Vec<Cow<'_, str>> {
    let mut ordered: Vec<(usize, &RejectedRow)> = page.rejected.iter().enumerate().collect();
    ordered.sort_by_key(|(_, row)| row.index);
    let mut names = vec![Cow::Borrowed(""); page.rejected.len()];
    let mut alike: HashMap<(&str, usize), u64> = HashMap::new();
    for (rejected_before, (at, row)) in ordered.into_iter().enumerate() {
        let rows_before = usize::try_from(row.index).unwrap_or(usize::MAX).saturating_sub(rejected_before);
        let count = alike.entry((&row.text, rows_before)).or_default();
        *count += 1;
        if let Some(name) = names.get_mut(at) {
            *name = if says_something(&row.text) {
                Cow::Borrowed(&row.text)
            } else {
                Cow::Owned(format!("{} {count} {}", row.text, place(page, row, rows_before)))
            };
        }
    }
    names
}

/// Where a rejected row stands among the usable ones of its page, of which so many come before it.
fn place(page: &NewPage, row: &RejectedRow, rows_before: usize) -> String {
    let rows = &page.fact.rows;
    match (rows_before.checked_sub(1).and_then(|last| rows.get(last)), rows.first()) {
        (Some(last), _) => format!("behind {} {}", last.second, last.video.0),
        (None, Some(next)) => format!("before {} {}", next.second, next.video.0),
        (None, None) => format!("{} of {}", row.index, address_text(&page.fact.address)),
    }
}

/// Whether a page's answer may reach the output: evidence pages hold rows that the user's question does not ask for, and an
/// empty page holds none.
fn keeps_body(page: &NewPage) -> bool {
    let asked = matches!(
        page.fact.address.purpose,
        Purpose::Walk { .. }
            | Purpose::Newest
            | Purpose::ConfirmOldest
            | Purpose::ConfirmNewest
            | Purpose::Count { .. }
            | Purpose::Recheck { .. }
            | Purpose::Place { .. }
    );
    asked && page.fact.slots > 0
}

fn json_of(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A count as the database stores it, held at its largest number, which no count reaches.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
