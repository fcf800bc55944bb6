//! What stands between two tags: names and numbers.

use memchr::{memchr, memchr2};

use super::xml::{CDATA_CLOSE, CDATA_OPEN, past_markup};
use crate::sample::{Name, measured};

/// An element's text as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    /// There is a `&` or a `<` in it: as written is not as meant.
    marked_up: bool,
}

impl<'a> Text<'a> {
    pub(super) const EMPTY: Self = Self { raw: &[], marked_up: false };

    pub(super) fn new(raw: &'a [u8], marked_up: bool) -> Self {
        Self { raw, marked_up }
    }

    /// Its length as written, bytes.
    pub(super) fn len(self) -> usize {
        self.raw.len()
    }

    /// The text, decoded: entities resolved where they are known and left as they are where not, comments
    /// left out, invalid UTF-8 replaced by U+FFFD, control characters kept, cut at the length of a name.
    pub(super) fn name(self) -> Name {
        let mut name = Name::EMPTY;
        let mut rest = self.raw;
        loop {
            let plain = if self.marked_up { memchr2(b'<', b'&', rest) } else { None }.unwrap_or(rest.len());
            let (before, from) = rest.split_at(plain);
            if !push_lossy(&mut name, before) || from.is_empty() {
                return name;
            }
            let (length, fits) = push_marked(&mut name, from);
            if !fits {
                return name;
            }
            rest = &from[length..];
        }
    }

    /// What `table` says of the decoded text.
    #[inline]
    pub(super) fn lookup<T>(self, table: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        if self.marked_up { table(self.name().as_str().as_bytes()) } else { table(self.raw) }
    }

    /// The text as a number that may be reported.
    pub(super) fn quantity(self) -> Option<f64> {
        self.lookup(number).and_then(measured)
    }

    /// The text as a whole number, rounded where it is none.
    pub(super) fn integer(self) -> Option<i64> {
        self.lookup(integer)
    }
}

/// Appends bytes as text. Returns whether they fitted.
fn push_lossy(name: &mut Name, bytes: &[u8]) -> bool {
    bytes.utf8_chunks().all(|chunk| {
        chunk.valid().chars().all(|c| name.push(c))
            && (chunk.invalid().is_empty() || name.push(char::REPLACEMENT_CHARACTER))
    })
}

/// Appends what starts with `&` or `<`. Returns how long it is as written, and whether it fitted.
fn push_marked(name: &mut Name, from: &[u8]) -> (usize, bool) {
    if let Some((c, length)) = entity(from) {
        return (length, name.push(c));
    }
    match past_markup(from, 0) {
        Some(length) => match from[..length].strip_prefix(CDATA_OPEN) {
            Some(cdata) => (length, push_lossy(name, &cdata[..cdata.len() - CDATA_CLOSE.len()])),
            None => (length, true),
        },
        None => (1, name.push(char::from(from[0]))),
    }
}

/// The longest entity that is known: `&#x10FFFF;`, and some leading zeros.
const ENTITY_MAX: usize = 16;

/// The character that the entity at the start of `from` stands for, and its length as written.
fn entity(from: &[u8]) -> Option<(char, usize)> {
    let body = from.strip_prefix(b"&")?;
    let body = &body[..memchr(b';', &body[..body.len().min(ENTITY_MAX)])?];
    let c = match body {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x', digits @ ..] => char::from_u32(unsigned(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(unsigned(digits, 10)?)?,
        _ => return None,
    };
    Some((c, body.len() + 2))
}

/// Digits alone, without the sign that the standard library allows.
fn unsigned(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.first() == Some(&b'+') {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// Powers of ten that a double holds exactly, as many as [`number`] divides by.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A decimal, exponents, `nan` and `inf` included; or a hexadecimal integer.
#[inline]
fn number(written: &[u8]) -> Option<f64> {
    // Most numbers are 0.
    if let [digit @ b'0'..=b'9'] = written {
        return Some(f64::from(digit - b'0'));
    }
    // Up to 15 digits and a power of ten are both exact in a double, so their quotient is rounded once: the
    // same value as the standard library's, at a fraction of the cost.
    let mut mantissa = 0_u64;
    let mut digits = 0_usize;
    let mut point = None;
    for &byte in written {
        match byte {
            b'0'..=b'9' if digits < POWERS.len() - 1 => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' if point.is_none() => point = Some(digits),
            _ => return any_number(written),
        }
    }
    if digits == 0 {
        return None;
    }
    Some(mantissa as f64 / POWERS[digits - point.unwrap_or(digits)])
}

#[cold]
fn any_number(written: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(written).ok()?.trim();
    text.parse().ok().or_else(|| hexadecimal(text).map(|value| value as f64))
}

/// A whole number, rounded; up to 2⁵³, which is 104 days of nanoseconds, it is exact.
fn integer(written: &[u8]) -> Option<i64> {
    /// 2⁶³: from here on a double is no `i64`.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let value = number(written)?.round();
    (-LIMIT..LIMIT).contains(&value).then_some(value as i64)
}

/// `0x1F`, as Apple's own reader takes it.
fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &[u8]) -> String {
        Text::new(raw, true).name().as_str().to_owned()
    }

    #[test]
    fn entities_are_resolved_and_a_raw_ampersand_is_kept() {
        assert_eq!(name(b"a &amp; b &lt;&gt;&quot;&apos; &#65;&#x1F600;"), "a & b <>\"' A\u{1f600}");
        assert_eq!(
            name(b"Tom & Jerry &nbsp; R&D; &#xD800; &#+65; &"),
            "Tom & Jerry &nbsp; R&D; &#xD800; &#+65; &"
        );
    }

    #[test]
    fn comments_are_left_out_and_cdata_is_taken_as_it_stands() {
        assert_eq!(name(b"a<!-- &amp; -->b<![CDATA[<c> &amp;]]>d<?x?>e"), "ab<c> &amp;de");
        assert_eq!(name(b"1 < 2 <![CDATA[ <!--"), "1 < 2 <![CDATA[ <!--");
    }

    #[test]
    fn invalid_utf_8_is_replaced_and_control_characters_are_kept() {
        assert_eq!(name(b"a\xff\xc3b\x07\xe2\x82\xac"), "a\u{fffd}\u{fffd}b\u{7}€");
    }

    #[test]
    fn a_long_name_is_cut_wherever_its_characters_come_from() {
        let cut = format!("{}…", "x".repeat(128));
        assert_eq!(name("x".repeat(200).as_bytes()), cut);
        assert_eq!(name("&#120;".repeat(200).as_bytes()), cut);
        assert_eq!(name(format!("<![CDATA[{}]]>y", "x".repeat(200)).as_bytes()), cut);
    }

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        for text in [
            "0",
            "1.5",
            "630.672",
            "1.02002e+09",
            "123456789012345",
            "0.000000000000001",
            "1e-7",
            ".5",
            "5.",
            "+3",
            "1234567890123456789",
            "0.1234567890123456789",
            "18446744073709551615",
            "00000000000000000001",
        ] {
            assert_eq!(Text::new(text.as_bytes(), false).quantity(), Some(text.parse().unwrap()), "{text}");
        }
        assert_eq!(Text::new(b" 7\n", false).quantity(), Some(7.0));
        assert_eq!(Text::new(b"0x1f", false).quantity(), Some(31.0));
    }

    #[test]
    fn what_is_no_finite_number_from_zero_up_is_not_reported() {
        for text in [
            "nan", "NaN", "inf", "-inf", "-1", "-1e300", "1e999", "1e308", "1.1e20", "", ".", "-", "x",
            "1.2.3", "1 2", "0x", "0x+1",
        ] {
            assert_eq!(Text::new(text.as_bytes(), false).quantity(), None, "{text}");
        }
        let zero = Text::new(b"-0.0", false).quantity().unwrap();
        assert!(zero == 0.0 && zero.is_sign_positive());
    }

    #[test]
    fn whole_numbers_are_exact_up_to_two_to_the_53rd_and_decimals_are_rounded() {
        let integer = |text: &str| Text::new(text.as_bytes(), false).integer();
        assert_eq!(integer("9007199254740991"), Some(9_007_199_254_740_991));
        assert_eq!(integer("-2"), Some(-2));
        assert_eq!(integer("1.02002e+09"), Some(1_020_020_000));
        assert_eq!(integer("0xFF"), Some(255));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("nan"), None);
    }
}
