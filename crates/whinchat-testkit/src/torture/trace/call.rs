//! A system call, as `strace -f -y -xx -a 1` writes it: in one line, or in two if another thread's call stands between.

use std::collections::HashMap;

/// A call that has returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When it was made and when it had returned: later is larger, over all threads.
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) name: String,
    /// What its descriptor is: a path, or `socket:[INODE]`, which no other socket of the trace is.
    pub(super) file: String,
    /// The bytes that were read or written, as far as the result says that they were.
    pub(super) data: Vec<u8>,
    /// What it returned; -1 for an error.
    pub(super) result: i64,
}

/// Makes calls of lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    at: u64,
    /// By thread, what has not returned.
    unfinished: HashMap<u32, (Vec<u8>, u64)>,
}

impl Lines {
    /// The next line. Signals, ends of threads, and calls that never return give nothing.
    ///
    /// # Errors
    /// A line that is not one of strace's, or one that it has shortened.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Option<Call>, String> {
        self.at += 2;
        let shown = || String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (thread, rest) = line.split_at(digits);
        let thread: u32 = std::str::from_utf8(thread)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("a line without the number of a thread: {}", shown()))?;
        let rest = rest.trim_ascii();
        let is_end = rest.starts_with(b"+++") || rest.ends_with(b"<detached ...>");
        if is_end || rest.starts_with(b"---") {
            return Ok(None);
        }
        if let Some(head) = rest.strip_suffix(b"<unfinished ...>") {
            self.unfinished.insert(thread, (head.to_vec(), self.at));
            return Ok(None);
        }
        let (text, begin) = if rest.starts_with(b"<... ") {
            let Some((mut text, begin)) = self.unfinished.remove(&thread) else {
                return Err(format!("the end of a call without its begin: {}", shown()));
            };
            let tail = rest.iter().position(|byte| *byte == b'>').unwrap_or(0) + 1;
            text.extend_from_slice(&rest[tail..]);
            (text, begin)
        } else {
            (rest.to_vec(), self.at)
        };
        let call = parse(&text).ok_or_else(|| format!("not a call: {}", shown()))?;
        let Parsed {
            name,
            file,
            mut data,
            is_cut,
            result,
        } = call;
        if is_cut {
            return Err(format!("strace has shortened this: {}", shown()));
        }
        let Some(result) = result else {
            return Ok(None);
        };
        data.truncate(usize::try_from(result).unwrap_or(0));
        Ok(Some(Call {
            begin,
            end: self.at + 1,
            name,
            file,
            data,
            result,
        }))
    }
}

struct Parsed {
    name: String,
    file: String,
    data: Vec<u8>,
    is_cut: bool,
    result: Option<i64>,
}

fn parse(text: &[u8]) -> Option<Parsed> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let name = String::from_utf8_lossy(&text[..open]).into_owned();
    let equals = text.windows(3).rposition(|three| three == b" = ")?;
    let result = text[equals + 3..].split(|byte| *byte == b' ').next()?;
    // `?` of a call that a signal has ended for good.
    let result = std::str::from_utf8(result).ok()?.parse().ok();
    let mut arguments = &text[open + 1..equals];
    let mut file = String::new();
    let digits = arguments
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if arguments.get(digits) == Some(&b'<') {
        let close = arguments.iter().position(|byte| *byte == b'>')?;
        let path = unescape(&arguments[digits + 1..close])?;
        file = String::from_utf8_lossy(&path).into_owned();
        arguments = &arguments[close + 1..];
    }
    let mut data = Vec::new();
    let mut is_cut = false;
    while let Some(quote) = arguments.iter().position(|byte| *byte == b'"') {
        arguments = &arguments[quote + 1..];
        let close = arguments.iter().position(|byte| *byte == b'"')?;
        data.extend(unescape(&arguments[..close])?);
        arguments = &arguments[close + 1..];
        is_cut |= arguments.starts_with(b"...");
    }
    Some(Parsed {
        name,
        file,
        data,
        is_cut,
        result,
    })
}

/// `\x41` is one byte; what is not escaped is itself.
fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    while let Some((first, rest)) = text.split_first() {
        if let Some(escaped) = text.strip_prefix(b"\\x") {
            let digits = std::str::from_utf8(escaped.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            text = &escaped[2..];
        } else {
            bytes.push(*first);
            text = rest;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Call, Lines};

    fn call(lines: &mut Lines, line: &str) -> Option<Call> {
        lines.take(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_call_in_one_line_has_its_file_its_data_and_its_result() {
        let mut lines = Lines::default();
        let line = r#"14469 pwrite64(3<\x2f\x66>, "\x68\x69\x22\x21", 4, 4096) = 3"#;
        let call = call(&mut lines, line).unwrap();
        assert_eq!((call.name.as_str(), call.file.as_str()), ("pwrite64", "/f"));
        assert_eq!((call.data.as_slice(), call.result), (&b"hi\""[..], 3));
        assert!(call.begin < call.end);
    }

    #[test]
    fn a_call_in_two_lines_began_with_the_first() {
        let mut lines = Lines::default();
        assert_eq!(call(&mut lines, "7 fdatasync(3</f> <unfinished ...>"), None);
        let other = call(
            &mut lines,
            r#"8 writev(4<socket:[1]>, [{iov_base="\x41", iov_len=1}, {iov_base="\x42", iov_len=1}], 2) = 2"#,
        );
        let other = other.unwrap();
        assert_eq!(other.data, b"AB");
        let sync = call(&mut lines, "7 <... fdatasync resumed>) = 0").unwrap();
        assert!(sync.begin < other.begin && other.end < sync.end, "{sync:?}");
        assert_eq!(
            (sync.name.as_str(), sync.file.as_str()),
            ("fdatasync", "/f")
        );
    }

    #[test]
    fn errors_have_no_data_and_what_never_returns_is_no_call() {
        let mut lines = Lines::default();
        let line = r"7 recvfrom(4<socket:[1]>, 0x7f00, 10, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)";
        assert_eq!(call(&mut lines, line).unwrap().result, -1);
        assert_eq!(call(&mut lines, "7 fdatasync(3</f>) = ?"), None);
        assert_eq!(call(&mut lines, "7 +++ killed by SIGKILL +++"), None);
    }

    #[test]
    fn what_is_shortened_or_no_line_of_strace_is_an_error() {
        let mut lines = Lines::default();
        let cut = lines.take(br#"7 write(3</f>, "\x41"..., 9) = 9"#);
        assert!(cut.unwrap_err().contains("shortened"));
        let other = lines.take(b"hello");
        assert!(other.unwrap_err().contains("hello"));
    }
}
