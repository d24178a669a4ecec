//! APR tables: headers, notes and environment of a request.

use std::ffi::CStr;
use std::marker::PhantomData;

use super::bindings as c;
use super::pool::optional_bytes;

/// A table of a live request.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    raw: *mut c::apr_table_t,
    life: PhantomData<&'a c::apr_table_t>,
}

impl<'a> Table<'a> {
    /// # Safety
    /// `raw` is a live table for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut c::apr_table_t) -> Self {
        Table { raw, life: PhantomData }
    }

    /// The first value of a name, compared without regard to case.
    pub(crate) fn get(self, name: &CStr) -> Option<&'a [u8]> {
        // SAFETY: the table is live; its values are NUL-terminated and live in its pool.
        unsafe { optional_bytes(c::apr_table_get(self.raw, name.as_ptr())) }
    }

    /// Adds an entry without copying it; `name` and `value` must be of the request's pool.
    pub(crate) fn add_kept(self, name: &'a CStr, value: &'a CStr) {
        // SAFETY: apr_table_addn keeps the pointers, which live as long as the table ('a).
        unsafe { c::apr_table_addn(self.raw, name.as_ptr(), value.as_ptr()) }
    }

    /// Replaces every entry of a name; copies both strings into the table's pool.
    pub(crate) fn set(self, name: &CStr, value: &CStr) {
        // SAFETY: the table is live; apr_table_set copies.
        unsafe { c::apr_table_set(self.raw, name.as_ptr(), value.as_ptr()) }
    }

    /// Name and value of each entry, in the order of insertion.
    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        // SAFETY: apr_table_elts gives the table's own array (apr_tables.h), which does not change
        // while httpd's hook has us iterate it on the request's one thread.
        let entries = unsafe {
            let array = &*c::apr_table_elts(self.raw);
            match array.nelts {
                0 => &[][..],
                count => std::slice::from_raw_parts(array.elts.cast::<c::apr_table_entry_t>(), count as usize),
            }
        };
        entries.iter().filter_map(|entry| {
            // SAFETY: keys and values of a table are NUL-terminated strings of its pool, or null.
            unsafe { Some((optional_bytes(entry.key)?, optional_bytes(entry.val).unwrap_or(b""))) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::{Pool, with_pool};
    use super::*;

    fn table(pool: Pool<'_>) -> Table<'_> {
        // SAFETY: a new table of the test's pool.
        unsafe { Table::from_raw(c::apr_table_make(pool.as_raw(), 2)) }
    }

    #[test]
    fn entries_come_in_their_order_with_repeats() {
        with_pool(|pool| {
            let table = table(pool);
            assert_eq!(table.entries().count(), 0);
            table.set(c"A", c"1");
            table.add_kept(c"B", c"2");
            table.add_kept(c"b", c"3");
            let entries: Vec<_> = table.entries().collect();
            assert_eq!(entries, [(&b"A"[..], &b"1"[..]), (b"B", b"2"), (b"b", b"3")]);
        });
    }

    #[test]
    fn names_are_found_in_any_case_and_set_replaces() {
        with_pool(|pool| {
            let table = table(pool);
            table.set(c"Host", c"one");
            table.set(c"HOST", c"two");
            assert_eq!(table.get(c"host"), Some(&b"two"[..]));
            assert_eq!(table.entries().count(), 1);
            assert_eq!(table.get(c"absent"), None);
        });
    }
}
