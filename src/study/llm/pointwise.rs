//! Pointwise relevance scores, from the log-probabilities of the answer's first token or from its text.

use super::Answer;
use super::permutation::without_thoughts;
use super::prompts::Pointwise;
use xpipe_base::task::Failure;

/// The source of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The log-probabilities of the first token.
    LogProbs,
    /// The text of the answer.
    Text,
}

/// Maximum tokens of an answer: one if the first token decides, else enough for a word with some context.
pub fn max_tokens(from: ReadFrom) -> u32 {
    match from {
        ReadFrom::LogProbs => 1,
        ReadFrom::Text => 16,
    }
}

/// The score of an answer; `None` if it has none.
///
/// | form | from log-probabilities | from text |
/// |---|---|---|
/// | `yes_no` | ln p(yes) - ln p(no) | yes 1, no 0 |
/// | `grade` | the mean of the digits 0 to 3 weighted by probability | the first digit |
///
/// Probabilities of spellings (`Yes`, ` yes`) are summed. If only one of yes and no is among the returned tokens, the
/// other has at most the probability of the least likely one, which is used.
///
/// # Errors
/// Log-probabilities are needed and the answer has none.
pub fn read(form: Pointwise, from: ReadFrom, answer: &Answer) -> Result<Option<f64>, Failure> {
    if from == ReadFrom::Text {
        return Ok(of_text(form, &answer.text));
    }
    if answer.first.is_empty() {
        return Err(Failure::wrong("the endpoint gives no log-probabilities, which scores are read from")
            .help("write `read = text` to score by the words of the answer, or use an endpoint that returns log-probabilities"));
    }
    let probability = |word: &str| -> f64 {
        let spelt = |token: &str| token.trim().to_lowercase() == word;
        answer.first.iter().filter(|(t, _)| spelt(t)).map(|(_, p)| p.exp()).sum()
    };
    Ok(match form {
        Pointwise::YesNo => {
            let (yes, no) = (probability("yes"), probability("no"));
            let least = answer
                .first
                .iter()
                .map(|(_, p)| p.exp())
                .fold(f64::INFINITY, f64::min)
                .max(f64::MIN_POSITIVE);
            let bounded = |p: f64| if p > 0.0 { p } else { least };
            (yes > 0.0 || no > 0.0).then(|| bounded(yes).ln() - bounded(no).ln())
        }
        Pointwise::Grade => {
            let of = [0.0, 1.0, 2.0, 3.0].map(|grade: f64| (grade, probability(&grade.to_string())));
            let sum: f64 = of.iter().map(|(_, p)| p).sum();
            (sum > 0.0).then(|| of.iter().map(|(grade, p)| grade * p).sum::<f64>() / sum)
        }
    })
}

fn of_text(form: Pointwise, text: &str) -> Option<f64> {
    let text = without_thoughts(text).to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    match form {
        Pointwise::YesNo => words.find_map(|w| match w {
            "yes" => Some(1.0),
            "no" => Some(0.0),
            _ => None,
        }),
        Pointwise::Grade => words.find_map(|w| match w {
            "0" => Some(0.0),
            "1" => Some(1.0),
            "2" => Some(2.0),
            "3" => Some(3.0),
            _ => None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(tokens: &[(&str, f64)]) -> Answer {
        Answer { first: tokens.iter().map(|(t, p)| ((*t).to_owned(), p.ln())).collect(), ..Answer::default() }
    }

    #[track_caller]
    fn near(form: Pointwise, tokens: &[(&str, f64)], expected: f64) {
        let score = read(form, ReadFrom::LogProbs, &first(tokens)).unwrap().unwrap();
        assert!((score - expected).abs() < 1e-12, "{score} {expected}");
    }

    #[test]
    fn scores_of_probabilities() {
        let yes = Pointwise::YesNo;
        near(yes, &[("Yes", 0.5), (" yes", 0.1), ("no", 0.3), ("x", 0.01)], 2f64.ln());
        near(yes, &[("no", 0.9), ("maybe", 0.09)], (0.09f64 / 0.9).ln());
        near(yes, &[("yes", 1.0)], 0.0);
        near(Pointwise::Grade, &[("3", 0.5), ("1", 0.25), (" 0", 0.05), ("x", 0.2)], 1.75 / 0.8);
        assert_eq!(read(yes, ReadFrom::LogProbs, &first(&[("x", 0.5)])).unwrap(), None);
        assert_eq!(read(Pointwise::Grade, ReadFrom::LogProbs, &first(&[("4", 0.5)])).unwrap(), None);
        let failure = read(yes, ReadFrom::LogProbs, &Answer::default()).unwrap_err();
        assert!(failure.help.unwrap().contains("read = text"));
    }

    #[test]
    fn scores_of_texts() {
        let read = |form, text: &str| {
            read(form, ReadFrom::Text, &Answer { text: text.into(), ..Answer::default() }).unwrap()
        };
        assert_eq!(read(Pointwise::YesNo, "Yes."), Some(1.0));
        assert_eq!(read(Pointwise::YesNo, "<think>yes</think> The answer is no"), Some(0.0));
        assert_eq!(read(Pointwise::YesNo, "know"), None);
        assert_eq!(read(Pointwise::Grade, "Grade: 2"), Some(2.0));
        assert_eq!(read(Pointwise::Grade, "23"), None);
        assert_eq!(read(Pointwise::Grade, ""), None);
    }
}
