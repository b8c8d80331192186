//! Text of a file that grows, read piece by piece.

/// Text that arrives in pieces, which may end within a character.
#[derive(Default)]
pub(crate) struct Pieces {
    open: Vec<u8>,
}

impl Pieces {
    /// The whole characters of these bytes and those that were left before.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        self.open.extend_from_slice(bytes);
        let whole = self.open.len() - unfinished(&self.open);
        let text = String::from_utf8_lossy(&self.open[..whole]).into_owned();
        self.open.drain(..whole);
        text
    }

    /// What is left of a character that never ended.
    pub(crate) fn end(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.open)).into_owned()
    }
}

/// The number of bytes at the end that are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let begins = |at: &usize| {
        let read = std::str::from_utf8(&bytes[*at..]);
        read.is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (bytes.len().saturating_sub(3)..bytes.len()).find(begins).map_or(0, |at| bytes.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_printed_whole_however_the_text_is_cut() {
        let text = "aé€𝄞z";
        for size in 1..=text.len() {
            let mut pieces = Pieces::default();
            let mut out: String = text.as_bytes().chunks(size).map(|piece| pieces.take(piece)).collect();
            out.push_str(&pieces.end());
            assert_eq!(out, text, "{size}");
        }
        let mut pieces = Pieces::default();
        assert_eq!((pieces.take(b"x\xffy\xe2\x82"), pieces.end()), ("x\u{fffd}y".into(), "\u{fffd}".into()));
    }
}
