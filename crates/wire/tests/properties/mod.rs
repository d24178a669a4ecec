//! What must hold for any bytes whatever; asked by `robustness.rs` on any toolchain and by the targets
//! in `fuzz/`. Each returns whether the bytes were accepted, so that a run can tell if it got there.

#![allow(unreachable_pub, reason = "the fuzz crate exports this module, a test cannot")]

use gateway::key::KEYS;
use gateway::response::{check_header, parse_content_length, parse_status};
use wire::{Entry, RequestHead, RequestWriter, ResponseHead, ResponseWriter, Settings, SettingsWriter};

/// The least bytes that an entry, a header or a pair takes.
const LEAST: usize = 8;

/// A request head that is accepted is, written again, the same bytes.
pub fn request_head(data: &[u8]) -> bool {
    let Ok(head) = RequestHead::parse(data) else {
        return false;
    };
    assert!(head.entries().count() <= data.len() / LEAST);
    let entries: Vec<_> = head.entries().map_while(Result::ok).collect();
    for &key in KEYS {
        let last = entries.iter().rev().find_map(|entry| match *entry {
            Entry::Known { key: found, value } if found == key => Some(value),
            _ => None,
        });
        assert_eq!(head.get(key), last);
    }
    if head.entries().any(|entry| entry.is_err()) {
        return false;
    }
    let mut again = Vec::new();
    let mut writer = RequestWriter::begin(&mut again, head.facts());
    for entry in entries {
        match entry {
            Entry::Known { key, value } => writer.known(key, value),
            Entry::Named { name, value } => writer.named(name, value),
        }
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// A response head that is accepted is, written again, the same bytes, and cannot break out of a line.
pub fn response_head(data: &[u8]) -> bool {
    let Ok(head) = ResponseHead::parse(data) else {
        return false;
    };
    assert!(is_one_line(head.reason().to_bytes()));
    assert!(head.headers().count() <= data.len() / LEAST);
    let mut again = Vec::new();
    let mut writer = ResponseWriter::begin(&mut again, head.code(), head.reason().to_bytes());
    for header in head.headers() {
        let Ok((name, value)) = header else {
            return false;
        };
        assert!(!name.is_empty() && is_one_line(name.to_bytes()) && is_one_line(value.to_bytes()));
        writer.header(name.to_bytes(), value.to_bytes());
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// A settings block that is accepted is, written again, the same bytes.
pub fn settings(data: &[u8]) -> bool {
    let Ok(settings) = Settings::parse(data) else {
        return false;
    };
    assert!(settings.pairs().count() <= data.len() / LEAST);
    let mut again = Vec::new();
    let mut writer = SettingsWriter::begin(&mut again);
    for pair in settings.pairs() {
        let Ok((name, value)) = pair else {
            return false;
        };
        let found = settings.get(name);
        assert_eq!(found, settings.pairs().flatten().filter(|pair| pair.0 == name).last().map(|pair| pair.1));
        writer.set(name, value);
    }
    assert_eq!(writer.finish(), Ok(()));
    assert_eq!(again, data);
    true
}

/// A status line and headers that the rules let through arrive at httpd unchanged. `data` is taken as
/// lines: the status, then names and values by turns, then a `Content-Length`.
///
/// A line ends at `0xfe`, so that line breaks and NULs can stand in it.
pub fn status_and_headers(data: &[u8]) -> bool {
    let mut lines = data.split(|byte| *byte == 0xfe);
    let text = lines.next().unwrap_or_default();
    let status = match parse_status(text) {
        Ok(status) => status,
        Err(invalid) => {
            assert!(is_one_line(invalid.to_string().as_bytes()));
            return false;
        }
    };
    assert!(status.code < 1000 && !(100..200).contains(&status.code));
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        match check_header(name, value) {
            Ok(()) => headers.push((name, value)),
            Err(invalid) => assert!(is_one_line(invalid.to_string().as_bytes())),
        }
        match parse_content_length(value) {
            Ok(length) => assert!(length <= i64::MAX as u64),
            Err(invalid) => assert!(is_one_line(invalid.to_string().as_bytes())),
        }
    }
    let mut block = Vec::new();
    let mut writer = ResponseWriter::begin(&mut block, status.code, status.reason);
    for (name, value) in &headers {
        writer.header(name, value);
    }
    if writer.finish().is_err() {
        return false;
    }
    let head = ResponseHead::parse(&block).expect("what the rules let through can be read");
    assert_eq!((head.code(), head.reason().to_bytes()), (status.code, status.reason));
    let arrived: Vec<_> = head
        .headers()
        .map(|header| header.expect("what the rules let through can be read"))
        .map(|(name, value)| (name.to_bytes(), value.to_bytes()))
        .collect();
    assert_eq!(arrived, headers);
    true
}

fn is_one_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}
