//! What a journal's handles and its writer share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempt::SharedBook;
use super::book::{Account, Book};
use super::held::Held;
use super::recovery::Opened;
use super::shipping::Shipping;

/// What the handles see without asking the writer.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) file: PathBuf,
    held: Mutex<Held>,
    book: Mutex<Option<SharedBook>>,
    /// Where a copy is kept elsewhere.
    pub(super) shipping: Option<Arc<Shipping>>,
}

impl Shared {
    pub(super) fn new(opened: &mut Opened, shipping: Option<Arc<Shipping>>) -> Self {
        let held = Mutex::new(std::mem::take(&mut opened.held));
        let shared = Self { file: opened.file.clone(), held, book: Mutex::default(), shipping };
        if let Some((_, account)) = opened.run {
            shared.set_book(account);
        }
        shared
    }

    /// The pages that hold a body.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current run's book.
    pub(super) fn book(&self) -> Option<SharedBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A run has begun, or is gone on with.
    pub(super) fn set_book(&self, account: Account) {
        let book = Book::recover(account);
        let book = if self.shipping.is_some() { book.with_a_copy() } else { book };
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = Some(SharedBook::new(book));
    }
}
