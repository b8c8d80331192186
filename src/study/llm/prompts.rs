//! Prompt templates, each with a name and a version. A test pins their texts: a change must raise the template's version,
//! which invalidates stored answers, and the version of the operations that use it.

use super::{Message, Prompt, Role};

fn say(role: Role, content: String) -> Message {
    Message { role, content }
}

/// The first `words` words of a passage, separated by single spaces.
pub fn cut(text: &str, words: usize) -> String {
    text.split_whitespace().take(words).collect::<Vec<_>>().join(" ")
}

/// A listwise prompt template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listwise {
    /// A conversation with one message per passage.
    /// **Source:** Sun et al. 2023, "Is ChatGPT Good at Search?" (arXiv 2304.09542), and its code, sunnweiwei/RankGPT.
    RankGpt,
    /// All passages in one message, as in RankZephyr's training.
    /// **Source:** Pradeep et al. 2023, "RankZephyr" (arXiv 2312.02724), and castorini/rank_llm, rank_zephyr_template.
    RankZephyr,
}

impl Listwise {
    /// The template with a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::RankGpt, Self::RankZephyr].into_iter().find(|p| p.name() == name)
    }

    /// The name in studies.
    pub fn name(self) -> &'static str {
        match self {
            Self::RankGpt => "rank_gpt",
            Self::RankZephyr => "rank_zephyr",
        }
    }

    /// The version of the text.
    pub fn version(self) -> u32 {
        1
    }

    /// Number of messages for `n` passages.
    pub fn messages(self, n: usize) -> usize {
        match self {
            Self::RankGpt => 4 + 2 * n,
            Self::RankZephyr => 2,
        }
    }

    /// The prompt that asks to order passages.
    pub fn ask(self, query: &str, passages: &[&str]) -> Prompt {
        let messages = match self {
            Self::RankGpt => rank_gpt(query, passages),
            Self::RankZephyr => rank_zephyr(query, passages),
        };
        Prompt { name: self.name(), version: self.version(), messages }
    }
}

fn rank_gpt(query: &str, passages: &[&str]) -> Vec<Message> {
    let n = passages.len();
    let mut messages = vec![
        say(
            Role::System,
            "You are RankGPT, an intelligent assistant that can rank passages based on their relevancy to the query."
                .into(),
        ),
        say(
            Role::User,
            format!(
                "I will provide you with {n} passages, each indicated by number identifier []. \nRank the passages \
                 based on their relevance to query: {query}."
            ),
        ),
        say(Role::Assistant, "Okay, please provide the passages.".into()),
    ];
    for (i, passage) in passages.iter().enumerate() {
        messages.push(say(Role::User, format!("[{}] {passage}", i + 1)));
        messages.push(say(Role::Assistant, format!("Received passage [{}].", i + 1)));
    }
    messages.push(say(
        Role::User,
        format!(
            "Search Query: {query}. \nRank the {n} passages above based on their relevance to the search query. The \
             passages should be listed in descending order using identifiers. The most relevant passages should be \
             listed first. The output format should be [] > [], e.g., [1] > [2]. Only response the ranking results, do \
             not say any word or explain."
        ),
    ));
    messages
}

fn rank_zephyr(query: &str, passages: &[&str]) -> Vec<Message> {
    let n = passages.len();
    let mut text = format!(
        "I will provide you with {n} passages, each indicated by a numerical identifier []. Rank the passages based on \
         their relevance to the search query: {query}.\n\n"
    );
    for (i, passage) in passages.iter().enumerate() {
        text.push_str(&format!("[{}] {}\n", i + 1, unbracketed(passage)));
    }
    text.push_str(&format!(
        "\nSearch Query: {query}.\nRank the {n} passages above based on their relevance to the search query. All the \
         passages should be included and listed using identifiers, in descending order of relevance. The output format \
         should be [] > [], e.g., [2] > [1], Answer concisely and directly and only respond with the ranking results, \
         do not say any word or explain."
    ));
    let system = "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query";
    vec![say(Role::System, system.into()), say(Role::User, text)]
}

/// Replaces bracketed numbers in a passage by parenthesised ones, so that they are not read as identifiers.
fn unbracketed(passage: &str) -> String {
    let mut out = String::with_capacity(passage.len());
    let mut rest = passage;
    while let Some(at) = rest.find('[') {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 1..];
        let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && inner.as_bytes().get(digits) == Some(&b']') {
            out.push_str(&format!("({})", &inner[..digits]));
            rest = &inner[digits + 1..];
        } else {
            out.push('[');
            rest = inner;
        }
    }
    out.push_str(rest);
    out
}

/// A pointwise prompt template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointwise {
    /// Whether the passage answers the query, yes or no.
    /// **Source:** the relevance generation of Liang et al. 2022, "HELM" (arXiv 2211.09110), in our own words.
    YesNo,
    /// Relevance from 0 to 3, the grades of TREC's passage tracks.
    /// **Source:** Thomas et al. 2024, "Large language models can accurately predict searcher preferences"
    /// (arXiv 2309.10621), in our own words.
    Grade,
}

impl Pointwise {
    /// The template with a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::YesNo, Self::Grade].into_iter().find(|p| p.name() == name)
    }

    /// The name in studies.
    pub fn name(self) -> &'static str {
        match self {
            Self::YesNo => "yes_no",
            Self::Grade => "grade",
        }
    }

    /// The version of the text.
    pub fn version(self) -> u32 {
        1
    }

    /// The prompt that asks how relevant a passage is.
    pub fn ask(self, query: &str, passage: &str) -> Prompt {
        let (system, asked) = match self {
            Self::YesNo => (
                "You judge whether a passage answers a search query. You answer with one word: yes or no.",
                "Does the passage answer the query? Answer yes or no.",
            ),
            Self::Grade => (
                "You judge how well a passage answers a search query. You answer with one digit from 0 to 3.\n\
                 3: the passage is about the query and holds the exact answer.\n\
                 2: the passage holds some answer, but it is unclear or hidden among other things.\n\
                 1: the passage is related to the query and does not answer it.\n\
                 0: the passage has nothing to do with the query.",
                "How well does the passage answer the query? Answer with one digit from 0 to 3.",
            ),
        };
        let text = format!("Query: {query}\n\nPassage: {passage}\n\n{asked}");
        let messages = vec![say(Role::System, system.into()), say(Role::User, text)];
        Prompt { name: self.name(), version: self.version(), messages }
    }
}

/// The prompt that asks which of two passages is better: `A` or `B`.
/// **Source:** Qin et al. 2023, "Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting"
/// (arXiv 2306.17563), figure 2.
pub fn pairwise(query: &str, a: &str, b: &str) -> Prompt {
    let text = format!(
        "Given a query \"{query}\", which of the following two passages is more relevant to the query?\n\nPassage A: \
         {a}\n\nPassage B: {b}\n\nOutput Passage A or Passage B:"
    );
    Prompt { name: "pairwise", version: 1, messages: vec![say(Role::User, text)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prompt: &Prompt) -> String {
        let lines = prompt.messages.iter().map(|m| format!("<{:?}>\n{}\n", m.role, m.content));
        format!("{} {}\n{}", prompt.name, prompt.version, lines.collect::<String>())
    }

    /// A change of a text must raise its version, and that of the operations in `ops/` that use it.
    #[test]
    fn the_text_of_each_version_is_pinned() {
        let passages = ["A passage [7] of words.", "Another [x] one."];
        let all = [
            Listwise::RankGpt.ask("who asks", &passages),
            Listwise::RankZephyr.ask("who asks", &passages),
            Pointwise::YesNo.ask("who asks", passages[0]),
            Pointwise::Grade.ask("who asks", passages[0]),
            pairwise("who asks", passages[0], passages[1]),
        ];
        let text: String = all.iter().map(shown).collect::<Vec<_>>().join("\n");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/llm/prompts.txt");
        assert_eq!(text, std::fs::read_to_string(file).unwrap_or_default());
        for form in [Listwise::RankGpt, Listwise::RankZephyr] {
            assert_eq!(form.ask("q", &passages).messages.len(), form.messages(2));
        }
    }

    #[test]
    fn passages_are_cut_by_words_and_have_no_identifiers() {
        assert_eq!(cut("  a  b\nc d ", 3), "a b c");
        assert_eq!(unbracketed("[1] x [12] [a] [3 [] ["), "(1) x (12) [a] [3 [] [");
    }
}
