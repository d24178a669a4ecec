//! What fits one record of an error log, however it is written there.

/// Most that a record's text may take in the log (bytes). What httpd writes of one record is at most 8,192 bytes
/// (MAX_STRING_LEN), with everything that it puts before and after.
const LONGEST_RECORD: usize = 6000;

/// Cuts a text into what fits a record each: after a line where it has several, else between characters of UTF-8.
/// Nothing is lost but the line feeds at which it is cut.
///
/// A byte counts for as much as httpd makes of it. Source: httpd `ap_escape_errorlog_item` (util.c).
pub fn record_pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, left) = match end_of_room(text) {
            None => (text, None),
            Some(end) => cut(text, end),
        };
        rest = left;
        Some(piece)
    })
}

/// Where the text has used up its room; `None` if all of it fits.
fn end_of_room(text: &[u8]) -> Option<usize> {
    if text.len() <= LONGEST_RECORD / LONGEST_ESCAPE {
        return None;
    }
    let mut taken = 0;
    text.iter().position(|byte| {
        taken += length_in_log(*byte);
        taken > LONGEST_RECORD
    })
}

/// Of a NUL, which the module writes as four characters, the first of which httpd doubles.
const LONGEST_ESCAPE: usize = 5;

fn length_in_log(byte: u8) -> usize {
    match byte {
        0 => LONGEST_ESCAPE,
        b'\\' | 8..=13 => 2,
        b' '..=b'~' => 1,
        _ => 4,
    }
}

/// Cuts before `end`, at a better place if there is one.
fn cut(text: &[u8], end: usize) -> (&[u8], Option<&[u8]>) {
    // A short last line is no reason for a short record.
    if let Some(feed) = text[..end].iter().rposition(|byte| *byte == b'\n').filter(|feed| *feed >= end / 2) {
        return (&text[..feed], Some(&text[feed + 1..]));
    }
    let is_boundary = |index: &usize| text[*index] & 0xc0 != 0x80;
    let end = (end.saturating_sub(3).max(1)..=end).rev().find(is_boundary).unwrap_or(end);
    (&text[..end], Some(&text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &[u8]) -> Vec<&[u8]> {
        record_pieces(text).collect()
    }

    fn in_log(piece: &[u8]) -> usize {
        piece.iter().map(|byte| length_in_log(*byte)).sum()
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(pieces(b""), [b""]);
        assert_eq!(pieces(&[b'x'; 6000]), [[b'x'; 6000]]);
        assert_eq!(pieces(b"a\nb"), [b"a\nb"]);
    }

    #[test]
    fn what_httpd_makes_longer_counts_for_more_and_nothing_is_lost() {
        for unit in ["x", "\u{e9}", "\u{1f40d}", "\\", "\u{1}", "\0", "a\u{e9}"] {
            let text = unit.repeat(10_000);
            let pieces = pieces(text.as_bytes());
            assert!(pieces.iter().all(|piece| in_log(piece) <= LONGEST_RECORD), "{unit:?}");
            assert!(pieces.iter().all(|piece| std::str::from_utf8(piece).is_ok()), "{unit:?}");
            assert_eq!(pieces.concat(), text.as_bytes());
        }
    }

    #[test]
    fn several_lines_are_cut_between_lines() {
        let text = ["x".repeat(2500), "y".repeat(2500), "z".repeat(2500)].join("\n");
        assert_eq!(pieces(text.as_bytes()).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [5001, 2500]);
    }

    #[test]
    fn bytes_that_are_no_text_are_cut_anywhere() {
        let bytes = [0xbf; 10_000];
        assert_eq!(pieces(&bytes).concat(), bytes);
    }
}
