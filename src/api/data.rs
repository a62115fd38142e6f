//! The rows of an answer, wherever they stand under `data` or in its place. Pure.

use super::contract::SOURCE;
use super::lexer::{Lexer, Malformed};
use super::packed::{Members, PackedRows};
use super::row::{RowText, read_row};

/// Rows of one answer, at most. A page has ten (documented), and the bound leaves room for a service that serves longer ones;
/// it is there because a row of three bytes takes a hundred in memory.
pub(super) const MOST_ROWS: usize = 10_000;
/// How many objects rows may stand in, below `data` or what is in its place.
pub(super) const DEEPEST_ROWS: usize = 2;

/// What stands under `data`.
#[derive(Debug)]
pub(super) enum Data<'a> {
    Nothing,
    Rows(Vec<RowText<'a>>, PackedRows),
    TooManyRows,
    TwoPages,
    NoList,
}

impl Data<'_> {
    /// Which of two that stand in one envelope counts.
    pub(super) fn or_later(self, later: Self) -> Self {
        let who = |data: &Self| match data {
            Self::Rows(rows, _) => rows.iter().filter_map(|row| row.identity.clone().ok()).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        match (self.holds_rows(), later.holds_rows()) {
            (true, false) => self,
            (true, true) if !who(&self).is_empty() && !who(&later).is_empty() && who(&self) != who(&later) => {
                Self::TwoPages
            }
            _ => later,
        }
    }

    /// Whether it is a list of which a row can be placed.
    pub(super) fn is_of_videos(&self) -> bool {
        matches!(self, Self::Rows(rows, _) if rows.iter().any(|row| row.identity.is_ok()))
    }

    pub(super) const fn holds_rows(&self) -> bool {
        match self {
            Self::Rows(rows, _) => !rows.is_empty(),
            Self::TooManyRows | Self::TwoPages => true,
            Self::Nothing | Self::NoList => false,
        }
    }
}

/// Reads what stands under `data`, and its rows as far as the bound goes; of an object the list of rows in it, so many levels deep.
pub(super) fn data<'a>(lexer: &mut Lexer<'a>, deeper: usize) -> Result<Data<'a>, Malformed> {
    match lexer.next_byte() {
        Some(b'[') => {}
        Some(b'{') if deeper > 0 => return data_within(lexer, deeper - 1),
        _ => return Ok(if is_nothing(lexer.value()?) { Data::Nothing } else { Data::NoList }),
    }
    let mut rows = Vec::with_capacity(SOURCE.page_size as usize);
    let mut packed = PackedRows::with_room(lexer.left());
    let (mut members, mut is_over) = (Members::default(), false);
    lexer.items(|lexer| {
        if rows.len() >= MOST_ROWS {
            is_over = true;
            return lexer.value().map(drop);
        }
        let row = read_row(lexer, &mut members)?;
        if let (Ok(identity), Ok(index)) = (&row.identity, u32::try_from(rows.len())) {
            packed.push(index, identity, &members);
        }
        rows.push(row);
        Ok(())
    })?;
    Ok(if is_over { Data::TooManyRows } else { Data::Rows(rows, packed) })
}

/// The list of rows in an object; an empty list where it holds no other, and nothing where `null` stands in its place, beside numbers at
/// most. Where another list of objects stands beside it, which of them is the page
/// nobody knows: its rows may be those that cannot be placed.
fn data_within<'a>(lexer: &mut Lexer<'a>, deeper: usize) -> Result<Data<'a>, Malformed> {
    let (mut videos, mut members, mut others) = (Data::Nothing, 0, 0);
    let (mut is_empty, mut has_objects) = (false, false);
    let (mut has_null, mut is_bare) = (false, true);
    lexer.members(|lexer, _| {
        members += 1;
        let first = lexer.next_byte();
        let found = data(lexer, deeper)?;
        let is_nothing = matches!(found, Data::Nothing) && matches!(first, Some(b'n' | b'{'));
        has_null |= is_nothing;
        is_bare &= is_nothing || matches!(first, Some(b'-' | b'0'..=b'9' | b't' | b'f'));
        match found {
            found if found.is_of_videos() => {
                videos = std::mem::replace(&mut videos, Data::Nothing).or_later(found);
            }
            Data::Rows(rows, _) if rows.is_empty() => is_empty = true,
            Data::TooManyRows | Data::TwoPages => videos = found,
            Data::Rows(rows, _) => {
                others += 1;
                has_objects |= rows.iter().any(|row| row.text.starts_with('{'));
            }
            Data::Nothing | Data::NoList => {}
        }
        Ok(())
    })?;
    Ok(match videos {
        found if found.is_of_videos() && has_objects => Data::TwoPages,
        Data::Nothing if members == 0 || (has_null && is_bare) => Data::Nothing,
        Data::Nothing if is_empty && others == 0 => Data::Rows(Vec::new(), PackedRows::default()),
        Data::Nothing => Data::NoList,
        found => found,
    })
}

/// What services write where there is nothing: no value, an empty text, an object without members, and `false` in place of a list.
pub(super) fn is_nothing(raw: &str) -> bool {
    let is_empty_object =
        || raw.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|inner| inner.trim().is_empty());
    matches!(raw, "null" | "\"\"" | "false") || is_empty_object()
}
