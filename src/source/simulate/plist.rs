//! Writes property lists the way powermetrics does: one element a line, integers plain, reals like C's `%g`
//! with six digits. The facts are from a real capture (Mac16,5, macOS 26).

/// What stands before the first key of every document.
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
"#;

/// A document under construction, appended to a buffer.
pub(super) struct Plist<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Plist<'a> {
    /// Begins a document.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(HEAD.as_bytes());
        Self { out }
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"</dict>\n</plist>\n");
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn key(&mut self, key: &str) {
        self.text("<key>");
        self.text(key);
        self.text("</key>");
    }

    fn element(&mut self, tag: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.text("<");
        self.text(tag);
        self.text(">");
        write(self.out);
        self.text("</");
        self.text(tag);
        self.text(">\n");
    }

    /// An opening tag on a line of its own, after a key on another where there is one.
    fn open(&mut self, key: &str, tag: &str) {
        if !key.is_empty() {
            self.key(key);
            self.text("\n");
        }
        self.text(tag);
    }

    /// A dict of its own key.
    pub(super) fn dict(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        self.open(key, "<dict>\n");
        fill(self);
        self.text("</dict>\n");
    }

    /// A dict that is an array's item.
    pub(super) fn item(&mut self, fill: impl FnOnce(&mut Self)) {
        self.dict("", fill);
    }

    /// An array.
    pub(super) fn array(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        self.open(key, "<array>\n");
        fill(self);
        self.text("</array>\n");
    }

    /// An integer.
    pub(super) fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        self.element("integer", |out| integer(out, value));
    }

    /// A real.
    pub(super) fn real(&mut self, key: &str, value: f64) {
        self.key(key);
        self.element("real", |out| real(out, value));
    }

    /// An integer on the line after its key: so the powers' keys stand in `processor`.
    pub(super) fn integer_below(&mut self, key: &str, value: i64) {
        self.key(key);
        self.text("\n");
        self.element("integer", |out| integer(out, value));
    }

    /// A real on the line after its key.
    pub(super) fn real_below(&mut self, key: &str, value: f64) {
        self.key(key);
        self.text("\n");
        self.element("real", |out| real(out, value));
    }

    /// An integer in an array's indented item.
    pub(super) fn indented_integer(&mut self, key: &str, value: i64) {
        self.text("  ");
        self.integer(key, value);
    }

    /// A real in an array's indented item.
    pub(super) fn indented_real(&mut self, key: &str, value: f64) {
        self.text("  ");
        self.real(key, value);
    }

    /// A string without characters that need escaping.
    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        self.element("string", |out| out.extend_from_slice(value.as_bytes()));
    }

    /// A string that ends in a number.
    pub(super) fn numbered(&mut self, key: &str, prefix: &str, number: i64) {
        self.key(key);
        self.element("string", |out| {
            out.extend_from_slice(prefix.as_bytes());
            integer(out, number);
        });
    }

    /// A date, RFC 3339 in whole seconds.
    pub(super) fn date(&mut self, key: &str, value: &str) {
        self.key(key);
        self.element("date", |out| out.extend_from_slice(value.as_bytes()));
    }

    /// `<true/>`.
    pub(super) fn yes(&mut self, key: &str) {
        self.key(key);
        self.text("<true/>\n");
    }
}

/// A decimal integer.
fn integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    digits(out, value.unsigned_abs());
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut buffer = [0; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Significant digits of a real.
const DIGITS: i32 = 6;

/// A real as C's `%g` writes it: six significant digits, no trailing zeros, an exponent of two digits where
/// it is below −4 or above 5. No figure here is negative, or smaller than 1e-30 without being 0: those, and
/// what is not finite, are written as `0`.
fn real(out: &mut Vec<u8>, value: f64) {
    if !(value >= 1e-30 && value.is_finite()) {
        out.push(b'0');
        return;
    }
    let (mut mantissa, exponent) = significant(value);
    let mut kept = DIGITS;
    while kept > 1 && mantissa % 10 == 0 {
        mantissa /= 10;
        kept -= 1;
    }
    let start = out.len();
    digits(out, mantissa);
    if !(-4..DIGITS).contains(&exponent) {
        if kept > 1 {
            out.insert(start + 1, b'.');
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        digits(out, u64::from(exponent.unsigned_abs()));
    } else if exponent < 0 {
        let zeros = &b"0.000"[..1 + exponent.unsigned_abs() as usize];
        out.splice(start..start, zeros.iter().copied());
    } else if kept > exponent + 1 {
        out.insert(start + 1 + exponent as usize, b'.');
    } else {
        out.extend(std::iter::repeat_n(b'0', (exponent + 1 - kept) as usize));
    }
}

/// The first six digits of a positive number as an integer, rounded, and the exponent of the first.
fn significant(value: f64) -> (u64, i32) {
    let mut exponent = value.log10().floor() as i32;
    loop {
        let mantissa = scaled(value, DIGITS - 1 - exponent).round();
        // The logarithm may be off by one beside a power of ten, and 999999.7 rounds up to the next.
        if mantissa >= 1e6 {
            exponent += 1;
        } else if mantissa < 1e5 {
            exponent -= 1;
        } else {
            return (mantissa as u64, exponent);
        }
    }
}

/// `value` × 10^`power`. Powers of ten up to 22 are exact, so that every machine writes the same digits.
fn scaled(value: f64, power: i32) -> f64 {
    let ten = (0..power.unsigned_abs()).fold(1.0, |ten, _| ten * 10.0);
    if power < 0 { value / ten } else { value * ten }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        real(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reals_look_like_those_of_printf() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (630.672_41, "630.672"),
            (79.122_649, "79.1226"),
            (10.745, "10.745"),
            (0.002_451_384, "0.00245138"),
            (0.000_1, "0.0001"),
            (0.000_012_345_678, "1.23457e-05"),
            (16_004.2, "16004.2"),
            (999_999.4, "999999"),
            (999_999.6, "1e+06"),
            (1_020_024_000.0, "1.02002e+09"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (0.099_999_99, "0.1"),
            (1.0e100, "1e+100"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn reals_read_back_to_six_digits() {
        let mut value = 3.1e-7;
        while value < 1e13 {
            let read: f64 = written(value).parse().unwrap();
            assert!((read / value - 1.0).abs() <= 5.0e-6, "{value} was written as {read}");
            value *= 1.37;
        }
    }

    #[test]
    fn integers_are_plain() {
        let mut out = Vec::new();
        for value in [0, -2, i64::MAX, i64::MIN] {
            integer(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(out, b"0 -2 9223372036854775807 -9223372036854775808 ");
    }
}
