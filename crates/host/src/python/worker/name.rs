//! What `ps` shows of the process.

use std::ffi::CString;

/// Writes `display-name` over the memory of the command line, as far as that reaches, and into the thread's name.
///
/// Source: proc(5), `/proc/[pid]/cmdline`; fields 48 and 49 of `/proc/[pid]/stat`; prctl(2), PR_SET_NAME.
pub(super) fn show(name: &[u8]) {
    if let Some((start, length)) = command_line() {
        let count = name.len().min(length - 1);
        // SAFETY: the kernel says that the command line lies there; Python has copied its arguments when it started,
        // and nothing else reads the strings. The last byte stays a NUL, so that the kernel shows nothing beyond.
        unsafe {
            let place = std::slice::from_raw_parts_mut(start as *mut u8, length);
            place.fill(0);
            place[..count].copy_from_slice(&name[..count]);
        }
    }
    let short: Vec<u8> = name.iter().copied().filter(|byte| *byte != 0).take(15).collect();
    if let Ok(short) = CString::new(short) {
        // SAFETY: the kernel copies at most 16 bytes of a string that ends.
        unsafe { libc::prctl(libc::PR_SET_NAME, short.as_ptr()) };
    }
}

/// Address and length of the command line.
fn command_line() -> Option<(usize, usize)> {
    let stat = std::fs::read("/proc/self/stat").ok()?;
    // The second field, in parentheses, may hold anything.
    let rest = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    let fields: Vec<&[u8]> = rest.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
    let number = |field: usize| std::str::from_utf8(fields.get(field - 3)?).ok()?.parse::<usize>().ok();
    let (start, end) = (number(48)?, number(49)?);
    (start != 0 && end > start + 1).then_some((start, end - start))
}
