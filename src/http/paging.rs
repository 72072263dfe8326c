//! Lists come in pages: at most so many items, and a cursor to the next while there are more.

use super::code::Code;
use super::cursor::{Cursors, InvalidCursor};
use super::problem::ApiError;
use super::shapes::Page;

/// How many items a page has when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 50;
/// The most items of a page.
pub const LARGEST_LIMIT: u32 = 200;

impl From<InvalidCursor> for ApiError {
    fn from(invalid: InvalidCursor) -> Self {
        Self::new(Code::InvalidCursor, invalid.to_string())
    }
}

/// One page under way.
#[derive(Debug)]
pub struct Paging<'a> {
    cursors: &'a Cursors,
    bound_to: &'a [&'a str],
    limit: u32,
    /// The last item of the page before, as the cursor names it.
    pub last: Option<String>,
}

impl<'a> Paging<'a> {
    /// The page that `cursor` names, for this caller, list and filters (`bound_to`).
    ///
    /// # Errors
    /// 400 `INVALID_CURSOR` for a cursor of another list, 400 `MALFORMED_REQUEST` for a limit out of range.
    pub fn of(
        cursors: &'a Cursors,
        bound_to: &'a [&'a str],
        cursor: Option<&str>,
        limit: Option<u32>,
        default_limit: u32,
    ) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(default_limit);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return Err(
                ApiError::malformed(format!("limit must be from 1 to {LARGEST_LIMIT}")).with("parameter", "limit")
            );
        }
        let last = cursor.map(|cursor| cursors.open(bound_to, cursor)).transpose()?;
        Ok(Self { cursors, bound_to, limit, last })
    }

    /// How many rows to read: one more than are shown, which tells whether there is a next page.
    #[must_use]
    pub fn rows_to_read(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// How many items are shown at most.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// The page of these items, and the cursor after `resume_after` where there is more.
    #[must_use]
    pub fn page_until<T>(&self, items: Vec<T>, resume_after: Option<&str>) -> Page<T> {
        Page { items, next_page: resume_after.map(|last| self.cursors.seal(self.bound_to, last)) }
    }

    /// The page of what was read, and the cursor after its last item, which `name` names.
    pub fn page<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next_page = last.map(|last| self.cursors.seal(self.bound_to, &name(last)));
        Page { items, next_page }
    }
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), next_page: self.next_page }
    }
}
