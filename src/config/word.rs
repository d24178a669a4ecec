//! Splits the argument text of a RAW_ARGS directive by httpd's own word rules, and `key=value` options
//! off it.

/// What is left of a configuration line.
pub(super) struct Words<'l> {
    rest: &'l [u8],
    has_open_quote: bool,
}

/// What stands next on a line where options are expected.
pub(super) enum OptionWord<'l> {
    /// `key=value`; the value is unquoted, and empty if a blank or the end follows the `=`.
    Pair(&'l [u8], Vec<u8>),
    /// A word without `=`, as written.
    Bare(&'l [u8]),
}

impl<'l> Words<'l> {
    pub(super) fn of(line: &'l [u8]) -> Words<'l> {
        Words { rest: line, has_open_quote: false }
    }

    /// The next word, or `None` at the end; an empty pair of quotes is an empty word.
    ///
    /// A word that begins with a quote ends at the same quote; within it a backslash escapes the quote
    /// and itself. Elsewhere a backslash escapes only itself. A missing closing quote is forgiven.
    ///
    /// Source: httpd `ap_getword_conf` (server/util.c).
    pub(super) fn word(&mut self) -> Option<Vec<u8>> {
        self.skip_blanks();
        let quote = match self.rest.first()? {
            quote @ (b'"' | b'\'') => Some(*quote),
            _ => None,
        };
        Some(match quote {
            Some(quote) => self.quoted(quote),
            None => self.plain(),
        })
    }

    /// Whether a word that was read lacks its closing quote.
    pub(super) fn has_open_quote(&self) -> bool {
        self.has_open_quote
    }

    /// Reads to the end of the line as words; whether one of them lacks its closing quote.
    pub(super) fn leaves_quote_open(mut self) -> bool {
        while self.word().is_some() {}
        self.has_open_quote
    }

    /// The next option, or `None` at the end.
    pub(super) fn option(&mut self) -> Option<OptionWord<'l>> {
        self.skip_blanks();
        let text = self.rest;
        let end = text.iter().position(|byte| *byte == b'=' || is_blank(*byte)).unwrap_or(text.len());
        if text.is_empty() {
            return None;
        }
        if text.get(end) != Some(&b'=') {
            self.rest = &text[end..];
            return Some(OptionWord::Bare(&text[..end]));
        }
        self.rest = &text[end + 1..];
        let is_empty = self.rest.first().is_none_or(|byte| is_blank(*byte));
        let value = if is_empty { None } else { self.word() };
        Some(OptionWord::Pair(&text[..end], value.unwrap_or_default()))
    }

    fn skip_blanks(&mut self) {
        let start = self.rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[start..];
    }

    fn quoted(&mut self, quote: u8) -> Vec<u8> {
        let mut word = Vec::new();
        let mut at = 1;
        while let Some(&byte) = self.rest.get(at) {
            let escaped = self.rest.get(at + 1).filter(|next| **next == quote || **next == b'\\');
            match (byte, escaped) {
                (b'\\', Some(escaped)) => {
                    word.push(*escaped);
                    at += 2;
                }
                _ if byte == quote => break,
                _ => {
                    word.push(byte);
                    at += 1;
                }
            }
        }
        self.has_open_quote |= at >= self.rest.len();
        self.rest = self.rest.get(at + 1..).unwrap_or_default();
        word
    }

    fn plain(&mut self) -> Vec<u8> {
        let end = self.rest.iter().position(|byte| is_blank(*byte)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let mut word = Vec::with_capacity(text.len());
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            word.push(byte);
            if byte == b'\\' {
                bytes.next_if_eq(&b'\\');
            }
        }
        word
    }
}

/// C's `isspace` in the C locale.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut words = Words::of(line.as_bytes());
        std::iter::from_fn(|| words.word()).map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
    }

    fn options(line: &str) -> Vec<String> {
        let mut words = Words::of(line.as_bytes());
        std::iter::from_fn(|| words.option())
            .map(|option| match option {
                OptionWord::Pair(key, value) => {
                    format!("{} -> {}", String::from_utf8_lossy(key), String::from_utf8_lossy(&value))
                }
                OptionWord::Bare(word) => String::from_utf8_lossy(word).into_owned(),
            })
            .collect()
    }

    #[test]
    fn words_end_at_blanks() {
        assert_eq!(words("  /a\t/b  c "), ["/a", "/b", "c"]);
        assert!(words(" \t ").is_empty());
    }

    #[test]
    fn quoted_values_with_spaces_are_one_word() {
        assert_eq!(words(r#""/a b" '/c d' e"#), ["/a b", "/c d", "e"]);
        assert_eq!(words(r#""" x"#), ["", "x"]);
    }

    #[test]
    fn a_backslash_escapes_the_quote_and_itself_only() {
        assert_eq!(words(r#""a\"b" "c\\d" "e\f" "g\'h""#), [r#"a"b"#, r"c\d", r"e\f", r"g\'h"]);
        assert_eq!(words(r"^/x\.y \\d a\\\b"), [r"^/x\.y", r"\d", r"a\\b"]);
    }

    #[test]
    fn a_missing_closing_quote_is_forgiven_and_noticed() {
        for (line, is_open) in [(r#""a b" 'c'"#, false), (r#"a "b c"#, true), (r#""a\""#, true), (r#"a"b"#, false)] {
            assert_eq!(Words::of(line.as_bytes()).leaves_quote_open(), is_open, "{line}");
        }
        assert_eq!(words(r#"a "b c"#), ["a", "b c"]);
        assert_eq!(words("\"b\\"), ["b\\"]);
    }

    #[test]
    fn options_are_pairs_whose_value_may_be_quoted() {
        assert_eq!(options(r#"a=b  c="d e" f='g'"#), ["a -> b", "c -> d e", "f -> g"]);
        assert_eq!(options("a=b=c"), ["a -> b=c"]);
    }

    #[test]
    fn no_blank_may_stand_around_the_equals_sign() {
        assert_eq!(options("a = b"), ["a", " -> ", "b"]);
        assert_eq!(options("a= b=c"), ["a -> ", "b -> c"]);
        assert_eq!(options("a="), ["a -> "]);
    }
}
