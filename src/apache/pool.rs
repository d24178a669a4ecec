//! Memory that lives as long as an APR pool.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use super::bindings as c;

/// An APR pool that outlives `'a`: a request's, a child's, or the configuration's.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    raw: *mut c::apr_pool_t,
    life: PhantomData<&'a c::apr_pool_t>,
}

impl<'a> Pool<'a> {
    /// # Safety
    /// `raw` is a live pool and stays so for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut c::apr_pool_t) -> Self {
        Pool { raw, life: PhantomData }
    }

    pub(super) fn as_raw(self) -> *mut c::apr_pool_t {
        self.raw
    }

    /// Copies `bytes` into the pool, with a NUL after them.
    pub(crate) fn copy(self, bytes: &[u8]) -> &'a CStr {
        // SAFETY: apr_pstrmemdup copies exactly `len` bytes and adds a NUL (apr_strings.h); the copy
        // lives as long as the pool, which outlives 'a. A NUL inside only makes the CStr shorter.
        unsafe { CStr::from_ptr(c::apr_pstrmemdup(self.raw, bytes.as_ptr().cast(), bytes.len())) }
    }

    /// Copies `bytes` into the pool as they are.
    pub(crate) fn copy_bytes(self, bytes: &[u8]) -> &'a [u8] {
        // SAFETY: apr_palloc gives `len` writable bytes that live as long as the pool (apr_pools.h); it
        // ends the process rather than return null, since httpd sets an abort function on its pools.
        unsafe {
            let copy = c::apr_palloc(self.raw, bytes.len()).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
            std::slice::from_raw_parts(copy, bytes.len())
        }
    }

    /// Copies a plain value into the pool.
    pub(crate) fn place<T: Copy>(self, value: T) -> &'a T {
        // APR aligns to 8 bytes (APR_ALIGN_DEFAULT).
        const { assert!(align_of::<T>() <= 8) };
        // SAFETY: apr_palloc gives that many writable bytes that live as long as the pool.
        unsafe {
            let place = c::apr_palloc(self.raw, size_of::<T>()).cast::<T>();
            place.write(value);
            &*place
        }
    }

    /// Moves a Rust value into the pool's care: dropped when the pool is cleared or destroyed.
    pub(crate) fn keep<T: 'static>(self, value: T) -> &'a mut T {
        let raw = Box::into_raw(Box::new(value));
        // SAFETY: the cleanup runs once, when the pool goes (apr_pools.h), and nothing else frees
        // `raw`; no exec of a child cleanup is wanted, hence apr_pool_cleanup_null.
        unsafe {
            c::apr_pool_cleanup_register(self.raw, raw.cast(), Some(drop_kept::<T>), Some(c::apr_pool_cleanup_null));
            &mut *raw
        }
    }

    /// Has a function called when the pool goes.
    pub(crate) fn at_end(self, function: fn()) {
        struct AtEnd(fn());
        impl Drop for AtEnd {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        self.keep(AtEnd(function));
    }
}

unsafe extern "C" fn drop_kept<T>(raw: *mut c_void) -> c::apr_status_t {
    // A destructor that panics must not unwind into APR; there is nobody to tell at pool cleanup.
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: `raw` came from Box::into_raw::<T> in `keep`, and a cleanup runs once.
        drop(unsafe { Box::from_raw(raw.cast::<T>()) });
    });
    0
}

/// The bytes of a C string that may be null.
///
/// # Safety
/// `raw` is null or a NUL-terminated string that lives for `'a`.
pub(super) unsafe fn optional_bytes<'a>(raw: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: not null, and the caller promises a NUL-terminated string that lives for 'a.
    (!raw.is_null()).then(|| unsafe { CStr::from_ptr(raw) }.to_bytes())
}

/// A pool of a test's own, with APR for real.
#[cfg(test)]
pub(super) fn with_pool<R>(test: impl FnOnce(Pool<'_>) -> R) -> R {
    // APR sets itself up on the first call, which two tests must not make at once.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    // SAFETY: apr_initialize may be called often; the pool is made here and destroyed after the test.
    unsafe {
        assert_eq!(c::apr_initialize(), 0);
        let mut raw = std::ptr::null_mut();
        assert_eq!(c::apr_pool_create_ex(&mut raw, std::ptr::null_mut(), None, std::ptr::null_mut()), 0);
        let result = test(Pool::from_raw(raw));
        c::apr_pool_destroy(raw);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn copies_are_ended_with_a_nul_or_kept_as_they_are() {
        with_pool(|pool| {
            assert_eq!(pool.copy(b"abc"), c"abc");
            assert_eq!(pool.copy(b""), c"");
            assert_eq!(pool.copy_bytes(b"a\0b"), b"a\0b");
        });
    }

    #[test]
    fn what_a_pool_keeps_is_dropped_with_the_pool_and_not_before() {
        let value = Rc::new(());
        let kept = Rc::clone(&value);
        with_pool(|pool| {
            pool.keep(kept);
            assert_eq!(Rc::strong_count(&value), 2);
        });
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
