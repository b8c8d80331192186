//! The text of HTML and SGML: without tags, entities decoded, white space as single blanks.

use std::cell::{Cell, RefCell};

use html5ever::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{RawKind, State};
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Elements inside a sentence: their tags do not end a word. **Source:** HTML Standard, phrasing content.
const INLINE: &[&str] = &[
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font",
    "i", "ins", "kbd", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
];

/// The text of an HTML document: without scripts and styles; tags of blocks separate words.
pub fn html_text(html: &str) -> String {
    tokenize(html, Sink { html: true, ..Sink::default() }).text.into_inner().finish()
}

/// A document in TREC's SGML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SgmlDocument {
    /// The text of the tag of the id; `None` when there is no such tag.
    pub id: Option<String>,
    /// The text of the wanted tags, or of all but the id's and `<DOCHDR>`; every tag separates words.
    pub text: String,
}

/// Reads what is between `<DOC>` and `</DOC>`. `fields` are names of tags in lower case; empty: all. `id_tag` is the one
/// that holds the id, usually `docno`.
pub fn sgml_document(inside: &str, fields: &[String], id_tag: &str) -> SgmlDocument {
    let sink =
        tokenize(inside, Sink { fields: fields.to_vec(), id_tag: id_tag.to_owned(), ..Sink::default() });
    let id = sink.has_id.get().then(|| sink.id.into_inner().finish());
    SgmlDocument { id, text: sink.text.into_inner().finish() }
}

/// The text without tags, entities decoded, white space as single blanks.
pub fn plain(text: &str) -> String {
    if text.contains(['<', '&']) {
        return tokenize(text, Sink::default()).text.into_inner().finish();
    }
    let mut words = Words::default();
    words.push(text);
    words.finish()
}

/// Collects text with white space folded.
#[derive(Debug, Default)]
struct Words {
    text: String,
    blank: bool,
}

impl Words {
    fn push(&mut self, piece: &str) {
        for c in piece.chars() {
            if c.is_whitespace() || c == '\0' {
                self.blank = true;
            } else {
                if self.blank && !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.blank = false;
                self.text.push(c);
            }
        }
    }

    fn finish(self) -> String {
        self.text
    }
}

#[derive(Debug, Default)]
struct Sink {
    html: bool,
    fields: Vec<String>,
    id_tag: String,
    text: RefCell<Words>,
    id: RefCell<Words>,
    has_id: Cell<bool>,
    /// The element whose content is dropped, or is the id.
    within: RefCell<Option<String>>,
    /// Number of open wanted elements.
    open: RefCell<Vec<String>>,
}

impl Sink {
    fn characters(&self, piece: &str) {
        match self.within.borrow().as_deref() {
            Some(tag) if !self.html && tag == self.id_tag => self.id.borrow_mut().push(piece),
            Some(_) => {}
            None if self.fields.is_empty() || !self.open.borrow().is_empty() => {
                self.text.borrow_mut().push(piece);
            }
            None => {}
        }
    }

    fn tag(&self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        if !self.html || !INLINE.contains(&name) {
            self.text.borrow_mut().blank = true;
        }
        match tag.kind {
            TagKind::EndTag => {
                if self.within.borrow().as_deref() == Some(name) {
                    *self.within.borrow_mut() = None;
                }
                let mut open = self.open.borrow_mut();
                if let Some(at) = open.iter().rposition(|o| o == name) {
                    open.truncate(at);
                }
                TokenSinkResult::Continue
            }
            TagKind::StartTag => self.start(name),
        }
    }

    fn start(&self, name: &str) -> TokenSinkResult<()> {
        if self.html {
            // What a browser's tree builder tells its tokenizer.
            let raw = match name {
                "script" => Some(RawKind::ScriptData),
                "style" | "xmp" | "noframes" => Some(RawKind::Rawtext),
                "title" | "textarea" => Some(RawKind::Rcdata),
                _ => None,
            };
            if matches!(name, "script" | "style") {
                *self.within.borrow_mut() = Some(name.to_owned());
            }
            return raw.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData);
        }
        if name == self.id_tag || name == "dochdr" {
            *self.within.borrow_mut() = Some(name.to_owned());
            self.has_id.set(self.has_id.get() || name == self.id_tag);
        }
        if self.fields.iter().any(|f| f == name) {
            self.open.borrow_mut().push(name.to_owned());
        }
        TokenSinkResult::Continue
    }
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::CharacterTokens(piece) => self.characters(&piece),
            Token::NullCharacterToken => self.characters(" "),
            Token::TagToken(tag) => return self.tag(&tag),
            Token::CommentToken(_) | Token::DoctypeToken(_) | Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

fn tokenize(text: &str, sink: Sink) -> Sink {
    let options = TokenizerOpts { initial_state: Some(State::Data), ..TokenizerOpts::default() };
    let tokenizer = Tokenizer::new(sink, options);
    let queue = BufferQueue::default();
    // Tendrils hold at most 4 GiB; callers bound documents far below.
    queue.push_back(StrTendril::from_slice(text));
    while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_read_as_a_browser_reads_it() {
        let cases = [
            ("<html><pre>\n\n\nA  title\n\nCACM, 1958\n100\t5</pre></html>", "A title CACM, 1958 100 5"),
            ("<p>one</p><p>two</p>three<br>four", "one two three four"),
            ("H<sub>2</sub>O and <b>bo</b>ld <a href='x>y'>li</a>nk", "H2O and bold link"),
            ("<title>a &lt; b</title><script>if (a<b) { x('</p>') }</script>c", "a < b c"),
            ("<style>p { color: red }</style>x<!-- no -->y", "xy"),
            ("AT&amp;T &copy; caf&eacute; &#8211; &#x41; &nbsp;z R&D a < b", "AT&T © café – A z R&D a < b"),
            ("<td>1</td><td>2</td>", "1 2"),
            ("no tags at all", "no tags at all"),
            ("", ""),
        ];
        for (html, text) in cases {
            assert_eq!(html_text(html), text, "{html}");
        }
    }

    #[test]
    fn sgml_documents_have_ids_and_fields() {
        let inside = "<DOCNO> FT-1 </DOCNO>\n<DOCHDR>http://x</DOCHDR><HEADLINE>\nBig &amp; small\n</HEADLINE>\n\
                      <TEXT>\n<P>one\ntwo</P><P>three</P> 5 < 6\n</TEXT>";
        let all = sgml_document(inside, &[], "docno");
        assert_eq!(all.id.as_deref(), Some("FT-1"));
        assert_eq!(all.text, "Big & small one two three 5 < 6");
        let text = sgml_document(inside, &["text".into()], "docno");
        assert_eq!(text.text, "one two three 5 < 6");
        assert_eq!(sgml_document("<TEXT>x</TEXT>", &[], "docno").id, None);
    }

    #[test]
    fn plain_text_is_folded() {
        assert_eq!(plain(" a \n b&quot;c <x>d"), "a b\"c d");
        assert_eq!(plain("\n"), "");
    }
}
