//! The request body, through httpd's input filters.

use gateway::ReadError;

use super::bindings as c;
use super::request::Request;
use super::status::status_text;

/// Reads the body of one request, piece by piece, straight from the filters' buckets.
pub(crate) struct Body<'r> {
    request: Request<'r>,
    brigade: *mut c::apr_bucket_brigade,
    /// Bytes of the first bucket that were handed out already.
    offset: usize,
    ended: bool,
    failed: Option<ReadError>,
}

impl<'r> Body<'r> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Body { request, brigade: std::ptr::null_mut(), offset: 0, ended: false, failed: None }
    }

    /// httpd refused the body and has sent its own answer (413, 400).
    pub(crate) fn is_refused(&self) -> bool {
        self.failed == Some(ReadError::Refused)
    }

    /// All of the body was handed out.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// See `gateway::Exchange::read`. `is_answered` says that the whole response was handed on before.
    pub(crate) fn read(&mut self, buf: &mut [u8], is_answered: bool) -> Result<usize, ReadError> {
        self.read_or_fail(buf, is_answered, true).map(|count| count.unwrap_or(0))
    }

    /// The same without waiting: `None` if nothing has come.
    pub(crate) fn read_now(&mut self, buf: &mut [u8], is_answered: bool) -> Result<Option<usize>, ReadError> {
        self.read_or_fail(buf, is_answered, false)
    }

    fn read_or_fail(&mut self, buf: &mut [u8], is_answered: bool, waits: bool) -> Result<Option<usize>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read_some(buf, is_answered, waits);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn read_some(&mut self, buf: &mut [u8], is_answered: bool, waits: bool) -> Result<Option<usize>, ReadError> {
        let mut filled = 0;
        while filled < buf.len() && !self.ended {
            match self.first() {
                Some(bucket) => filled += self.take(bucket, &mut buf[filled..])?,
                // What has come is handed on before anybody waits for more.
                None if filled > 0 => break,
                None if self.fetch(buf.len(), is_answered, waits)? => {}
                // The client may be waiting as well.
                None if self.invite() => return Ok(None),
                None => self.ended = true,
            }
        }
        Ok(Some(filled))
    }

    /// Has a client that waits for `100 Continue` send its body; whether one is to come.
    fn invite(&self) -> bool {
        // SAFETY: the request is live in its handler, on the only thread that has it.
        unsafe { c::wsgi_shim_expect_body(self.request.as_raw()) != 0 }
    }

    fn first(&self) -> Option<*mut c::apr_bucket> {
        if self.brigade.is_null() {
            return None;
        }
        // SAFETY: the brigade was made by fetch() in the request's pool and is only used here.
        let bucket = unsafe { c::wsgi_shim_first(self.brigade) };
        (!bucket.is_null()).then_some(bucket)
    }

    /// Copies from the brigade's first bucket, and removes it when it is used up.
    fn take(&mut self, bucket: *mut c::apr_bucket, buf: &mut [u8]) -> Result<usize, ReadError> {
        // SAFETY: `bucket` is the live first bucket of our brigade. The kind is told by its type; a read
        // gives memory that stays until the bucket is deleted, which happens after the copy
        // (apr_buckets.h). A read that morphs the bucket keeps it first in the brigade.
        unsafe {
            if c::wsgi_shim_is_eos(bucket) != 0 {
                self.ended = true;
                return Ok(0);
            }
            if c::wsgi_shim_is_metadata(bucket) != 0 {
                c::wsgi_shim_delete(bucket);
                return Ok(0);
            }
            let (mut data, mut len) = (std::ptr::null(), 0);
            let status = c::wsgi_shim_read(bucket, &mut data, &mut len);
            if status != 0 {
                return Err(read_error(status));
            }
            let rest = len.saturating_sub(self.offset);
            let count = rest.min(buf.len());
            std::ptr::copy_nonoverlapping(data.add(self.offset).cast::<u8>(), buf.as_mut_ptr(), count);
            if count < rest {
                self.offset += count;
            } else {
                self.offset = 0;
                c::wsgi_shim_delete(bucket);
            }
            Ok(count)
        }
    }

    /// Has the filters give what they have; whether it may be looked at, which is always so after waiting.
    fn fetch(&mut self, wanted: usize, is_answered: bool, waits: bool) -> Result<bool, ReadError> {
        // SAFETY: the request, its connection and its filters live through the handler; the brigade
        // lives in the request's pool, and is empty here (first() found nothing).
        let status = unsafe {
            if self.brigade.is_null() {
                self.brigade =
                    c::apr_brigade_create((*self.request.as_raw()).pool, self.request.connection().bucket_alloc);
            }
            c::ap_get_brigade(
                (*self.request.as_raw()).input_filters,
                self.brigade,
                c::ap_input_mode_t_AP_MODE_READBYTES,
                if waits { c::apr_read_type_e_APR_BLOCK_READ } else { c::apr_read_type_e_APR_NONBLOCK_READ },
                i64::try_from(wanted).unwrap_or(i64::MAX),
            )
        };
        // SAFETY: the shim's test is arithmetic on the number.
        if !waits && unsafe { c::wsgi_shim_is_again(status) } != 0 {
            return Ok(false);
        }
        if status != 0 {
            return Err(read_error(status));
        }
        // HTTP_IN ends the response itself when it refuses a body; if the head was out already, the pass
        // of its answer succeeds, and only the end of the response tells. What came is no body then.
        if !is_answered && self.request.is_response_ended() {
            // SAFETY: our own brigade.
            unsafe { c::apr_brigade_cleanup(self.brigade.cast()) };
            return Err(ReadError::Refused);
        }
        // Some filters say so of nothing at all that they have nothing yet.
        Ok(waits || self.first().is_some())
    }
}

fn read_error(status: c::apr_status_t) -> ReadError {
    // HTTP_IN answers a bad chunk or a body over LimitRequestBody itself and then says
    // AP_FILTER_ERROR (http_filters.c, bail_out_on_error).
    if status == c::AP_FILTER_ERROR {
        return ReadError::Refused;
    }
    // SAFETY: the shim's tests are arithmetic on the number.
    let (is_timeup, is_gone) = unsafe { (c::wsgi_shim_is_timeup(status) != 0, c::wsgi_shim_is_gone(status) != 0) };
    match (is_timeup, is_gone) {
        (true, _) => ReadError::TimedOut,
        (_, true) => ReadError::ClientGone,
        _ => ReadError::Failed(status_text(status)),
    }
}
