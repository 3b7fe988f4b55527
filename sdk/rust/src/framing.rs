//! Cuts a stream into frames. Owns bytes that are not yet a whole frame, never more than its bound; knows no protocol.

/// The peer sent a frame above the bound. The buffer is empty now; the sane thing is to close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong;

/// Frames that end with a line feed; a carriage return before it is dropped too.
#[derive(Clone, Debug)]
pub struct Lines {
    buffer: Buffer,
    line_bytes_max: usize,
}

impl Lines {
    /// Lines of at most so many bytes.
    pub const fn new(line_bytes_max: usize) -> Self {
        Self { buffer: Buffer::new(), line_bytes_max }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.push(bytes);
    }

    /// What is not yet a whole line, for `carry_over`; give it to [`Lines::push`] of the next version.
    pub fn pending(&self) -> &[u8] {
        self.buffer.rest()
    }

    /// The next whole line.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let end = self.buffer.rest().iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(self.buffer.rest().len()) > self.line_bytes_max {
            self.buffer.clear();
            return Err(FrameTooLong);
        }
        let line = end.and_then(|end| self.buffer.take(end + 1)).and_then(|line| line.strip_suffix(b"\n"));
        Ok(line.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// Frames that a big-endian number of bytes announces.
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    buffer: Buffer,
    width: usize,
    frame_bytes_max: usize,
}

impl LengthPrefixed {
    /// A prefix of `width` bytes (1 to 8) before frames of at most so many bytes.
    pub const fn new(width: usize, frame_bytes_max: usize) -> Self {
        assert!(1 <= width && width <= 8, "a length has 1 to 8 bytes");
        Self { buffer: Buffer::new(), width, frame_bytes_max }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.push(bytes);
    }

    /// What is not yet a whole frame, for `carry_over`.
    pub fn pending(&self) -> &[u8] {
        self.buffer.rest()
    }

    /// The next whole frame, without its prefix.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let Some(prefix) = self.buffer.rest().get(..self.width) else { return Ok(None) };
        let length = prefix.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= self.frame_bytes_max) else {
            self.buffer.clear();
            return Err(FrameTooLong);
        };
        Ok(self.buffer.take(self.width.saturating_add(length)).and_then(|frame| frame.get(self.width..)))
    }
}

/// Bytes with a mark before which all is consumed; moved to the front only when more arrives.
#[derive(Clone, Debug)]
struct Buffer {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Buffer {
    const fn new() -> Self {
        Self { bytes: Vec::new(), consumed: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.consumed);
        self.consumed = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let start = self.consumed;
        let taken = self.bytes.get(start..start.checked_add(length)?)?;
        self.consumed += length;
        Some(taken)
    }

    fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames of a stream that arrives in pieces of this size.
    fn lines_of(stream: &[u8], piece: usize) -> Vec<String> {
        let mut lines = Lines::new(16);
        let mut found = Vec::new();
        for bytes in stream.chunks(piece) {
            lines.push(bytes);
            while let Some(line) = lines.next_line().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut() {
        for piece in 1..20 {
            assert_eq!(lines_of(b"one\r\n\ntwo\nthree", piece), ["one", "", "two"], "pieces of {piece}");
        }
    }

    #[test]
    fn a_line_of_exactly_the_bound_passes_and_one_more_byte_does_not() {
        let mut lines = Lines::new(3);
        lines.push(b"abc\n");
        assert_eq!(lines.next_line(), Ok(Some(&b"abc"[..])));
        lines.push(b"abcd");
        assert_eq!(lines.next_line(), Err(FrameTooLong));
        assert!(lines.pending().is_empty());
    }

    #[test]
    fn what_is_pending_can_be_given_to_another() {
        let mut lines = Lines::new(9);
        lines.push(b"a\nb");
        assert_eq!(lines.next_line(), Ok(Some(&b"a"[..])));
        let mut next = Lines::new(9);
        next.push(lines.pending());
        next.push(b"c\n");
        assert_eq!(next.next_line(), Ok(Some(&b"bc"[..])));
    }

    #[test]
    fn announced_frames_wait_for_their_last_byte() {
        let mut frames = LengthPrefixed::new(2, 5);
        frames.push(b"\0\x03ab");
        assert_eq!(frames.next_frame(), Ok(None));
        frames.push(b"c\0\0");
        assert_eq!(frames.next_frame(), Ok(Some(&b"abc"[..])));
        assert_eq!(frames.next_frame(), Ok(Some(&b""[..])));
        assert_eq!(frames.next_frame(), Ok(None));
    }

    #[test]
    fn refuses_an_announcement_above_the_bound() {
        let mut frames = LengthPrefixed::new(8, 5);
        frames.push(&u64::MAX.to_be_bytes());
        assert_eq!(frames.next_frame(), Err(FrameTooLong));
    }
}
