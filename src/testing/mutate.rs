//! Seeded one-token mutations of a text, for tests: of the parser here, of the whole `check` elsewhere.

use xpipe_base::value::rng::Stream;

/// A text with one token deleted, doubled, replaced or swapped with the next.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// The text after it.
    pub text: String,
    /// The lines, from 1, on which it happened (a swap may reach over several).
    pub lines: (usize, usize),
    /// What was done, for messages.
    pub what: String,
}

/// `count` mutations of a text; the same for the same seed.
pub fn mutations(text: &str, seed: u64, count: u64) -> Vec<Mutation> {
    let tokens = tokens(text);
    let stream = Stream::new(seed, &["tests", "mutations"]);
    (0..count).map(|i| mutation(text, &tokens, &stream.sub(i))).collect()
}

fn mutation(text: &str, tokens: &[(usize, usize)], stream: &Stream) -> Mutation {
    let k = stream.below(0, tokens.len() as u64 - 1) as usize;
    let ((start, end), (next_start, next_end)) = (tokens[k], tokens[k + 1]);
    let (token, next) = (&text[start..end], &text[next_start..next_end]);
    let (what, replacement, until) = match stream.below(1, 4) {
        0 => (format!("deleted `{token}`"), String::new(), end),
        1 => (format!("doubled `{token}`"), format!("{token} {token}"), end),
        2 => {
            let (a, b) = tokens[stream.below(2, tokens.len() as u64) as usize];
            (format!("replaced `{token}` by `{}`", &text[a..b]), text[a..b].to_owned(), end)
        }
        _ => {
            let gap = &text[end..next_start];
            (format!("swapped `{token}` and `{next}`"), format!("{next}{gap}{token}"), next_end)
        }
    };
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let lines = (line(start), line(until));
    Mutation { text: format!("{}{replacement}{}", &text[..start], &text[until..]), lines, what }
}

impl Mutation {
    /// The distance of a line from it, in lines.
    pub fn distance(&self, line: usize) -> usize {
        self.lines.0.saturating_sub(line).max(line.saturating_sub(self.lines.1))
    }
}

/// The tokens of a text, by their bytes: words and numbers, quotes, signs. Comments are none.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b'#' => {
                i += text[i..].find('\n').unwrap_or(text.len() - i);
                continue;
            }
            b if b.is_ascii_whitespace() => {
                i += 1;
                continue;
            }
            b if word(b) => i += bytes[i..].iter().take_while(|b| word(**b)).count(),
            b'=' | b'<' | b'>' | b'!' if matches!(bytes.get(i + 1), Some(b'=' | b'>')) => i += 2,
            _ => i += 1,
        }
        out.push((start, i));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_seeded_and_change_the_text() {
        let text = "axis a = [1, 2] # c\nlet b = a >= 1\n";
        assert_eq!(tokens(text).len(), 14);
        let (one, two) = (mutations(text, 1, 50), mutations(text, 1, 50));
        assert!(one.iter().zip(&two).all(|(a, b)| a.text == b.text && a.lines == b.lines));
        assert!(one.iter().filter(|m| m.text != text).count() > 40);
        assert!(one.iter().any(|m| m.lines.0 == 2));
    }
}
