//! What a journal has committed since it was last asked, as bytes from which the same journal can be made elsewhere.
//!
//! Temporary triggers note the key of every row that a transaction touches, in a temporary table that is rolled back with the
//! transaction. When the changes are taken, each touched row is written as it stands, or as gone. So a row that came and went
//! between two takings takes no room, and taking the same change twice does no harm. Nothing of this is in the database file.
//!
//! A *piece* is one block of zstd over records, one after another; pieces are applied in their order:
//!
//! | byte | what follows | meaning |
//! | --- | --- | --- |
//! | 0 | | every table is emptied: the whole journal follows |
//! | 1 | | the tables of one run are emptied: another run began |
//! | 2 | table, values of all columns | the row stands so |
//! | 3 | table, values of its key | the row is gone |
//!
//! A table is a byte, its place in `schema::TABLES_IN_ORDER`. A value is a byte, and what follows: 0 null; 1 an integer (8 bytes); 2 text and 3
//! bytes, each after its length (4 bytes). Numbers are little-endian.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Statement, params_from_iter};

use super::error::NoPiece;
use super::schema::{OF_ONE_RUN, TABLES_IN_ORDER};

/// Bytes of records after which a piece is full; the last record may go beyond.
const PIECE_BYTES: usize = 4 << 20;
/// Bytes that a piece may be told to hold, so that a damaged one takes no memory.
const MOST_PIECE_BYTES: usize = 256 << 20;
/// How hard the pieces are pressed: answers are compressed already.
const ZSTD_LEVEL: i32 = 3;

const ALL_GONE: u8 = 0;
const RUN_GONE: u8 = 1;
const STANDS: u8 = 2;
const GONE: u8 = 3;

/// Where the note stands that another run began.
const NEW_RUN: i64 = -1;

/// A table as the database describes it.
#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: usize,
    /// Its key's columns, one or two.
    key: Vec<String>,
    /// Where `reserved` stands, of the runs.
    reserved: Option<usize>,
}

/// Notes what transactions touch, for as long as the connection is open.
#[derive(Debug)]
pub(super) struct Recording {
    tables: Vec<Table>,
}

/// The ledger of a run, as it is to be told elsewhere: with more attempts reserved than here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) run: i64,
    pub(super) attempts: u64,
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What was touched since the changes were last taken.
    Touched,
    /// Everything.
    Whole,
}

impl Recording {
    /// Begins to note what is touched. What was written before is in nobody's changes.
    pub(super) fn begin(connection: &Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(
            "CREATE TEMP TABLE touched (place NOT NULL, one NOT NULL, two NOT NULL, PRIMARY KEY (place, one, two)) WITHOUT ROWID",
        )?;
        let tables = tables(connection)?;
        for (place, table) in tables.iter().enumerate() {
            for doing in ["INSERT", "UPDATE", "DELETE"] {
                connection.execute_batch(&table.trigger(place, doing))?;
            }
        }
        Ok(Self { tables })
    }

    /// Empties the tables of one run. That is one note, and not one for each of their rows.
    pub(super) fn clear_run(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (place, table) in self.tables.iter().enumerate().filter(|(_, table)| OF_ONE_RUN.contains(&table.name)) {
            connection.execute_batch(&format!("DROP TRIGGER temp.touched_{}_DELETE", table.name))?;
            connection.execute(&format!("DELETE FROM main.{}", table.name), [])?;
            connection.execute_batch(&table.trigger(place, "DELETE"))?;
            connection.execute("DELETE FROM temp.touched WHERE place = ?1", [place as i64])?;
        }
        connection.execute("INSERT OR IGNORE INTO temp.touched VALUES (?1, 0, 0)", [NEW_RUN]).map(drop)
    }

    /// Takes the changes, in pieces. `reserved` is told of the run's ledger in place of what stands there, where that is less; also where
    /// nothing else of it has changed, with `is_news`. What was taken is not taken again, so it is the caller's to keep. Between two
    /// transactions alone.
    pub(super) fn take(
        &self,
        connection: &Connection,
        extent: Extent,
        (reserved, is_news): (Option<Reserved>, bool),
    ) -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut pieces = Pieces::default();
        if let Some(reserved) = reserved.filter(|_| is_news) {
            let runs = self.tables.iter().position(|table| table.reserved.is_some()).unwrap_or_default() as i64;
            connection.execute("INSERT OR IGNORE INTO temp.touched VALUES (?1, ?2, 0)", [runs, reserved.run])?;
        }
        match extent {
            Extent::Touched => self.write_touched(connection, reserved, &mut pieces)?,
            Extent::Whole => self.write_all(connection, reserved, &mut pieces)?,
        }
        let pieces = pieces.sealed()?;
        connection.execute("DELETE FROM temp.touched", [])?;
        Ok(pieces)
    }

    fn write_touched(
        &self,
        connection: &Connection,
        reserved: Option<Reserved>,
        pieces: &mut Pieces,
    ) -> rusqlite::Result<()> {
        let mut touched =
            connection.prepare_cached("SELECT place, one, two FROM temp.touched ORDER BY place, one, two")?;
        let mut looks: Vec<Option<Statement<'_>>> = self.tables.iter().map(|_| None).collect();
        let mut rows = touched.query([])?;
        while let Some(row) = rows.next()? {
            let place: i64 = row.get(0)?;
            let Some((place, table)) = usize::try_from(place).ok().and_then(|at| Some((at, self.tables.get(at)?)))
            else {
                pieces.record(RUN_GONE)?;
                continue;
            };
            let key: Vec<Value> = (1..=table.key.len()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
            let Some(look) = looks.get_mut(place) else { continue };
            let look = match look {
                Some(look) => look,
                None => look.insert(connection.prepare(&table.look())?),
            };
            let mut found = look.query(params_from_iter(&key))?;
            match found.next()? {
                Some(found) => pieces.stands(place, table, found, reserved)?,
                None => pieces.gone(place, &key)?,
            }
        }
        Ok(())
    }

    fn write_all(
        &self,
        connection: &Connection,
        reserved: Option<Reserved>,
        pieces: &mut Pieces,
    ) -> rusqlite::Result<()> {
        pieces.record(ALL_GONE)?;
        for (place, table) in self.tables.iter().enumerate() {
            let mut every = connection.prepare(&format!("SELECT * FROM main.{}", table.name))?;
            let mut rows = every.query([])?;
            while let Some(row) = rows.next()? {
                pieces.stands(place, table, row, reserved)?;
            }
        }
        Ok(())
    }
}

/// Every table, in the order in which the pieces number them.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    TABLES_IN_ORDER.iter().map(|name| Table::of(connection, name)).collect()
}

impl Table {
    fn of(connection: &Connection, name: &'static str) -> rusqlite::Result<Self> {
        let mut described = connection.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns = described.query_map([name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
        let reserved = columns.iter().position(|(column, _)| name == "runs" && column == "reserved");
        let mut key: Vec<(String, i64)> = columns.iter().filter(|(_, place)| *place > 0).cloned().collect();
        key.sort_by_key(|(_, place)| *place);
        let key = key.into_iter().map(|(column, _)| column).collect();
        Ok(Self { name, columns: columns.len(), key, reserved })
    }

    /// Keys never change, so an update touches one row. `INSERT OR IGNORE` would not do: within a trigger the way in which the statement that set
    /// it off deals with conflicts counts, and what upserts a row a second time would fail.
    fn trigger(&self, place: usize, doing: &str) -> String {
        let row = if doing == "DELETE" { "OLD" } else { "NEW" };
        let part = |at: usize| self.key.get(at).map_or_else(|| "0".to_owned(), |column| format!("{row}.{column}"));
        let (name, one, two) = (self.name, part(0), part(1));
        format!(
            "CREATE TEMP TRIGGER touched_{name}_{doing} AFTER {doing} ON main.{name} \
             BEGIN INSERT INTO touched SELECT {place}, {one}, {two} \
             WHERE NOT EXISTS (SELECT 1 FROM touched WHERE place = {place} AND one = {one} AND two = {two}); END"
        )
    }

    fn by_key(&self) -> String {
        let is = |(at, column): (usize, &String)| format!("{column} = ?{}", at + 1);
        self.key.iter().enumerate().map(is).collect::<Vec<_>>().join(" AND ")
    }

    fn look(&self) -> String {
        format!("SELECT * FROM main.{} WHERE {}", self.name, self.by_key())
    }

    fn put(&self) -> String {
        let marks: Vec<String> = (1..=self.columns).map(|at| format!("?{at}")).collect();
        format!("INSERT OR REPLACE INTO main.{} VALUES ({})", self.name, marks.join(", "))
    }

    fn remove(&self) -> String {
        format!("DELETE FROM main.{} WHERE {}", self.name, self.by_key())
    }
}

/// Records on their way into pieces.
#[derive(Default)]
struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Pieces {
    fn record(&mut self, what: u8) -> rusqlite::Result<()> {
        if self.open.len() >= PIECE_BYTES {
            self.seal()?;
        }
        self.open.push(what);
        Ok(())
    }

    fn stands(
        &mut self,
        place: usize,
        table: &Table,
        row: &Row<'_>,
        reserved: Option<Reserved>,
    ) -> rusqlite::Result<()> {
        self.record(STANDS)?;
        self.open.push(number_of(place));
        let told = match (table.reserved, reserved) {
            (Some(column), Some(reserved)) if row.get::<_, i64>(0)? == reserved.run => {
                Some((column, reserved.attempts))
            }
            _ => None,
        };
        for column in 0..table.columns {
            match told {
                Some((at, attempts)) if at == column => {
                    let attempts = i64::try_from(attempts).unwrap_or(i64::MAX);
                    self.value(ValueRef::Integer(attempts.max(row.get(column)?)));
                }
                _ => self.value(row.get_ref(column)?),
            }
        }
        Ok(())
    }

    fn gone(&mut self, place: usize, key: &[Value]) -> rusqlite::Result<()> {
        self.record(GONE)?;
        self.open.push(number_of(place));
        key.iter().for_each(|value| self.value(value.into()));
        Ok(())
    }

    /// No table has a column of floats: all are strict.
    fn value(&mut self, value: ValueRef<'_>) {
        let (kind, bytes) = match value {
            ValueRef::Null | ValueRef::Real(_) => return self.open.push(0),
            ValueRef::Integer(number) => {
                self.open.push(1);
                return self.open.extend_from_slice(&number.to_le_bytes());
            }
            ValueRef::Text(text) => (2, text),
            ValueRef::Blob(bytes) => (3, bytes),
        };
        self.open.push(kind);
        // A row of the journal is far below 4 GiB: an answer has a limit of its own.
        self.open.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.open.extend_from_slice(bytes);
    }

    fn seal(&mut self) -> rusqlite::Result<()> {
        let pressed = zstd::bulk::compress(&self.open, ZSTD_LEVEL);
        self.done.push(pressed.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?);
        self.open.clear();
        Ok(())
    }

    fn sealed(mut self) -> rusqlite::Result<Vec<Vec<u8>>> {
        if !self.open.is_empty() {
            self.seal()?;
        }
        Ok(self.done)
    }
}

fn number_of(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// Why a piece was not applied.
#[derive(Debug)]
pub(super) enum NotApplied {
    NoPiece(NoPiece),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for NotApplied {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<NoPiece> for NotApplied {
    fn from(error: NoPiece) -> Self {
        Self::NoPiece(error)
    }
}

/// Makes the rows of a journal stand as a piece says. Within a transaction of the caller's.
pub(super) fn apply(connection: &Connection, piece: &[u8]) -> Result<(), NotApplied> {
    let tables = tables(connection)?;
    let records = zstd::bulk::decompress(piece, MOST_PIECE_BYTES).map_err(|_| NoPiece("it cannot be decompressed"))?;
    let mut left = Records(&records);
    while let Some(what) = left.next() {
        match what {
            ALL_GONE => clear(connection, &TABLES_IN_ORDER)?,
            RUN_GONE => clear(connection, &OF_ONE_RUN)?,
            STANDS => {
                let table = left.table(&tables)?;
                let values = left.values(table.columns)?;
                connection.prepare_cached(&table.put())?.execute(params_from_iter(values))?;
            }
            GONE => {
                let table = left.table(&tables)?;
                let values = left.values(table.key.len())?;
                connection.prepare_cached(&table.remove())?.execute(params_from_iter(values))?;
            }
            _ => return Err(NoPiece("it holds a record of no kind").into()),
        }
    }
    Ok(())
}

fn clear(connection: &Connection, tables: &[&str]) -> rusqlite::Result<()> {
    tables.iter().try_for_each(|table| connection.execute(&format!("DELETE FROM main.{table}"), []).map(drop))
}

/// Records that are still to be read.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], NoPiece> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(NoPiece("it ends within a record"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoPiece> {
        self.bytes(N)?.try_into().map_err(|_| NoPiece("it ends within a number"))
    }

    fn table<'t>(&mut self, tables: &'t [Table]) -> Result<&'t Table, NoPiece> {
        let place = self.next().ok_or(NoPiece("it ends within a record"))?;
        tables.get(usize::from(place)).ok_or(NoPiece("it names a table that is none"))
    }

    fn values(&mut self, count: usize) -> Result<Vec<Value>, NoPiece> {
        (0..count).map(|_| self.value()).collect()
    }

    fn value(&mut self) -> Result<Value, NoPiece> {
        match self.next().ok_or(NoPiece("it ends within a record"))? {
            0 => Ok(Value::Null),
            1 => Ok(Value::Integer(i64::from_le_bytes(self.array()?))),
            2 => {
                let text = self.counted()?.to_vec();
                String::from_utf8(text).map(Value::Text).map_err(|_| NoPiece("its text is not UTF-8"))
            }
            3 => Ok(Value::Blob(self.counted()?.to_vec())),
            _ => Err(NoPiece("it holds a value of no kind")),
        }
    }

    fn counted(&mut self) -> Result<&'a [u8], NoPiece> {
        let length = u32::from_le_bytes(self.array()?);
        self.bytes(usize::try_from(length).map_err(|_| NoPiece("it holds too long a value"))?)
    }
}

#[cfg(test)]
mod tests;
