//! The right to send one request, and the book in which it stands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::book::{Asking, AttemptEnd, Book};

/// A run's book, shared by its attempts and the writer.
#[derive(Clone, Debug)]
pub(super) struct SharedBook(Arc<Mutex<Book>>);

impl SharedBook {
    pub(super) fn new(book: Book) -> Self {
        Self(Arc::new(Mutex::new(book)))
    }

    /// Whether both are the book of the same run.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The book; each of its operations leaves it sound, so a panic elsewhere does not spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send one request, taken from a durable reservation.
///
/// Hand it to [`super::Journal::commit_page`] with the page that it brought, or say how else it [ended](Attempt::ended).
/// Dropped without either, it counts as possibly charged.
#[derive(Debug)]
pub struct Attempt {
    book: SharedBook,
    asking: Asking,
    open: bool,
}

impl Attempt {
    /// One that the book has given.
    pub(super) fn new(book: SharedBook, asking: Asking) -> Self {
        Self { book, asking, open: true }
    }

    /// Records how the attempt ended; durable with the next commit of anything.
    pub fn ended(mut self, how: AttemptEnd) {
        self.open = false;
        self.book.lock().settle(self.asking, how);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.open {
            self.book.lock().lose();
        }
    }
}
